"""The small-image networks of our own; `labelaudit.engine.networks` has them by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

_DROPOUT = 0.3
_STEM_WIDTH = 24
_LOGIT_SCALE = 1 / 9


class SmallImageNetwork(nn.Module):
    """Features [B, C, H, W], their pooling to [B, C], and a last layer, as the loading of weights expects."""

    def __init__(
        self,
        features: nn.Sequential,
        pool: Callable[[torch.Tensor], torch.Tensor],
        last: nn.Module,
        logit_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.pretrained_cfg = {"classifier": "fc"}  # read where weights are loaded
        self.features, self.fc = features, last
        self._pool, self._logit_scale = pool, logit_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [B, num_classes]; pooled features for 0 classes."""
        output: torch.Tensor = self.fc(self._pool(self.features(x)))
        return output if self._logit_scale == 1.0 else output * self._logit_scale


def _residual(layers: Sequence[nn.Module], channels: int, num_classes: int) -> SmallImageNetwork:
    """Build a network that pools by the mean, and whose convolutions begin by Kaiming's rule."""
    last = nn.Linear(channels, num_classes) if num_classes else nn.Identity()
    network = SmallImageNetwork(nn.Sequential(*layers), _mean, last)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _mean(x: torch.Tensor) -> torch.Tensor:
    # The gradient comes in the order of dimensions of the mean; converting it takes a twentieth of the training.
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    return x.permute(0, 2, 3, 1).mean(dim=(1, 2)) if channels_last else x.mean(dim=(2, 3))


def _stages(
    block: Callable[[int, int, int], nn.Module], counts: Sequence[int], widths: Sequence[int], channels: int
) -> list[nn.Module]:
    """Build so many blocks of each width; later stages halve the image."""
    blocks = []
    for number, (count, width) in enumerate(zip(counts, widths, strict=True)):
        for place in range(count):
            blocks.append(block(channels, width, 2 if number > 0 and place == 0 else 1))
            channels = width
    return blocks


class WideBlock(nn.Module):
    """BN, ReLU, convolution, twice; the shortcut is a 1×1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(_DROPOUT)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        changes = stride > 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, inputs, H, W] → [B, outputs, ⌈H / stride⌉, ⌈W / stride⌉]."""
        active = functional.relu(self.bn1(x))
        y = self.conv1(active)
        y = self.conv2(self.dropout(functional.relu(self.bn2(y))))
        result: torch.Tensor = y + (x if self.shortcut is None else self.shortcut(active))
        return result


def wide_resnet(*, depth: int, widen: int, num_classes: int = 10, in_chans: int = 3) -> SmallImageNetwork:
    """Build three stages of widths 16, 32 and 64 times ``widen``, with (depth − 4) / 6 blocks each."""
    widths = [16 * widen, 32 * widen, 64 * widen]
    stem = nn.Conv2d(in_chans, 16, 3, 1, 1, bias=False)
    blocks = _stages(WideBlock, [(depth - 4) // 6] * 3, widths, 16)
    return _residual([stem, *blocks, nn.BatchNorm2d(widths[-1]), nn.ReLU()], widths[-1], num_classes)


class Halve(nn.Module):
    """The maximum of each 2×2 square; a single row or column is left as it is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] → [B, C, ⌊H / 2⌋, ⌊W / 2⌋], but at least 1."""
        return functional.max_pool2d(x, 2, ceil_mode=min(x.shape[-2:]) < 2)


def pooled_network(*, widths: Sequence[int], num_classes: int = 10, in_chans: int = 3) -> SmallImageNetwork:
    """Build a 2×2 stem, then a group for each width: convolution 3×3, maximum 2×2, norm, convolution 3×3, norm.

    Every convolution begins as the identity on its first channels (Dirac). The logits are scaled by 1/9, which keeps
    the first losses small.
    """
    stem = nn.Conv2d(in_chans, _STEM_WIDTH, 2, bias=False)
    groups = [_group(*pair) for pair in zip([_STEM_WIDTH, *widths], widths, strict=False)]
    last = nn.Linear(widths[-1], num_classes, bias=False) if num_classes else nn.Identity()
    features = nn.Sequential(stem, nn.ReLU(inplace=True), *groups)
    return SmallImageNetwork(features, _maximum, last, _LOGIT_SCALE if num_classes else 1.0)


def _maximum(x: torch.Tensor) -> torch.Tensor:
    return functional.adaptive_max_pool2d(x, 1).flatten(1)


def _group(channels: int, width: int) -> nn.Sequential:
    first = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    second = nn.Conv2d(width, width, 3, padding=1, bias=False)
    with torch.no_grad():
        for convolution in (first, second):
            nn.init.dirac_(convolution.weight[: convolution.in_channels])
    norms = [nn.BatchNorm2d(width), nn.BatchNorm2d(width)]
    return nn.Sequential(first, Halve(), norms[0], nn.ReLU(inplace=True), second, norms[1], nn.ReLU(inplace=True))


class PaddedShortcut(nn.Module):
    """Shortcut without parameters: average pooling, and zeros for the new channels (option A of He et al. 2016)."""

    def __init__(self, new_channels: int, stride: int) -> None:
        super().__init__()
        self.new_channels = new_channels
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] → [B, C + new, ⌈H / stride⌉, ⌈W / stride⌉]."""
        if self.stride > 1:
            x = functional.avg_pool2d(x, self.stride, ceil_mode=True, count_include_pad=False)
        return functional.pad(x, (0, 0, 0, 0, 0, self.new_channels))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with batch norm, ReLU after the first and after the sum with the shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        changes = stride > 1 or inputs != outputs
        self.shortcut = PaddedShortcut(outputs - inputs, stride) if changes else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, inputs, H, W] → [B, outputs, ⌈H / stride⌉, ⌈W / stride⌉]."""
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)), inplace=True)))
        y += x if self.shortcut is None else self.shortcut(x)
        return functional.relu(y, inplace=True)


def small_resnet(
    *,
    blocks: Sequence[int],
    widths: Sequence[int],
    stem_kernel: int = 3,
    stem_stride: int = 1,
    num_classes: int = 10,
    in_chans: int = 3,
) -> SmallImageNetwork:
    """Build a residual network; ``blocks`` and ``widths`` are those of each stage."""
    padding = (stem_kernel - stem_stride + 1) // 2
    stem = nn.Conv2d(in_chans, widths[0], stem_kernel, stem_stride, padding, bias=False)
    layers = [stem, nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True), *_stages(BasicBlock, blocks, widths, widths[0])]
    return _residual(layers, widths[-1], num_classes)
