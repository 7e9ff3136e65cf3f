"""Where uint8 pixels lie while a training reads them: on the device, in memory, or on the disk behind a memory map.

Shapes: N rows, B batch, C channels, H height, W width.
"""

from __future__ import annotations

import mmap
import warnings
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

_DEVICE_SHARE = 0.5
"""Share of the device's free memory that pixels may take."""

_RELEASE_BYTES = 1 << 30
"""So much is read through the map before its pages are handed back to the system."""


class Rows(Protocol):
    """Pixels by row number."""

    @property
    def place(self) -> str:
        """Where they lie, in words."""

    def __len__(self) -> int: ...

    def announce(self, index_B: torch.Tensor) -> None:
        """Say which rows will be taken soon."""

    def take(self, index_B: torch.Tensor) -> torch.Tensor:
        """uint8 [B, C, H, W] on the training's device, for int64 row numbers on the CPU."""


def open_rows(pixels_NCHW: torch.Tensor | npt.NDArray[np.uint8], device: torch.device) -> Rows:
    """Pixels for a training on a device: moved there when they fit, left where they are otherwise."""
    if isinstance(pixels_NCHW, np.memmap):
        return MappedRows(pixels_NCHW, device)
    tensor_NCHW = pixels_NCHW if isinstance(pixels_NCHW, torch.Tensor) else torch.from_numpy(pixels_NCHW)
    fits = device.type == "cuda" and tensor_NCHW.numel() < _DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]
    return ResidentRows(tensor_NCHW.to(device) if fits else tensor_NCHW, device)


class ResidentRows:
    """Pixels in memory, or on the device.

    Args:
        pixels_NCHW: uint8.
        device: Where batches go.
    """

    def __init__(self, pixels_NCHW: torch.Tensor, device: torch.device) -> None:
        self._pixels_NCHW = pixels_NCHW
        self._device = device

    @property
    def place(self) -> str:
        """See `Rows`."""
        return "in memory" if self._pixels_NCHW.device.type == "cpu" else f"on {self._pixels_NCHW.device}"

    def __len__(self) -> int:
        return len(self._pixels_NCHW)

    def announce(self, index_B: torch.Tensor) -> None:
        """Nothing to do."""

    def take(self, index_B: torch.Tensor) -> torch.Tensor:
        """See `Rows`."""
        if self._pixels_NCHW.device == self._device:
            return self._pixels_NCHW[index_B.to(self._device, non_blocking=True)]
        return _to_device(self._pixels_NCHW, index_B, self._device)


class MappedRows:
    """Pixels behind a memory map: announced rows are read ahead, and pages are handed back, so that memory stays free.

    Args:
        pixels_NCHW: uint8 memory map of a file from its first byte on, or a slice of its first rows.
        device: Where batches go.
    """

    def __init__(self, pixels_NCHW: npt.NDArray[np.uint8], device: torch.device) -> None:
        self._map = _map_behind(pixels_NCHW)
        with warnings.catch_warnings():
            # It may not be written to, and is not. A private writable map would be refused where memory is smaller.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            self._pixels_NCHW = torch.from_numpy(pixels_NCHW)
        self._row_bytes = int(np.prod(pixels_NCHW.shape[1:]))
        self._device = device
        self._read_bytes = 0

    @property
    def place(self) -> str:
        """See `Rows`."""
        return "behind a memory map"

    def __len__(self) -> int:
        return len(self._pixels_NCHW)

    def announce(self, index_B: torch.Tensor) -> None:
        """Have the system read the rows ahead: many at once, where the training would wait for one after the other."""
        if not hasattr(mmap, "MADV_WILLNEED"):
            return
        for row in index_B.tolist():
            start = row * self._row_bytes // mmap.PAGESIZE * mmap.PAGESIZE
            self._map.madvise(mmap.MADV_WILLNEED, start, (row + 1) * self._row_bytes - start)

    def take(self, index_B: torch.Tensor) -> torch.Tensor:
        """See `Rows`."""
        taken_BCHW = _to_device(self._pixels_NCHW, index_B, self._device)
        self._read_bytes += taken_BCHW.numel()
        if self._read_bytes > _RELEASE_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            # The system keeps what it read as long as it has room; only this process lets go of it.
            self._map.madvise(mmap.MADV_DONTNEED)
            self._read_bytes = 0
        return taken_BCHW


def _map_behind(array: npt.NDArray[np.uint8]) -> mmap.mmap:
    owner: object = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if not isinstance(owner, mmap.mmap):
        raise TypeError("the array is not memory-mapped")
    return owner


def _to_device(pixels_NCHW: torch.Tensor, index_B: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type == "cpu":
        return pixels_NCHW[index_B]
    taken_BCHW = torch.empty((len(index_B), *pixels_NCHW.shape[1:]), dtype=torch.uint8, pin_memory=True)
    torch.index_select(pixels_NCHW, 0, index_B, out=taken_BCHW)
    return taken_BCHW.to(device, non_blocking=True)
