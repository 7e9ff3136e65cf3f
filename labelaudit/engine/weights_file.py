"""Reading the weights of a network from a file, however a training has wrapped them; no code of the file is run."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from labelaudit.errors import ModelError

_WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "params_ema",
    "ema_model",
    "ema_state_dict",
    "ema",
    "teacher",
    "state_dict",
    "model_state_dict",
    "model",
    "module",
)
"""Entries of a checkpoint in which its state dict may lie, the best first: averaged weights come before the last ones,
as timm has it."""

_SETTINGS = ("args", "opt", "config", "cfg", "hparams", "hyper_parameters")
_NAMES = ("arch", "architecture", "model_name", "model", "backbone")
_DEEPEST = 5
_AVERAGED = frozenset({"ema", "averaged", "swa", "teacher"})
"""Words in the names of averaged weights: where a file has those and the last ones, these are taken."""

_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """What a weights file holds.

    Attributes:
        tensors: The state dict.
        model: The timm model that the file says it is of; None if it does not say.
    """

    tensors: dict[str, torch.Tensor]
    model: str | None


def read_weights_file(file: Path) -> WeightsFile:
    """Read a state dict without running code.

    Raises:
        ModelError: the file is missing or damaged, or holds no state dict.
    """
    checkpoint = _read_checkpoint(file)
    return WeightsFile(tensors=_state_dict(checkpoint, file), model=_named_model(checkpoint, file))


def _read_checkpoint(file: Path) -> object:
    """What a weights file holds."""
    try:
        with open(file, "rb") as handle:
            start = handle.read(len(_LFS_POINTER))
        if start == _LFS_POINTER:
            raise ModelError(f"{file} is a Git LFS pointer, not the weights", fix="run git lfs pull")
        if not start:
            raise ModelError(f"{file} is empty", fix="save or download it again")
        # A safetensors file begins with the length of its header, which is JSON, whatever it is called.
        return load_file(file) if start[8:9] == b"{" else _load_plain(file)
    except ModelError:
        raise
    except FileNotFoundError as error:
        raise ModelError(f"there is no weights file {file}", fix="check the path") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"cannot read the weights file {file}", fix="is it whole, and of this format?") from error
    except Exception as error:  # torch reports damage and forbidden content through many types
        raise ModelError(
            f"{file} does not load as plain tensors", fix="save the model's state_dict(), or use safetensors"
        ) from error


class _Ignored:
    """Stands for an object of a class that is not imported: what a checkpoint holds beside its tensors."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            vars(self).update(state)


class _IgnoredDict:
    """The same for a class of dicts: torch fills no others than its own."""

    def __new__(cls, *_: object) -> OrderedDict[object, object]:  # type: ignore[misc]
        return OrderedDict()


def _load_plain(file: Path) -> object:
    """What torch loads with weights_only, where unknown classes and functions are replaced by `_Ignored`.

    Modules stay unknown: torch refuses a whole network that was pickled.
    """
    unknown: list[str] = []
    with torch.serialization.safe_globals([argparse.Namespace]):
        with contextlib.suppress(ValueError):  # the format before torch 1.6 cannot be searched
            unknown = torch.serialization.get_unsafe_globals_in_checkpoint(file)
        stand_ins: list[Any] = [_stand_in(name) for name in unknown if not name.startswith("torch.")]
        with torch.serialization.safe_globals(stand_ins):
            found: object = torch.load(file, map_location="cpu", weights_only=True)
    return found


def _stand_in(name: str) -> type:
    module, _, short = name.rpartition(".")
    base = _IgnoredDict if short.lower().endswith(("dict", "dictconfig", "cfgnode")) else _Ignored
    return type(short, (base,), {"__module__": module})


def _state_dict(checkpoint: object, file: Path) -> dict[str, torch.Tensor]:
    tensors = _find_tensors(checkpoint, set())
    if not tensors:
        if _holds_objects(checkpoint):
            raise ModelError(
                f"{file} does not load as plain tensors", fix="save the model's state_dict(), or use safetensors"
            )
        raise ModelError(f"{file} holds no state dict", fix="save the model's state_dict(), or use safetensors")
    return tensors


def _holds_objects(checkpoint: object) -> bool:
    values = checkpoint.values() if isinstance(checkpoint, dict) else [checkpoint]
    return any(isinstance(value, _Ignored) for value in values)


def _find_tensors(entry: object, seen: set[int], depth: int = 0) -> dict[str, torch.Tensor]:
    """The state dict in a checkpoint: that in a usual entry, else the largest dict of tensors."""
    if not isinstance(entry, dict) or id(entry) in seen or depth > _DEEPEST:
        return {}
    seen.add(id(entry))
    for name in _WRAPPERS:
        if found := _find_tensors(entry.get(name), seen, depth + 1):
            return found
    here = {str(name): value for name, value in entry.items() if isinstance(value, torch.Tensor)}
    return max([here, *(_find_tensors(value, seen, depth + 1) for value in entry.values())], key=len)


def _named_model(checkpoint: object, file: Path) -> str | None:
    """The model that a checkpoint says it is of, by an entry or by the name of its file."""
    entries: list[object] = [checkpoint]
    if isinstance(checkpoint, dict):
        entries += [checkpoint.get(name) for name in _SETTINGS]
    settings = [entry if isinstance(entry, dict) else getattr(entry, "__dict__", {}) for entry in entries]
    names = [known.get(name) for known in settings for name in _NAMES] + [file.name.split(".")[0].split("-")[0]]
    return next((name for name in names if isinstance(name, str) and timm.is_model(name.split(".")[0])), None)


def unwrapped(state: dict[str, torch.Tensor], own: Collection[str]) -> dict[str, torch.Tensor]:
    """The tensors of one network under its own names, without what wrappers put in front of them.

    Wrappers are torch.compile (``_orig_mod.``), DataParallel (``module.``), and classes that have the network as an
    attribute, as in Lightning (``model.``). The prefix is the one under which most names of the network are found; what
    lies beside it belongs to something else. Of two as good, the one of averaged weights is taken, then the shorter.
    """
    state = {name.replace("_orig_mod.", ""): tensor for name, tensor in state.items()}
    names = list(own)
    prefixes = {""} | {
        found.removesuffix(name)
        for name in (names[0], names[len(names) // 2])
        for found in state
        if found.endswith(f".{name}")
    }
    ordered = sorted(
        prefixes, key=lambda prefix: (_AVERAGED.isdisjoint(re.split(r"[._]", prefix)), len(prefix), prefix)
    )
    best = max(ordered, key=lambda prefix: sum(prefix + name in state for name in names))
    return {name.removeprefix(best): tensor for name, tensor in state.items() if name.startswith(best)}
