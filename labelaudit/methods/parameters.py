"""The settings of each method: a frozen dataclass each, readable without importing torch.

A field whose default is None is filled from an audit, or has to be given.
"""

from __future__ import annotations

import contextlib
import math
import operator
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from labelaudit.errors import UsageError

Need = Literal["weights", "truth", "noise_rate"]
"""What a method may need besides images and labels."""

_NEEDED: dict[Need, tuple[str, str]] = {
    "weights": ("sample weights", "give --weights RUN/weights.csv of an audit"),
    "truth": ("the true labels", "give --truth FILE.csv with the columns path,label"),
    "noise_rate": ("a noise rate", "give --run RUN of an audit, --weights RUN/weights.csv, or -P noise_rate=0.2"),
}
_LIMITS = {
    "least": ("at least", operator.ge),
    "above": ("more than", operator.gt),
    "most": ("at most", operator.le),
    "below": ("less than", operator.lt),
}


def parameter(default: Any, what: str, **limits: float) -> Any:
    """Return a field with its default, its meaning, and its range by the words of `_LIMITS`."""
    return field(default=default, metadata={"what": what, "limits": limits})


@dataclass(frozen=True, kw_only=True)
class NoParameters:
    """Of methods without settings."""


@dataclass(frozen=True, kw_only=True)
class ReedHardParameters:
    """Of `labelaudit.methods.standard`."""

    beta: float = parameter(0.8, "share of the given label in the target; the prediction has the rest", least=0, most=1)


@dataclass(frozen=True, kw_only=True)
class AulParameters:
    """Of `labelaudit.methods.standard`."""

    cut: float = parameter(0.5, "least weight of a label that counts; 0, as in the paper: all count", least=0, most=1)


@dataclass(frozen=True, kw_only=True)
class D2LParameters:
    """Of `labelaudit.methods.d2l`."""

    window: int = parameter(5, "epochs with which the dimension of the present one is compared", least=2)
    init_share: float = parameter(
        1 / 3, "share of the training before the first window that is compared", least=0, most=1
    )
    neighbors: int = parameter(20, "nearest samples from which a dimension is estimated", least=2)
    samples: int = parameter(1280, "images whose features are examined before each epoch", least=3)
    chunk: int = parameter(128, "images among which neighbors are looked for", least=3)


@dataclass(frozen=True, kw_only=True)
class MentorNetParameters:
    """Of `labelaudit.methods.mentornet`."""

    percentile: float = parameter(
        0.75, "share of a batch whose losses count as small; published: 0.5 at 80% noise", least=0, most=1
    )
    average_decay: float = parameter(0.5, "share of the old value in the moving percentile", least=0, below=1)
    gamma: float = parameter(1.0, "how far above the percentile a loss counts a little, late in the training", above=0)
    burn_in: float = parameter(0.0, "share of the training in which all samples count", least=0, most=1)
    early_dropout: float = parameter(0.5, "share of a batch that is left out at random, early", least=0, below=1)
    early_share: float = parameter(0.17, "share of the training that is early", least=0, most=1)
    dropout: float = parameter(0.05, "share of a batch that is left out at random, later", least=0, below=1)


@dataclass(frozen=True, kw_only=True)
class IncvParameters:
    """Of `labelaudit.retraining.incv` and `labelaudit.methods.incv`."""

    iterations: int = parameter(4, "rounds of cross-validation", least=1)
    selection_share: float = parameter(
        0.25, "epochs of each of the two trainings in a round, as a share of the training's", above=0, most=1
    )
    noise_type: Literal["auto", "symmetric", "asymmetric"] = parameter(
        "auto", "wrong labels of all classes or of few; auto: by the labels that disagree in the first round"
    )
    ramp_share: float = parameter(0.05, "share of the training over which fewer and fewer are kept", least=0, most=1)
    believed_share: float = parameter(
        0.2,
        "share of the training on believed labels alone; twice that if asymmetric or above 60% noise",
        least=0,
        most=1,
    )


@dataclass(frozen=True, kw_only=True)
class DivideMixParameters:
    """Of `labelaudit.methods.dividemix`."""

    threshold: float = parameter(0.5, "weight from which on a label is believed", least=0, most=1)
    temperature: float = parameter(0.5, "sharpening of refined and guessed labels; 1 leaves them", above=0, most=1)
    alpha: float = parameter(4.0, "of the beta distribution that mixtures are drawn from; 0 mixes nothing", least=0)
    noise_type: Literal["auto", "symmetric", "asymmetric"] = parameter(
        "auto", "wrong labels of all classes or of few; auto: by the guesses for suspicious samples after the warm-up"
    )
    guess_weight: float | Literal["auto"] = parameter(
        "auto",
        "weight of the loss on guessed labels; auto: 0, from 35% noise on 25, from 85% on 50; 0 if asymmetric",
        least=0,
    )
    views: int = parameter(2, "how often a step has each sample, each time augmented anew", least=1)
    balance: float = parameter(1.0, "weight of the loss that keeps predictions spread over the classes", least=0)
    warmup_share: float = parameter(1 / 30, "share of the training before labels are guessed", least=0, most=1)
    ramp_share: float = parameter(16 / 300, "share of the training over which that loss grows", least=0, most=1)


@dataclass(frozen=True, kw_only=True)
class CoTeachingParameters:
    """Of `labelaudit.methods.co_teaching`."""

    noise_rate: float | None = parameter(None, "share of each batch that is dropped in the end", least=0, below=1)
    warm_up_epochs: int = parameter(10, "epochs over which the dropped share rises from 0", least=1)
    exponent: float = parameter(1.0, "how it rises: (epoch to this power) / warm_up_epochs", above=0)


@dataclass(frozen=True, kw_only=True)
class ElrParameters:
    """Of `labelaudit.methods.elr`."""

    strength: float = parameter(3.0, "λ: how much early beliefs count against the given label; 0 is standard", least=0)
    beta: float = parameter(0.7, "β: share of the old belief that stays in each epoch", least=0, below=1)


@dataclass(frozen=True, kw_only=True)
class ParameterInfo:
    """The documentation of a parameter: name, type in words, default, meaning, and range by the words of `_LIMITS`."""

    name: str
    kind: str
    default: Any
    what: str
    limits: Mapping[str, float]


def lacking(method: str, need: Need) -> UsageError:
    """Return the error of a method that is not given what it needs."""
    what, fix = _NEEDED[need]
    return UsageError(f"the method {method} needs {what}", fix=fix)


def describe_parameters(kind: type) -> list[ParameterInfo]:
    """Return the documentation of a method's parameters."""
    hints = typing.get_type_hints(kind)
    return [
        ParameterInfo(name=of.name, kind=_in_words(hints[of.name]), default=of.default, **of.metadata)
        for of in fields(kind)
    ]


def make_parameters(method: str, kind: type, given: Mapping[str, object]) -> Any:
    """Return a method's settings, of its dataclass ``kind``, from text of the command line or values of Python.

    Raises UsageError for an unknown name, a value of another type or out of range.
    """
    known = {info.name: info for info in describe_parameters(kind)}
    hints, values = typing.get_type_hints(kind), {}
    for name, value in given.items():
        if name not in known:
            has = f"it has: {', '.join(known)}" if known else "it has none"
            raise UsageError(f"unknown parameter {name!r} for {method}", fix=has)
        values[name] = _checked(method, known[name], hints[name], value)
    return kind(**values)


def _checked(method: str, info: ParameterInfo, hint: Any, value: object) -> object:
    import msgspec  # not needed to list the methods

    read = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            read = float(value)  # msgspec reads the numbers of JSON only, which lack .5
    try:
        found = msgspec.convert(read, hint, strict=False)
    except msgspec.ValidationError:
        found = None
    if found is None or (isinstance(found, float) and not math.isfinite(found)):
        raise UsageError(f"parameter {info.name} of {method} is {value!r}", fix=f"give {info.kind}")
    limits = [(*_LIMITS[name], limit) for name, limit in info.limits.items()]
    if isinstance(found, int | float) and not all(holds(found, limit) for _, holds, limit in limits):
        within = " and ".join(f"{words} {limit:g}" for words, _, limit in limits)
        raise UsageError(f"parameter {info.name} of {method} is {value}, out of range", fix=f"give {within}")
    return found


def _in_words(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(typing.get_args(hint))
    kind = next(iter(typing.get_args(hint)), hint)  # of several, the first
    return {float: "a number", int: "a whole number", bool: "true or false", str: "a word"}[kind]
