"""The settings of a training, resolved: what run.json records and what a resumed run must agree with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from labelaudit.data.pixels import PixelFormat
from labelaudit.engine.devices import Precision
from labelaudit.engine.inputs import Augment
from labelaudit.engine.optimizers import LoopSettings
from labelaudit.engine.order import derive_seed
from labelaudit.names import AugmentName, FitName, OptimizerName, ScheduleName

ProbeKind = Literal["train", "frozen"]
SCRATCH = "scratch"


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Everything that decides what a training computes.

    Attributes:
        kind: ``train`` a whole network, or a head on a ``frozen`` backbone.
        model: timm's name of the network or backbone.
        weights: Where its parameters come from: ``scratch``, ``timm``, ``embedded``, or ``sha256:…`` of a file.
        preset: The preset that the other values started from.
        image_size: Side in pixels at which the network sees the pictures.
        channels: 1 grey, 3 RGB.
        fit: What happens to pictures that are not square.
        augment, crop_pad: See `labelaudit.engine.inputs.Augment`.
        lr, momentum, nesterov, weight_decay, schedule, milestones, optimizer, beta2, late_momentum: See
            `labelaudit.engine.optimizers.LoopSettings`.
        controls: How many labels of each kind are made wrong on purpose; 0 for none.
        pilot_epochs: Of the short training that chooses them.
        members: How many trainings are recorded, one after the other.
        folds: How many heads are trained side by side, each without its part of the data; 1 for one head on all.
        selector: Which samples are back-propagated, as `labelaudit.selectors.table` describes it.
    """

    kind: ProbeKind
    model: str
    weights: str
    preset: str
    image_size: int
    channels: int
    fit: FitName
    augment: AugmentName
    crop_pad: int
    epochs: int
    batch_size: int
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: ScheduleName
    precision: Precision
    seed: int
    controls: int = 0
    pilot_epochs: int = 0
    members: int = 1
    folds: int = 1
    milestones: tuple[tuple[float, float], ...] = ()
    optimizer: OptimizerName = "sgd"
    beta2: float = 0.999
    late_momentum: float | None = None
    selector: str = "none"

    @property
    def recorded_epochs(self) -> int:
        """Of all members together."""
        return self.members * self.epochs

    @property
    def pilot(self) -> TrainingSettings:
        """Those of the short training that chooses controls."""
        seed = derive_seed(self.seed, "pilot")
        return replace(
            self, epochs=self.pilot_epochs, seed=seed, controls=0, pilot_epochs=0, members=1, selector="none"
        )

    @property
    def pixel_format(self) -> PixelFormat:
        """How pictures are decoded."""
        return PixelFormat(size=self.image_size, channels=self.channels, fit=self.fit)

    @property
    def augmentation(self) -> Augment:
        """How training batches are augmented."""
        return Augment(name=self.augment, pad=self.crop_pad)

    @property
    def loop(self) -> LoopSettings:
        """The part that the training loop reads."""
        return LoopSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            schedule=self.schedule,
            precision=self.precision,
            seed=self.seed,
            milestones=self.milestones,
            optimizer=self.optimizer,
            beta2=self.beta2,
            late_momentum=self.late_momentum,
        )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainingSettings:
        """What `as_json` gave; settings that came later have their defaults."""
        milestones = tuple((float(start), float(factor)) for start, factor in values.get("milestones", ()))
        return cls(**{**values, "milestones": milestones})

    def as_json(self) -> dict[str, Any]:
        """Plain values by name, as JSON reads them again."""
        return {**asdict(self), "milestones": [list(milestone) for milestone in self.milestones]}
