"""What a network is fed: pictures that are augmented as whole batches, or embeddings.

Shapes: N rows, B batch, C channels, H height, W width, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from labelaudit.names import AugmentName


class Inputs(Protocol):
    """Rows that can be turned into a batch for a network."""

    def __len__(self) -> int: ...

    def batch(self, index_B: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """The rows ``index_B`` (int64, on the CPU) on the device; augmented when a generator is given."""


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random shift by up to ``pad`` pixels over a reflected border, and a left-right flip of every second picture."""

    name: AugmentName = "crop-flip"
    pad: int = 2


class ImageInputs:
    """uint8 pictures, normalised per channel.

    Args:
        pixels_NCHW: uint8.
        mean_C, std_C: In units of pixel / 255.
        augment: What happens to training batches.
        device: Where batches go, and the pixels too when they fit.
    """

    def __init__(
        self,
        pixels_NCHW: torch.Tensor,
        *,
        mean_C: tuple[float, ...],
        std_C: tuple[float, ...],
        augment: Augment,
        device: torch.device,
    ) -> None:
        self._pixels_NCHW = pixels_NCHW
        if device.type == "cuda" and pixels_NCHW.numel() < 0.5 * torch.cuda.mem_get_info(device)[0]:
            self._pixels_NCHW = pixels_NCHW.to(device)
        self._augment = augment
        self._device = device
        scale_C = 1.0 / (255.0 * torch.tensor(std_C, device=device))
        self._scale = scale_C.view(1, -1, 1, 1)
        self._shift = (-torch.tensor(mean_C, device=device) / torch.tensor(std_C, device=device)).view(1, -1, 1, 1)

    def __len__(self) -> int:
        return len(self._pixels_NCHW)

    def batch(self, index_B: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Normalised float32 pictures [B, C, H, W], channels last in memory."""
        x_BCHW = self._pixels_NCHW[index_B.to(self._pixels_NCHW.device)].to(self._device)
        if generator is not None and self._augment.name != "none":
            x_BCHW = augment(x_BCHW, self._augment, generator)
        x_BCHW = x_BCHW.to(torch.float32, memory_format=torch.channels_last)
        return x_BCHW.mul_(self._scale).add_(self._shift)


class FeatureInputs:
    """Embeddings, standardised per feature, kept on the device; they are not augmented.

    Args:
        feature_ND: float32.
        statistics: Mean and standard deviation of each feature.
        device: Where they are kept.
    """

    def __init__(
        self, feature_ND: torch.Tensor, *, statistics: tuple[tuple[float, ...], tuple[float, ...]], device: torch.device
    ) -> None:
        mean_D, std_D = (torch.tensor(values, dtype=torch.float64) for values in statistics)
        self._feature_ND = ((feature_ND - mean_D) / std_D).float().to(device)

    def __len__(self) -> int:
        return len(self._feature_ND)

    def batch(self, index_B: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """float32 embeddings [B, D]."""
        return self._feature_ND[index_B.to(self._feature_ND.device)]

    @staticmethod
    def statistics(feature_ND: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each feature; 1 for a feature that never changes."""
        std_D, mean_D = torch.std_mean(feature_ND.double(), dim=0, correction=0)
        std_D = torch.where(std_D > 1e-6, std_D, torch.ones_like(std_D))
        return tuple(mean_D.tolist()), tuple(std_D.tolist())


def augment(x_BCHW: torch.Tensor, settings: Augment, generator: torch.Generator) -> torch.Tensor:
    """Shift and flip every picture of a batch on its own.

    Args:
        x_BCHW: Pictures of any dtype.
        settings: What to do.
        generator: On the CPU, so that draws do not depend on the device.

    Returns:
        Pictures of the same shape and dtype.
    """
    count, _, height, width = x_BCHW.shape
    # Reflection reaches at most one pixel less than the picture is wide.
    pad = min(settings.pad, height - 1, width - 1)
    shift_B2 = torch.randint(0, 2 * pad + 1, (count, 2), generator=generator)
    flip_B = torch.rand(count, generator=generator) < 0.5
    row_BH = _reflected(torch.arange(height) + shift_B2[:, :1] - pad, height)
    column_BW = _reflected(torch.arange(width) + shift_B2[:, 1:] - pad, width)
    if settings.name == "crop-flip":
        column_BW = torch.where(flip_B[:, None], column_BW.flip(1), column_BW)
    row_BH, column_BW = row_BH.to(x_BCHW.device), column_BW.to(x_BCHW.device)
    row_index = row_BH[:, None, :, None].expand(x_BCHW.shape)
    column_index = column_BW[:, None, None, :].expand(x_BCHW.shape)
    return x_BCHW.gather(2, row_index).gather(3, column_index)


def channel_statistics(pixels_NCHW: torch.Tensor, most: int = 5000) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, of pixel / 255, over at most ``most`` evenly spaced pictures."""
    step = max(1, -(-len(pixels_NCHW) // most))
    values = pixels_NCHW[::step].double() / 255.0
    std_C, mean_C = torch.std_mean(values, dim=(0, 2, 3), correction=0)
    return tuple(mean_C.tolist()), tuple(std_C.clamp(min=1e-3).tolist())


def _reflected(position: torch.Tensor, length: int) -> torch.Tensor:
    position = position.abs()
    return torch.where(position >= length, 2 * (length - 1) - position, position)
