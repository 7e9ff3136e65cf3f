"""run.json and noise.json as typed records: the only place that writes, reads and checks them.

Anybody can edit the files of a run folder, so reading checks every value. A record's field is the file's key, unless
`msgspec.field(name=…)` says otherwise; unknown keys are ignored. Shares are in [0, 1].
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from labelaudit.data.catalogue import Catalogue, LeftOut
from labelaudit.data.rendering import BACKGROUNDS, PLAIN, Rendering
from labelaudit.detect.constants import FLAG_ABOVE, HALF_WIDTH
from labelaudit.detect.kinds import Copies
from labelaudit.detect.verdicts import FitSettings, ReviewShare
from labelaudit.errors import RunError
from labelaudit.names import KindName
from labelaudit.run.files import read_record
from labelaudit.run.layout import RunFolder

TRAINED: Literal["trained"] = "trained"
TRAINING: Literal["training"] = "training"
OWN_EMBEDDINGS = "own-embeddings"
"""The ``model`` in the settings of heads that are trained on the user's embeddings."""
PREDICTIONS = "predictions"
"""The ``kind`` in the settings of an audit that judges by the user's predictions and trains nothing."""

OF_SCAN = ("rendering", "left_out", "remarks", "split", "fixed")
"""What run.json keeps of a scan beside the samples: entries of ``data``, and fields of a `Catalogue`."""

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Figure = Annotated[float, msgspec.Meta(ge=-(1 << 53), le=1 << 53)]
PathText = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]*\Z")]
Interval = tuple[Share, Share]


class RecordedData(msgspec.Struct, frozen=True, kw_only=True):
    """The entry ``data`` of run.json: the images of an audit, of which ``readable`` take part; ``root`` is absolute."""

    root: PathText
    labels_file: PathText | None = None
    fingerprint: str
    classes: tuple[str, ...]
    samples: Count
    readable: Count = 0
    rendering: Rendering = PLAIN
    split: tuple[PathText, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()
    fixed: bool = False

    def __post_init__(self) -> None:
        """Refuse a rendering that no folder has."""
        limits = (self.rendering.integers, self.rendering.reals)
        if not all(-inf < low < high < inf for low, high in limits) or self.rendering.background not in BACKGROUNDS:
            raise ValueError(f"{self.rendering} is not possible")

    @classmethod
    def of(cls, catalogue: Catalogue, labels_file: Path | None = None) -> RecordedData:
        """Return what run.json says of these samples."""
        return cls(
            root=str(catalogue.root.resolve()),
            labels_file=str(labels_file.resolve()) if labels_file else None,
            fingerprint=catalogue.fingerprint,
            classes=catalogue.classes,
            samples=len(catalogue),
            readable=int(catalogue.used_N.sum()),
            **{name: getattr(catalogue, name) for name in OF_SCAN},
        )


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the run.json of an audit.

    Attributes:
        settings: Of the training; `labelaudit.engine.settings.settings_from_json` checks all of them. Without one,
            ``kind`` is `PREDICTIONS`, ``weights`` the digest of their file, and ``epochs`` 1.
        mirror_test: What the flip test found; None where it was not made.
        recording: Which forward pass the recorded losses are of.
        normalization: Mean and standard deviation of the pixels.
    """

    status: Literal["training", "trained"]
    created: str = ""
    versions: Mapping[str, str] = {}
    device: Mapping[str, str | int | bool] = {}
    data: RecordedData
    mirror_test: Mapping[str, int | bool] | None = None
    recording: str = ""
    settings: Mapping[str, object]
    diverged: bool = False
    finished: str = ""
    normalization: Mapping[str, tuple[float, ...]] | None = None


class MixtureNoise(msgspec.Struct, frozen=True, kw_only=True):
    """Two Gaussians fitted to the suspicion, the lower one first; see `labelaudit.detect.mixture`."""

    weight: tuple[Share, Share]
    mean: tuple[Figure, Figure]
    std: tuple[Figure, Figure]
    separation: Figure
    modes: Count


class EstimatorNoise(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one estimator says; ``mixture`` only for those that have one."""

    rank_by: str
    noise_rate: Share
    suspicious: Count
    mixture: MixtureNoise | None = None


class ClassNoise(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one class."""

    name: str = msgspec.field(name="class")
    samples: Count
    noise_rate: Share
    suspicious: Count


class SplitNoise(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one split.

    Attributes:
        noise_rate: None where none of its images was judged.
        leaked, contradicting: How many images have a copy in another split, and how many of these another label there.
    """

    name: str = msgspec.field(name="split")
    samples: Count
    noise_rate: Share | None
    suspicious: Count
    leaked: Count
    contradicting: Count


class Confused(msgspec.Struct, frozen=True, kw_only=True):
    """How many suspicious samples have this pair of labels."""

    given: str
    suggested: str
    count: Count


class KindsNoise(msgspec.Struct, frozen=True, kw_only=True):
    """How many samples are of each kind, and how many of the corrupted copies would be called corrupted."""

    samples: Mapping[KindName, Count]
    suspicious: Mapping[KindName, Count]
    copies: tuple[Copies, ...] = ()


class ReviewedClass(msgspec.Struct, frozen=True, kw_only=True):
    """What the reviewed sample says of one class."""

    name: str = msgspec.field(name="class")
    noise_rate: Share
    noise_rate_interval: Interval
    reviews: Count


class ReviewedNoise(msgspec.Struct, frozen=True, kw_only=True):
    """What the reviewed sample says, whatever the losses say; see `labelaudit.detect.sample`.

    Attributes:
        right, wrong, skipped, others: Answers in the sample, and outside of it.
        reviews_left: About how many more would bring ± ``half_width``; None where skipped samples keep it above that.
        classes: Those with enough reviews.
    """

    noise_rate: Share
    noise_rate_interval: Interval
    right: Count
    wrong: Count
    skipped: Count
    others: Count = 0
    half_width: Share = HALF_WIDTH
    reviews_left: Count | None
    classes: tuple[ReviewedClass, ...] = ()

    @property
    def reviews(self) -> int:
        """The size of the sample that was reviewed."""
        return self.right + self.wrong + self.skipped


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """The content of noise.json: everything that an audit says of the data as a whole.

    Attributes:
        noise_rate: The share of wrong labels as estimated from the losses; None where there is no estimate.
        reviewed: What a reviewed sample says; None without one.
        flag_above: P(mislabeled) above which a sample is suspicious.
        kept: Number of labels that a person decided to keep: they count as right.
        decisions: SHA-256 (hex) of the decisions.csv and answers.csv that the verdicts go by; empty without any.
        confusion: Pairs of given and suggested labels, the most frequent first.
        review: About which share of the errors is at the head of the list, by its length.
        findings: Number of images that each code was found for; codes without any are left out.
        splits: The figures of each split; empty where there is only one.
        near_groups, near_contradicting: Number of groups of near duplicates, and of those with different labels.
        warnings: Why not to trust the figures, a sentence each.
    """

    noise_rate: Share | None
    noise_rate_interval: Interval | None
    suspicious: Count
    flag_above: Share = FLAG_ABOVE
    samples: Count
    readable: Count
    epochs: Count
    fit: FitSettings
    estimators: Mapping[str, EstimatorNoise]
    classes: tuple[ClassNoise, ...]
    confusion: tuple[Confused, ...]
    review: tuple[ReviewShare, ...] = ()
    warnings: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    unreadable: Count = 0
    kinds: KindsNoise | None = None
    findings: Mapping[str, Count] = {}
    splits: tuple[SplitNoise, ...] = ()
    near_groups: Count = 0
    near_contradicting: Count = 0
    kept: Count = 0
    decisions: str = ""
    reviewed: ReviewedNoise | None = None

    @property
    def best_rate(self) -> float | None:
        """The reviewed noise rate, or else the one estimated from the losses."""
        return self.noise_rate if self.reviewed is None else self.reviewed.noise_rate

    @property
    def best_interval(self) -> Interval | None:
        """The interval of `best_rate`."""
        return self.noise_rate_interval if self.reviewed is None else self.reviewed.noise_rate_interval


class AnnotatorNoise(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one annotator.

    Attributes:
        error_rate: Estimated share of wrong labels; None with too few labels.
        suspicious: Labels with P(wrong) above `Noise.flag_above`.
        confusion: The suspicious labels by pair of given and suggested, the most frequent first.
    """

    name: str = msgspec.field(name="annotator")
    labels: Count
    error_rate: Share | None
    error_rate_interval: Interval | None
    suspicious: Count
    confusion: tuple[Confused, ...] = ()


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """How many images two annotators both labeled, and how many of these differently."""

    annotators: tuple[str, str]
    images: Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
    different: Count


class AnnotatorsNoise(msgspec.Struct, frozen=True, kw_only=True):
    """The content of annotators.json.

    Attributes:
        annotators: The one with the largest error rate first; those without a rate last.
        pairs: Annotators who share enough images, those who disagree on the largest share of them first.
        warnings: Why not to trust the figures, a sentence each.
    """

    labels: Count
    images: Count
    annotators: tuple[AnnotatorNoise, ...]
    pairs: tuple[Disagreement, ...] = ()
    warnings: tuple[str, ...] = ()


def read_annotators(run: RunFolder) -> AnnotatorsNoise | None:
    """Read annotators.json; None where the labels are not by annotator, a RunError where it is damaged."""
    fix = f"run labelaudit fit {run.root}"
    return read_record(run.annotators, AnnotatorsNoise, fix) if run.annotations.exists() else None


def read_description(run: RunFolder) -> Description:
    """Read the run.json of an audit; raise a RunError where there is none, or it is damaged or not of an audit."""
    try:
        return msgspec.convert(run.read_description(), Description)
    except msgspec.ValidationError as error:
        fix = f"give the folder of an audit, or delete {run.root} and audit again"
        raise RunError(f"{run.description} is damaged, or not of an audit ({error})", fix=fix) from error


def read_noise(run: RunFolder) -> Noise:
    """Read noise.json; raise a RunError where the run was not fitted, or the file is damaged."""
    fix = f"run labelaudit fit {run.root}"
    if not run.noise.exists():
        raise RunError(f"{run.root} has no verdicts yet", fix=fix)
    return read_record(run.noise, Noise, fix)


def as_json(record: msgspec.Struct) -> dict[str, object]:
    """Return a record as its file has it; raise a ValueError where a figure is not finite, which JSON cannot hold."""
    values: dict[str, object] = json.loads(json.dumps(msgspec.to_builtins(record), allow_nan=False))
    return values
