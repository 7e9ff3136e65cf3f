"""The settings of each method: a frozen dataclass each, readable without importing torch.

A field whose default is None is filled from an audit, or has to be given.
"""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

import msgspec

from labelaudit.errors import UsageError

Need = Literal["weights", "truth", "noise_rate"]
"""What a method may need besides images and labels."""

_NEEDED: dict[Need, tuple[str, str]] = {
    "weights": ("sample weights", "give --weights RUN/weights.csv of an audit"),
    "truth": ("the true labels", "give --truth FILE.csv with the columns path,label"),
    "noise_rate": ("a noise rate", "give --run RUN of an audit, --weights RUN/weights.csv, or -P noise_rate=0.2"),
}

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
SomeShare = Annotated[float, msgspec.Meta(gt=0, le=1)]
ShareBelowOne = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
WholeNumber = Annotated[int, msgspec.Meta(ge=0)]
OneOrMore = Annotated[int, msgspec.Meta(ge=1)]
TwoOrMore = Annotated[int, msgspec.Meta(ge=2)]
NoiseType = Literal["auto", "symmetric", "asymmetric"]


def parameter(default: Any, what: str) -> Any:
    """Return a field with its default and its meaning, which names the values of one that is a word."""
    return field(default=default, metadata={"what": what})


@dataclass(frozen=True, kw_only=True)
class NoParameters:
    """Of methods without settings."""


@dataclass(frozen=True, kw_only=True)
class ReedHardParameters:
    """Of `labelaudit.methods.standard`."""

    beta: Share = parameter(0.8, "share of the given label in the target; the prediction has the rest")


@dataclass(frozen=True, kw_only=True)
class AulParameters:
    """Of `labelaudit.methods.standard`."""

    cut: Share = parameter(0.5, "least weight of a label that counts; 0, as in the paper: all count")


@dataclass(frozen=True, kw_only=True)
class D2LParameters:
    """Of `labelaudit.methods.d2l`."""

    window: TwoOrMore = parameter(5, "epochs with which the dimension of the present one is compared")
    init_share: Share = parameter(1 / 3, "share of the training before the first window that is compared")
    neighbors: TwoOrMore = parameter(20, "nearest samples from which a dimension is estimated")
    samples: TwoOrMore = parameter(1280, "images whose features are examined before each epoch")
    chunk: TwoOrMore = parameter(128, "images among which neighbors are looked for")


@dataclass(frozen=True, kw_only=True)
class MentorNetParameters:
    """Of `labelaudit.methods.mentornet`."""

    percentile: Share = parameter(0.75, "share of a batch whose losses count as small; published: 0.5 at 80% noise")
    average_decay: ShareBelowOne = parameter(0.5, "share of the old value in the moving percentile")
    gamma: Positive = parameter(1.0, "how far above the percentile a loss counts a little, in the last tenth")
    burn_in: Share = parameter(0.19, "first share of the training, in which all losses count alike")
    early_dropout: ShareBelowOne = parameter(0.5, "share of a batch that is left out at random, early")
    early_share: Share = parameter(0.17, "share of the training that is early")
    dropout: ShareBelowOne = parameter(0.05, "share of a batch that is left out at random, later")


@dataclass(frozen=True, kw_only=True)
class IncvParameters:
    """Of `labelaudit.retraining.incv` and `labelaudit.methods.incv`."""

    iterations: OneOrMore = parameter(4, "rounds of cross-validation")
    selection_share: SomeShare = parameter(
        0.25, "epochs of each of the two trainings in a round, as a share of the training's"
    )
    noise_type: NoiseType = parameter(
        "auto",
        "symmetric: wrong labels of all classes; asymmetric: of few; auto: by the labels that disagree in the first "
        "round",
    )
    ramp_share: Share = parameter(0.05, "share of the training over which fewer and fewer are kept")
    believed_share: Share = parameter(
        0.2, "share of the training on believed labels alone; twice that if asymmetric or above 60% noise"
    )


@dataclass(frozen=True, kw_only=True)
class DivideMixParameters:
    """Of `labelaudit.methods.dividemix`."""

    threshold: Share = parameter(0.5, "weight from which on a label is believed")
    temperature: SomeShare = parameter(0.5, "sharpening of refined and guessed labels; 1 leaves them")
    alpha: NotNegative = parameter(4.0, "of the beta distribution that mixtures are drawn from; 0 mixes nothing")
    noise_type: NoiseType = parameter(
        "auto",
        "symmetric: wrong labels of all classes; asymmetric: of few; auto: by the guesses for suspicious samples after "
        "the warm-up",
    )
    guess_weight: NotNegative | Literal["auto"] = parameter(
        "auto", "weight of the loss on guessed labels; auto: 0, from 35% noise on 25, from 85% on 50; 0 if asymmetric"
    )
    views: OneOrMore = parameter(2, "how often a step has each sample, each time augmented anew")
    balance: NotNegative = parameter(1.0, "weight of the loss that keeps predictions spread over the classes")
    warmup_share: Share = parameter(1 / 30, "share of the training before labels are guessed")
    ramp_share: Share = parameter(16 / 300, "share of the training over which that loss grows")


@dataclass(frozen=True, kw_only=True)
class CoTeachingParameters:
    """Of `labelaudit.methods.co_teaching`."""

    noise_rate: ShareBelowOne | None = parameter(None, "share of each batch that is dropped in the end")
    warm_up_epochs: OneOrMore = parameter(10, "epochs over which the dropped share rises from 0")
    exponent: Positive = parameter(1.0, "how it rises: (epoch to this power) / warm_up_epochs")


@dataclass(frozen=True, kw_only=True)
class ElrParameters:
    """Of `labelaudit.methods.elr`."""

    strength: NotNegative = parameter(3.0, "how much early beliefs count against the given label; 0 is standard")
    beta: ShareBelowOne = parameter(0.7, "share of the old belief that stays in each epoch")


def lacking(method: str, need: Need) -> UsageError:
    """Return the error of a method that is not given what it needs."""
    what, fix = _NEEDED[need]
    return UsageError(f"the method {method} needs {what}", fix=fix)


def make_parameters(method: str, kind: type, given: Mapping[str, object]) -> Any:
    """Return a method's settings, of its dataclass ``kind``, from text of the command line or values of Python.

    Raises UsageError for an unknown name, a value of another type or out of range.
    """
    meanings = {of.name: of.metadata["what"] for of in fields(kind)}
    hints, values = typing.get_type_hints(kind, include_extras=True), {}
    for name, value in given.items():
        if name not in meanings:
            has = f"it has: {', '.join(meanings)}" if meanings else "it has none"
            raise UsageError(f"unknown parameter {name!r} for {method}", fix=has)
        read = value
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                read = float(value)  # msgspec reads the numbers of JSON only, which lack .5
        try:
            values[name] = msgspec.convert(read, hints[name], strict=False)
        except msgspec.ValidationError as error:
            what = f"parameter {name} of {method} is {value!r} ({error})"
            raise UsageError(what, fix=f"{name}: {meanings[name]}") from error
    return kind(**values)
