"""Networks by name: small-image networks of our own, and all of timm's.

- ``cifar_resnet20``, ``32``, ``44``, ``56``: 3 × (3, 5, 7, 9) blocks, widths 16/32/64, stem 3×3, zero-padded shortcuts
  (He et al. 2016, section 4.2); ``cifar_resnet32`` is the AUL paper's probe;
- ``labelaudit_probe``: 3 blocks, widths 32/64/128, stem 4×4 with stride 2: the fast probe;
- ``labelaudit_probe_coarse``: the same with a stem 8×8 of stride 4, for images of 80 pixels and more;
- ``labelaudit_probe_pooled``: groups of widths 32/128/256, the balanced probe: a third of the fast one's speed, and
  much better at telling classes apart; ``labelaudit_probe_pooled_wide``: 64/256/256, the strong probe;
- ``wide_resnet28_10``, ``wide_resnet16_4``: 36.5 and 2.7 million parameters.

timm takes as long to import as torch, so both are imported where a network is asked for.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Mapping
from typing import Any

from labelaudit.engine.draws import derive_seed
from labelaudit.engine.lazy import torch
from labelaudit.errors import ModelError

_FAST = {"blocks": (1, 1, 1), "widths": (32, 64, 128)}
_OURS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "labelaudit_probe": ("small_resnet", {**_FAST, "stem_kernel": 4, "stem_stride": 2}),
    "labelaudit_probe_coarse": ("small_resnet", {**_FAST, "stem_kernel": 8, "stem_stride": 4}),
    "labelaudit_probe_pooled": ("pooled_network", {"widths": (32, 128, 256)}),
    "labelaudit_probe_pooled_wide": ("pooled_network", {"widths": (64, 256, 256)}),
    "wide_resnet28_10": ("wide_resnet", {"depth": 28, "widen": 10}),
    "wide_resnet16_4": ("wide_resnet", {"depth": 16, "widen": 4}),
}
"""Function in `labelaudit.engine.small_networks`, and its parameters."""
for _depth, _blocks in ((20, 3), (32, 5), (44, 7), (56, 9)):
    _OURS[f"cifar_resnet{_depth}"] = ("small_resnet", {"blocks": (_blocks,) * 3, "widths": (16, 32, 64)})


def is_ours(name: str) -> bool:
    """True for a network of this package, which takes images of any size, with one channel or three."""
    return name in _OURS


def create(name: str, **kwargs: Any) -> torch.nn.Module:
    """Build a network; of our own, ``kwargs`` are num_classes and in_chans, else those of timm's create_model."""
    if name in _OURS:
        from labelaudit.engine import small_networks

        kind, parameters = _OURS[name]
        ours: torch.nn.Module = getattr(small_networks, kind)(**parameters, **kwargs)
        return ours
    import timm

    network: torch.nn.Module = timm.create_model(name, **kwargs)
    return network


def is_known(name: str) -> bool:
    """True for the name of an architecture, with or without a tag behind its dot."""
    import timm

    return name in _OURS or timm.is_model(name.partition(".")[0])


def pretrained_config(name: str) -> Any:
    """Return timm's configuration of a model's pretrained weights; None where it has none."""
    if name in _OURS:
        return None
    import timm

    return timm.get_pretrained_cfg(name)


def require_known(name: str) -> None:
    """Raise a ModelError, with the names that come close, for a model or tag behind its dot that is not known."""
    if name in _OURS:
        return
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, [*_OURS, *timm.list_models()], n=3, cutoff=0.6)
        hint = f"close names: {', '.join(close)}" if close else "timm.list_models() has all names"
        raise ModelError(f"unknown model {name!r}", fix=hint)
    with contextlib.suppress(RuntimeError):
        if not tag or timm.get_pretrained_cfg(name) is not None:
            return
    tagged = timm.list_pretrained(f"{architecture}.*")
    fix = f"there are {', '.join(tagged)}" if tagged else "leave the tag out"
    raise ModelError(f"{architecture} has no weights tagged {tag!r}", fix=fix)


def linear_head(features: int, num_classes: int, *, seed: int) -> torch.nn.Linear:
    """Build a linear classifier on embeddings."""
    with torch.random.fork_rng([]):
        torch.manual_seed(derive_seed(seed, "initial weights"))
        return torch.nn.Linear(features, num_classes)
