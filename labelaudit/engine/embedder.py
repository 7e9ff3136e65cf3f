"""Run a frozen backbone on decoded images: by OpenVINO where it can, else by torch.

Several threads call one embedder, each with a small batch of its own: no thread waits for another within a network.

Shapes: B batch, C channels, H height, W width, D features.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from labelaudit.data.images import UInt8Array
from labelaudit.detect import Float32Array
from labelaudit.engine.devices import is_out_of_memory
from labelaudit.engine.inputs import Statistics
from labelaudit.errors import DeviceError, brief
from labelaudit.names import Precision
from labelaudit.progress import Reporter

Embedder = Callable[[UInt8Array], Float32Array]
"""Give the features [B, D] of uint8 images [B, C, H, W]."""

_SAME = 0.99
"""Least cosine of a converted network's features with the original's. They agree to 1e-5 in float32, and to 2e-4 in
bfloat16; a network that runs other code for other images cannot be converted."""


def build_embedder(
    backbone: nn.Module,
    size: int,
    *,
    statistics: Statistics,
    device: torch.device,
    precision: Precision,
    reporter: Reporter,
) -> Embedder:
    """Return an embedder for images of ``size`` pixels, which it normalizes by the mean and deviation of pixel / 255.

    A network that OpenVINO cannot run is run by torch, which the reporter is told.
    """
    backbone = backbone.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    mean_C11, std_C11 = (torch.tensor(values, device=device).view(-1, 1, 1) for values in statistics)
    scale_C11, shift_C11 = 1.0 / (255.0 * std_C11), -mean_C11 / std_C11

    def features(x_BCHW: torch.Tensor) -> torch.Tensor:
        feature_BD: torch.Tensor = backbone(x_BCHW.float() * scale_C11 + shift_C11)
        return feature_BD.float()

    by_torch = partial(_by_torch, features, device, precision)
    if device.type == "cpu" and importlib.util.find_spec("openvino"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # timm's networks warn while they are traced, and torch of tracing
                return _converted(features, by_torch, (len(mean_C11), size, size), precision)
        except Exception as error:  # of as many types as the converter has parts
            reporter.say(f"torch runs the network, OpenVINO cannot: {brief(error, 120)}")
    return by_torch


def _converted(
    features: Callable[[torch.Tensor], torch.Tensor], by_torch: Embedder, shape: tuple[int, int, int], precision: str
) -> Embedder:
    """Return the network as OpenVINO runs it; raise an exception, of any type, where it cannot or comes out another."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # import fails: nothing can be sent
    import openvino

    core = openvino.Core()
    if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ValueError("this processor has no bfloat16")
    generator = np.random.default_rng(0)
    with torch.inference_mode():
        example_BCHW = torch.from_numpy(generator.integers(0, 256, (2, *shape), dtype=np.uint8))
        traced = torch.jit.trace(features, example_BCHW, check_trace=False)  # type: ignore[no-untyped-call]
    model = openvino.convert_model(traced, input=[([-1, *shape], openvino.Type.u8)])
    threads = torch.get_num_threads()
    options = {"NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
    compiled = core.compile_model(model, "CPU", {**options, "INFERENCE_PRECISION_HINT": _HINTS[precision]})

    def embedded(pixels_BCHW: UInt8Array) -> Float32Array:
        found: dict[Any, Float32Array] = compiled.create_infer_request().infer([pixels_BCHW])
        return found[0]

    # Others than the traced ones, darker and more: what the trace took for constant shows.
    check_BCHW = generator.integers(0, 128, (3, *shape), dtype=np.uint8)
    ours_BD, theirs_BD = embedded(check_BCHW), by_torch(check_BCHW)
    norms_B = np.linalg.norm(ours_BD, axis=1) * np.linalg.norm(theirs_BD, axis=1)
    if not ((ours_BD * theirs_BD).sum(axis=1) >= _SAME * norms_B).all():
        raise ValueError("its features come out differently there")
    return embedded


_HINTS = {"float32": "f32", "bfloat16": "bf16"}


@torch.inference_mode()
def _by_torch(
    features: Callable[[torch.Tensor], torch.Tensor],
    device: torch.device,
    precision: Precision,
    pixels_BCHW: npt.NDArray[np.uint8],
) -> Float32Array:
    """Embed a batch; its halves one after the other, where the device has no memory for all of it."""
    try:
        x_BCHW = torch.from_numpy(pixels_BCHW).to(device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            feature_BD: Float32Array = features(x_BCHW).cpu().numpy()
            return feature_BD
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if len(pixels_BCHW) == 1:
            fix = "try --device cpu, or a smaller --image-size"
            raise DeviceError("the device has no memory for one image", fix=fix) from error
    halves = np.array_split(pixels_BCHW, 2)
    return np.concatenate([_by_torch(features, device, precision, half_BCHW) for half_BCHW in halves])
