"""What a network is fed: images that are augmented as whole batches, or embeddings.

Shapes: N rows, B batch, C channels, H height, W width, R = B · C · H rows of pixels, D features.
"""

from __future__ import annotations

import copy
import mmap
import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from labelaudit.detect import Float32Array
from labelaudit.engine.devices import Device
from labelaudit.engine.lazy import torch
from labelaudit.names import AugmentName, BorderName

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel or feature."""

_DEVICE_SHARE = 0.5
"""Share of the device's free memory that pixels may take."""

_FEATURES = 64
"""So many features are standardized together, in float64."""

_RELEASE_BYTES = 1 << 30
"""So much is read through a memory map before its pages are handed back to the system."""


def _map_behind(owner: object) -> mmap.mmap | None:
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return owner if isinstance(owner, mmap.mmap) else None


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random shift by up to ``pad`` pixels, and a left-right flip of every second image.

    What lies outside of the image is its reflection, ``zeros`` (black, before images are normalized) or its ``edge``.
    """

    name: AugmentName = "crop-flip"
    pad: int = 2
    border: BorderName = "reflect"


@dataclass(frozen=True, kw_only=True)
class Views:
    """How each image of an epoch is shifted down and to the right, in pixels, and whether it is flipped."""

    shift_N2: torch.Tensor
    flip_N: torch.Tensor

    def part(self, places: slice | torch.Tensor) -> Views:
        """Return those at some places."""
        return Views(shift_N2=self.shift_N2[places], flip_N=self.flip_N[places])


class Inputs(Protocol):
    """Rows that can be turned into a batch for a network."""

    def __len__(self) -> int: ...

    def draw_views(self, generator: torch.Generator, count: int) -> Views | None:
        """Return ``count`` random views, on the device; None where rows are always seen alike."""
        return None

    def batch(self, index_B: torch.Tensor, views: Views | None) -> torch.Tensor:
        """Return the rows ``index_B`` (int64, on the CPU) on the device, as the views of the batch show them."""


class ImageInputs:
    """uint8 images, normalized per channel by mean and standard deviation of pixel / 255.

    They are moved to the device when they fit, left in memory or behind a memory map otherwise. Mapped ones of a batch
    are read together, and their pages are handed back, so that memory stays free. A memory map is of a file from its
    first byte on, or a slice of its first rows.
    """

    def __init__(
        self,
        pixels_NCHW: torch.Tensor | npt.NDArray[np.uint8],
        *,
        mean_C: tuple[float, ...],
        std_C: tuple[float, ...],
        augment: Augment,
        device: Device,
    ) -> None:
        self._augment = augment
        self._device = torch.device(str(device))
        self._map = _map_behind(pixels_NCHW)
        self._read_bytes = 0
        with warnings.catch_warnings():
            # It may not be written to, and is not. A private writable map would be refused where memory is smaller.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            pixels = pixels_NCHW if isinstance(pixels_NCHW, torch.Tensor) else torch.from_numpy(pixels_NCHW)
        self._row_bytes = pixels[:1].numel()
        if self._map is None and device.type == "cuda":
            fits = pixels.numel() < _DEVICE_SHARE * torch.cuda.mem_get_info(self._device)[0]
            pixels = pixels.to(self._device) if fits else pixels
        self._pixels_NCHW = pixels
        mean_1C11, std_1C11 = (torch.tensor(each, device=self._device).view(1, -1, 1, 1) for each in (mean_C, std_C))
        self._scale, self._shift = 1.0 / (255.0 * std_1C11), -mean_1C11 / std_1C11

    def augmented(self, augment: Augment) -> ImageInputs:
        """Return the same images with another augmentation. Both share the pixels."""
        other = copy.copy(self)
        other._augment = augment
        return other

    def __len__(self) -> int:
        return len(self._pixels_NCHW)

    def draw_views(self, generator: torch.Generator, count: int) -> Views | None:
        """Draw views by the augmentation; on the CPU, so that they do not depend on the device."""
        if self._augment.name == "none":
            return None
        height, width = self._pixels_NCHW.shape[2:]
        views = draw_views(count, (height, width), self._augment, generator)
        return Views(shift_N2=views.shift_N2.to(self._device), flip_N=views.flip_N.to(self._device))

    def batch(self, index_B: torch.Tensor, views: Views | None) -> torch.Tensor:
        """Return normalized float32 images [B, C, H, W], channels last in memory."""
        x_BCHW = self._take(index_B)
        if views is not None:
            x_BCHW = show(x_BCHW, views, self._augment.border)
        x_BCHW = x_BCHW.to(torch.float32, memory_format=torch.channels_last)
        return x_BCHW.mul_(self._scale).add_(self._shift)

    def _take(self, index_B: torch.Tensor) -> torch.Tensor:
        """Return uint8 [B, C, H, W] on the training's device."""
        if self._map is not None and hasattr(mmap, "MADV_WILLNEED"):
            # Many rows at once, where the training would wait for each.
            for row in index_B.tolist():
                start = row * self._row_bytes // mmap.PAGESIZE * mmap.PAGESIZE
                self._map.madvise(mmap.MADV_WILLNEED, start, (row + 1) * self._row_bytes - start)
        if self._pixels_NCHW.device == self._device:
            taken_BCHW = self._pixels_NCHW[index_B.to(self._device, non_blocking=True)]
        else:
            shape = (len(index_B), *self._pixels_NCHW.shape[1:])
            pinned_BCHW = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
            torch.index_select(self._pixels_NCHW, 0, index_B, out=pinned_BCHW)
            taken_BCHW = pinned_BCHW.to(self._device, non_blocking=True)
        self._read_bytes += taken_BCHW.numel()
        if self._map is not None and self._read_bytes > _RELEASE_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            # The system keeps what it read as long as it has room; only this process lets go of it.
            self._map.madvise(mmap.MADV_DONTNEED)
            self._read_bytes = 0
        return taken_BCHW


class FeatureInputs(Inputs):
    """Embeddings [N, D], standardized per feature; they are not augmented.

    ``feature_ND``, float32, is standardized in place: there may be no memory for another one.
    """

    def __init__(self, feature_ND: Float32Array, *, statistics: Statistics, device: Device) -> None:
        mean_D, std_D = np.array(statistics)
        for part in _feature_parts(feature_ND):
            feature_ND[:, part] = (feature_ND[:, part] - mean_D[part]) / std_D[part]
        self.feature_ND = feature_ND
        self._device = device

    def __len__(self) -> int:
        return len(self.feature_ND)

    def batch(self, index_B: torch.Tensor, views: Views | None) -> torch.Tensor:
        """Return float32 embeddings [B, D]."""
        return torch.from_numpy(self.feature_ND[index_B.numpy()]).to(str(self._device))

    @staticmethod
    def statistics(feature_ND: Float32Array) -> Statistics:
        """Return mean and standard deviation of each feature; 1 for a feature that never changes."""
        parts = [
            (part_Nd.mean(axis=0), part_Nd.std(axis=0))
            for part in _feature_parts(feature_ND)
            for part_Nd in [feature_ND[:, part].astype(np.float64)]
        ]
        mean_D, std_D = (np.concatenate(values) for values in zip(*parts, strict=True))
        return tuple(mean_D.tolist()), tuple(np.where(std_D > 1e-6, std_D, 1.0).tolist())


def _feature_parts(feature_ND: Float32Array) -> list[slice]:
    return [slice(start, start + _FEATURES) for start in range(0, feature_ND.shape[1], _FEATURES)]


class SomeRows:
    """Some rows (int64 numbers on the CPU) of other inputs, numbered in the order in which they are given."""

    def __init__(self, inputs: Inputs, rows: torch.Tensor) -> None:
        self._inputs = inputs
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def draw_views(self, generator: torch.Generator, count: int) -> Views | None:
        """Draw views as the other inputs do."""
        return self._inputs.draw_views(generator, count)

    def batch(self, index_B: torch.Tensor, views: Views | None) -> torch.Tensor:
        """See `Inputs`."""
        return self._inputs.batch(self._rows[index_B], views)


def draw_views(count: int, size: tuple[int, int], settings: Augment, generator: torch.Generator) -> Views:
    """Draw random shifts and flips for images of this height and width; the generator is on the CPU."""
    # Reflection reaches at most one pixel less than the image is wide.
    pad = min(settings.pad, size[0] - 1, size[1] - 1)
    shift_N2 = torch.randint(0, 2 * pad + 1, (count, 2), generator=generator) - pad
    flip_N = torch.rand(count, generator=generator) < 0.5
    return Views(shift_N2=shift_N2, flip_N=flip_N & (settings.name == "crop-flip"))


def show(x_BCHW: torch.Tensor, views: Views, border: BorderName = "reflect") -> torch.Tensor:
    """Shift every image of a batch over a border and flip it, by a view of its own on the same device."""
    count, channels, height, width = x_BCHW.shape
    device = x_BCHW.device
    shifted_BH = torch.arange(height, device=device) + views.shift_N2[:, :1]
    shifted_BW = torch.arange(width, device=device) + views.shift_N2[:, 1:]
    shifted_BW = torch.where(views.flip_N[:, None], shifted_BW.flip(1), shifted_BW)
    row_BH, column_BW = _within(shifted_BH, height, border), _within(shifted_BW, width, border)
    # Whole rows first, as blocks of memory: two to four times as fast as element after element in both directions.
    first_row_BC1 = height * torch.arange(count * channels, device=device).view(count, channels, 1)
    row_R = (first_row_BC1 + row_BH[:, None, :]).flatten()
    x_BCHW = x_BCHW.reshape(-1, width).index_select(0, row_R).view(x_BCHW.shape)
    x_BCHW = x_BCHW.gather(3, column_BW[:, None, None, :].expand(x_BCHW.shape))
    if border == "zeros":
        inside_BHW = (shifted_BH == row_BH)[:, :, None] & (shifted_BW == column_BW)[:, None, :]
        x_BCHW *= inside_BHW[:, None]
    return x_BCHW


def _within(position: torch.Tensor, length: int, border: BorderName) -> torch.Tensor:
    """Return which row or column is seen at each position, some of which are outside of the image."""
    if border != "reflect":
        return position.clamp(0, length - 1)
    position = position.abs()
    return torch.where(position >= length, 2 * (length - 1) - position, position)


def channel_statistics(pixels_NCHW: npt.NDArray[np.uint8], most: int = 5000) -> Statistics:
    """Return mean and standard deviation per channel, of pixel / 255, over at most ``most`` evenly spaced images."""
    step = max(1, -(-len(pixels_NCHW) // most))
    values = torch.from_numpy(np.array(pixels_NCHW[::step])).double() / 255.0
    std_C, mean_C = torch.std_mean(values, dim=(0, 2, 3), correction=0)
    return tuple(mean_C.tolist()), tuple(std_C.clamp(min=1e-3).tolist())
