"""Presets: settings that belong together, with what was measured of them in docs/accuracy.md."""

from __future__ import annotations

from dataclasses import dataclass, replace

from labelaudit.names import AugmentName, OptimizerName, PresetName, ScheduleName

COARSE_FROM = 80
"""From this side in pixels on, a network may take a coarser first look."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Defaults of a training; see `labelaudit.engine.settings.TrainingSettings`.

    Attributes:
        coarse_model: Takes the place of ``model`` for pictures of `COARSE_FROM` pixels and more.
    """

    model: str
    coarse_model: str | None = None
    epochs: int
    batch_size: int
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: ScheduleName
    augment: AugmentName
    crop_pad: int
    milestones: tuple[tuple[float, float], ...] = ()
    optimizer: OptimizerName = "sgd"
    late_momentum: float | None = None

    def model_for(self, image_size: int) -> str:
        """The network for pictures of this side in pixels."""
        return self.coarse_model if self.coarse_model and image_size >= COARSE_FROM else self.model


FAST = Preset(
    model="labelaudit_probe",
    coarse_model="labelaudit_probe_coarse",
    epochs=24,
    batch_size=256,
    lr=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    schedule="linear",
    augment="crop-flip",
    crop_pad=2,
)

BALANCED = Preset(
    model="labelaudit_probe_pooled",
    epochs=16,
    batch_size=256,
    lr=0.4,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    schedule="one-cycle",
    augment="crop-flip",
    crop_pad=2,
)

STRONG = replace(BALANCED, model="labelaudit_probe_pooled_wide")

# "Detecting label noise from loss curves", section 5: ResNet-32, 150 epochs, SGD with a constant rate of 0.1, batch 64.
# Momentum, weight decay and padding are not in the paper; these are of the same authors' AUM code.
PAPER = Preset(
    model="cifar_resnet32",
    epochs=150,
    batch_size=64,
    lr=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    schedule="constant",
    augment="crop-flip",
    crop_pad=4,
)

PRESETS: dict[PresetName, Preset] = {"fast": FAST, "balanced": BALANCED, "strong": STRONG, "paper": PAPER}

# Retraining wants a network that generalises, not one that separates: a rate that falls to nothing. The paper's is that
# of He et al. 2016: 300 epochs, divided by 10 at epochs 150 and 225.
RETRAIN_PRESETS: dict[PresetName, Preset] = {
    "fast": replace(FAST, weight_decay=5e-4, schedule="one-cycle"),
    "balanced": BALANCED,
    "strong": STRONG,
    "paper": replace(PAPER, epochs=300, schedule="step"),
}

USUAL_RATE: dict[OptimizerName, float] = {"sgd": 0.1, "adam": 0.001}
"""Of an optimiser that is not the preset's own."""

FINE_TUNED = replace(BALANCED, model="tf_efficientnet_lite0", epochs=6, batch_size=128, lr=0.04)
"""Of a network that begins with pretrained parameters: fewer epochs, at a lower rate."""

HEAD = Preset(
    model="linear",
    epochs=10,
    batch_size=64,
    lr=0.01,
    momentum=0.9,
    nesterov=True,
    weight_decay=0.5,
    schedule="constant",
    augment="none",
    crop_pad=0,
)
"""The head on a frozen backbone. The weight decay is large on purpose: it keeps a head with more parameters than there
are images from memorising wrong labels, however long it is trained (docs/accuracy.md)."""

HEAD_FOLDS = 5
"""Heads on a frozen backbone that are trained side by side, each without its part of the data. On a few hundred images
one head on all of them has memorised their labels before it could be asked (docs/accuracy.md)."""
