"""The bundled EfficientNet-Lite as OpenVINO runs it, from its weights file: without torch and timm, which take seconds.

Shapes: O, I channels out and in, k side of a kernel, B batch, H height, W width, D features.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from labelaudit.engine.inputs import Statistics

Tensor = npt.NDArray[Any]

_STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of the first block of each stage (Tan & Le 2019, table 1)."""
_EPSILON = 1e-3
"""Of batch norm, in TensorFlow's EfficientNets."""
_TYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _Reader(pickle.Unpickler):
    """Reads a state dict of torch before 1.6 whose SHA-256 is known: tensors are views of storages that follow it."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.storage_of: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        known: dict[str, Any] = {"OrderedDict": OrderedDict, "_rebuild_tensor_v2": lambda *given: given}
        return known.get(name, _TYPES.get(name))

    def persistent_load(self, pid: Any) -> Tensor:
        _, kind, key, _, count, _ = pid
        return self.storage_of.setdefault(key, np.empty(count, dtype=kind))


def read_tensors(file: Path) -> list[Tensor]:
    """Return the tensors of a weights file, in their order."""
    with open(file, "rb") as handle:
        for _ in range(3):  # magic number, version, and the machine's sizes
            pickle.load(handle)
        reader = _Reader(handle)
        views = list(reader.load().values())
        for key in pickle.load(handle):
            storage = reader.storage_of[key]
            handle.seek(8, 1)  # its length again
            storage[:] = np.frombuffer(handle.read(storage.nbytes), dtype=storage.dtype)
    return [
        np.lib.stride_tricks.as_strided(storage[start:], shape, [step * storage.itemsize for step in steps])
        for storage, start, shape, steps, *_ in views
    ]


def lite_model(tensors: Sequence[Tensor], size: int, statistics: Statistics) -> Any:
    """Return the network of uint8 images [B, 3, size, size] and pooled features [B, D]; the classifier is left out.

    Each convolution has six tensors: its weights [O, I, k, k], and scale, shift, mean, variance and count of the batch
    norm behind it, which is multiplied into the weights. A block is one 1×1 convolution to more channels (not in the
    first stage), one of each channel by itself, and one to fewer channels, without ReLU6. The number of channels behind
    a block changes where a stage begins; elsewhere a block's input is added.
    """
    import openvino
    from openvino import opset13 as op

    layers = [tensors[start : start + 6] for start in range(0, len(tensors) - 2, 6)]

    def convolved(x: Any, layer: Sequence[Tensor], stride: int = 1, *, relu: bool = True) -> Any:
        weight_OIkk, scale_O, shift_O, mean_O, variance_O, _ = layer
        scale_O = scale_O / np.sqrt(variance_O + np.float32(_EPSILON))
        weight_OIkk = weight_OIkk * scale_O[:, None, None, None]
        alone = weight_OIkk.shape[1] == 1
        convolve, weights = (op.group_convolution, weight_OIkk[:, None]) if alone else (op.convolution, weight_OIkk)
        y = convolve(x, op.constant(weights), [stride] * 2, [0, 0], [0, 0], [1, 1], "same_upper")
        y = op.add(y, op.constant((shift_O - mean_O * scale_O)[None, :, None, None]))
        return op.clamp(y, 0.0, 6.0) if relu else y

    image = op.parameter([-1, 3, size, size], openvino.Type.u8)
    mean_C, std_C = (np.array(values, dtype=np.float32)[None, :, None, None] for values in statistics)
    x = op.multiply(op.convert(image, "f32"), op.constant(1.0 / (255.0 * std_C)))
    x = op.subtract(x, op.constant(mean_C / std_C))
    x, channels = convolved(x, layers[0], 2), len(layers[0][0])
    strides, place = iter(_STRIDES), 1
    while place < len(layers) - 1:
        block = layers[place : place + (2 if layers[place][0].shape[1] == 1 else 3)]
        place += len(block)
        begins = len(block[-1][0]) != channels
        stride, channels, y = next(strides) if begins else 1, len(block[-1][0]), x
        for layer in block[:-1]:
            y = convolved(y, layer, stride if layer[0].shape[1] == 1 else 1)
        y = convolved(y, block[-1], relu=False)
        x = y if begins else op.add(x, y)
    feature = op.reduce_mean(convolved(x, layers[-1]), op.constant(np.array([2, 3])), False)
    return openvino.Model([feature], [image], "lite")
