"""The settings that methods have of their own: a frozen dataclass each, readable without importing torch.

Every field is made with `parameter`, which holds what it means and its range. A field whose default is None is filled
from an audit, or has to be given.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, cast

from labelaudit.errors import UsageError

_BOOLEANS = {"true": True, "false": False}


def parameter(
    default: Any,
    what: str,
    *,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    above: float | None = None,
) -> Any:
    """A field with its default, what it means, and its range: ``below`` and ``above`` are not in it themselves."""
    limits = {"least": least, "most": most, "below": below, "above": above}
    return dataclasses.field(default=default, metadata={"what": what, "limits": limits})


@dataclass(frozen=True, kw_only=True)
class NoParameters:
    """Of methods that have nothing to set."""


@dataclass(frozen=True, kw_only=True)
class ReedHardParameters:
    """Of `labelaudit.methods.reed_hard`."""

    beta: float = parameter(0.8, "share of the given label in the target; the prediction has the rest", least=0, most=1)


@dataclass(frozen=True, kw_only=True)
class CoTeachingParameters:
    """Of `labelaudit.methods.co_teaching`."""

    noise_rate: float | None = parameter(None, "share of each batch that is dropped in the end", least=0, below=1)
    warm_up_epochs: int = parameter(10, "epochs over which the dropped share rises from 0", least=1)
    exponent: float = parameter(1.0, "how it rises: (epoch / warm_up_epochs) to this power", above=0)


@dataclass(frozen=True, kw_only=True)
class ElrParameters:
    """Of `labelaudit.methods.elr`."""

    strength: float = parameter(3.0, "λ: how much early beliefs count against the given label; 0 is standard", least=0)
    beta: float = parameter(0.7, "β: share of the old belief that stays in each epoch", least=0, below=1)


@dataclass(frozen=True, kw_only=True)
class ParameterInfo:
    """What a user is told of a parameter.

    Attributes:
        name: As in ``-P name=value``.
        kind: ``number``, ``integer``, ``true or false``, or the words to choose from.
        default: Its value when nothing is given; None where an audit's estimate takes its place.
        what: What it means.
        limits: Its range, by ``least``, ``most``, ``below`` and ``above``; None where there is none.
    """

    name: str
    kind: str
    default: Any
    what: str
    limits: Mapping[str, float | None]


def describe_parameters(kind: type) -> list[ParameterInfo]:
    """The parameters of a method."""
    hints = typing.get_type_hints(kind)
    return [
        ParameterInfo(
            name=field.name,
            kind=_in_words(hints[field.name]),
            default=field.default,
            what=field.metadata["what"],
            limits=field.metadata["limits"],
        )
        for field in dataclasses.fields(kind)
    ]


def make_parameters(method: str, kind: type, given: Mapping[str, object]) -> object:
    """A method's settings from what was given.

    Args:
        method: Its name, for errors.
        kind: Its dataclass.
        given: Values by name: text from the command line, or values from TOML or Python.

    Raises:
        UsageError: an unknown name, a value of another type or out of range.
    """
    known = {info.name: info for info in describe_parameters(kind)}
    hints = typing.get_type_hints(kind)
    values = {}
    for name, value in given.items():
        if name not in known:
            has = f"it has: {', '.join(known)}" if known else "it has none"
            raise UsageError(f"unknown parameter {name!r} for {method}", fix=has)
        values[name] = _checked(method, known[name], hints[name], value)
    return kind(**values)


def _checked(method: str, info: ParameterInfo, hint: Any, value: object) -> object:
    kinds = _alternatives(hint)
    found = next((made for kind in kinds if (made := _read(kind, value)) is not None), None)
    if found is None or (isinstance(found, float) and not math.isfinite(found)):
        raise UsageError(f"parameter {info.name} of {method} is {value!r}", fix=f"give {info.kind}")
    if isinstance(found, int | float):
        limits = info.limits
        outside = {
            "least": operator.lt,
            "most": operator.gt,
            "below": operator.ge,
            "above": operator.le,
        }
        if any(limit is not None and outside[name](found, limit) for name, limit in limits.items()):
            raise UsageError(
                f"parameter {info.name} of {method} is {value}, out of range", fix=f"give {_range(limits)}"
            )
    return found


def _read(kind: Any, value: object) -> object | None:
    """The value as this type; None where it is none of it."""
    if typing.get_origin(kind) is Literal:
        return value if value in typing.get_args(kind) else None
    if kind is bool:
        return value if isinstance(value, bool) else _BOOLEANS.get(str(value).lower())
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if kind is int and isinstance(value, float) and not value.is_integer():
        return None
    try:
        return cast(object, kind(value))
    except (ValueError, OverflowError):
        return None


def _alternatives(hint: Any) -> list[Any]:
    if typing.get_origin(hint) in (Union, types.UnionType):
        return [kind for kind in typing.get_args(hint) if kind is not type(None)]
    return [hint]


def _in_words(hint: Any) -> str:
    kind = _alternatives(hint)[0]
    if typing.get_origin(kind) is Literal:
        return " or ".join(typing.get_args(kind))
    return {float: "a number", int: "a whole number", bool: "true or false", str: "a word"}[kind]


def _range(limits: Mapping[str, float | None]) -> str:
    words = {"least": "at least", "above": "more than", "most": "at most", "below": "less than"}
    parts = [f"{words[name]} {limits[name]:g}" for name in words if limits[name] is not None]
    return " and ".join(parts)
