"""The resolved settings of a training: what run.json records, and what a resumed run must agree with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import msgspec

from labelaudit.data.pixels import PixelFormat
from labelaudit.engine.draws import derive_seed
from labelaudit.engine.inputs import Augment
from labelaudit.errors import RunError
from labelaudit.hyperparameters import LEAST, Hyperparameters
from labelaudit.names import ResizeName
from labelaudit.run import losses
from labelaudit.run.documents import OWN_EMBEDDINGS

ProbeKind = Literal["train", "frozen"]
SCRATCH = "scratch"


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Hyperparameters):
    """Everything that decides what a training computes.

    Attributes:
        kind: ``train`` a whole network, or a head on a ``frozen`` backbone.
        model: timm's name of the network or backbone, or `labelaudit.run.documents.OWN_EMBEDDINGS`.
        weights: ``scratch``, ``timm``, ``embedded``, or ``sha256:…`` of a file of weights or of the user's embeddings.
        image_size: Side in pixels at which the network sees the images.
        members: How many trainings are recorded, one after the other.
        heads_epochs: Epochs of the heads that are trained beside the network; 0 for none.
        heads_weights: What these are trained on: the ``embedded`` backbone, or ``sha256:…`` of the user's embeddings.
        network_if_doubted: Train a network as well where these heads doubt many labels.
        folds: How many heads are trained side by side, each without its part of the data; 1 for one head on all.
        apart: Splits that are judged by one of the heads alone, which is trained on all other splits.
        selector: Which samples are back-propagated; see `labelaudit.selectors.table`.
    """

    kind: ProbeKind
    model: str
    weights: str
    preset: str
    image_size: int
    channels: int
    resize: ResizeName
    members: int = 1
    heads_epochs: int = 0
    heads_weights: str = "embedded"
    network_if_doubted: bool = False
    folds: int = 1
    apart: tuple[str, ...] = ()
    selector: str = "none"

    @property
    def probe(self) -> str:
        """What ``--probe`` calls it."""
        return "both" if self.heads_epochs else self.kind

    @property
    def takes_embeddings(self) -> bool:
        """True where heads are trained on embeddings that the user gave."""
        return self.model == OWN_EMBEDDINGS or self.heads_weights != "embedded"

    def of_member(self, member: int) -> TrainingSettings:
        """Return the settings of one member: the first has the seed that was asked for, the others one of their own."""
        return replace(self, seed=derive_seed(self.seed, "member", member)) if member else self

    @property
    def has_folds(self) -> bool:
        """True for held-out heads, which are trained without torch."""
        return self.folds > 1

    @property
    def recording(self) -> str:
        """The forward pass that the recorded losses are of."""
        return losses.TRAINING_FORWARD if self.selector == "none" else losses.SCORING_PASS

    @property
    def recorded_epochs(self) -> int:
        """Recorded epochs of all members together."""
        return self.members * self.epochs

    @property
    def pixel_format(self) -> PixelFormat:
        """How images are decoded."""
        return PixelFormat(size=self.image_size, channels=self.channels, resize=self.resize)

    @property
    def augmentation(self) -> Augment:
        """How training batches are augmented."""
        return Augment(name=self.augment, pad=self.crop_pad, border=self.border)

    def as_json(self) -> dict[str, Any]:
        """Return plain values by name, which `settings_from_json` reads."""
        lists = {"milestones": [list(milestone) for milestone in self.milestones], "apart": list(self.apart)}
        return asdict(self) | lists


def settings_from_json(value: object, where: str) -> TrainingSettings:
    """Read the settings that `TrainingSettings.as_json` wrote to the file ``where``; missing ones get their default.

    One that is unknown, out of range, or missing without a default is a RunError.
    """
    if not isinstance(value, dict) or not set(value) <= {entry.name for entry in fields(TrainingSettings)}:
        raise RunError(f"{where} has settings that this version does not read", fix="audit into a new folder")
    try:
        settings = msgspec.convert(value, TrainingSettings)
        for name, found in vars(settings).items():
            if isinstance(found, int | float) and not found >= LEAST.get(name, 0):
                raise msgspec.ValidationError(f"{name} is {found}")
    except msgspec.ValidationError as error:
        raise RunError(f"{where} is damaged ({error})", fix="audit into a new folder") from error
    return settings
