"""The hyperparameters of a training, which presets, published settings, run folders and the training loop share."""

from __future__ import annotations

from dataclasses import dataclass, replace

from labelaudit.names import AugmentName, BorderName, OptimizerName, Precision, ScheduleName

LEAST: dict[str, float] = {"image_size": 4, "epochs": 1, "batch_size": 2, "lr": 1e-12, "members": 1, "folds": 1}
LEAST |= {"threads": 1, "crop_pad": 0, "momentum": 0.0, "weight_decay": 0.0}
"""The least value of each number that a user can choose."""


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """How long, how fast and with which optimizer a network is trained.

    Attributes:
        momentum: Momentum of SGD; β₁ of Adam.
        weight_decay: Added to the gradient, times the parameter, for both optimizers.
        schedule, milestones: See `labelaudit.engine.optimizers.rate_factor`.
        step_decay: Divides the rate by 1 + step_decay · steps taken, on top of the schedule, as Keras' ``decay`` does.
        late_momentum: Replaces ``momentum`` once the rate of the schedule ``late-linear`` falls.
        augment, crop_pad, border: See `labelaudit.engine.inputs.Augment`.
        precision: Number format of the forward pass.
    """

    epochs: int
    batch_size: int
    optimizer: OptimizerName = "sgd"
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: ScheduleName
    milestones: tuple[tuple[float, float], ...] = ()
    step_decay: float = 0.0
    beta2: float = 0.999
    late_momentum: float | None = None
    augment: AugmentName = "none"
    crop_pad: int = 0
    border: BorderName = "reflect"
    precision: Precision = "float32"
    seed: int = 0


# "Detecting label noise from loss curves", section 5: 150 epochs, SGD with a constant rate of 0.1, batch 64. Momentum,
# weight decay and padding (with black pixels) are not in the paper; these are of the same authors' AUM code.
AUL_PROBE = Hyperparameters(
    epochs=150,
    batch_size=64,
    lr=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    schedule="constant",
    augment="crop-flip",
    crop_pad=4,
    border="zeros",
)

# He et al. 2016: the rate is divided by 10 at epochs 150 and 225. The AUL paper gives its batch for the audit only.
AUL_RETRAINING = replace(AUL_PROBE, epochs=300, schedule="step")
