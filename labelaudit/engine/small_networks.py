"""The small-image networks of our own; `labelaudit.engine.networks` has them by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

_DROPOUT = 0.3
_STEM_WIDTH = 24
_LOGIT_SCALE = 1 / 9


class SmallImageNetwork(nn.Module):
    """A network of features, pooling and a last layer, as the loading of weights expects.

    A subclass makes its layers, calls `_add_head`, and says in ``_features`` what is pooled.
    """

    has_dirac_convolutions = False  # and a last layer without biases

    def _add_head(self, features: int, num_classes: int) -> None:
        """Make the last layer, and the parameters of the convolutions, if the subclass has not."""
        self.pretrained_cfg = {"classifier": "fc"}  # read where weights are loaded
        bias = not self.has_dirac_convolutions
        self.fc = nn.Linear(features, num_classes, bias=bias) if num_classes else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not self.has_dirac_convolutions:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _pool(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))

    def _features(self, x: torch.Tensor) -> Any:
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [B, num_classes]; pooled features for 0 classes."""
        logits: torch.Tensor = self.fc(self._pool(self._features(x)))
        return logits


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


class WideResNet(SmallImageNetwork):
    """Groups of widths 16, 32 and 64 times ``widen``, with (depth − 4) / 6 blocks each; later ones halve the image."""

    def __init__(self, *, depth: int, widen: int, num_classes: int = 10, in_chans: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, 16, 3, 1, 1, bias=False)
        blocks, channels = [], 16
        for group in range(3):
            width = 16 * 2**group * widen
            for block in range((depth - 4) // 6):
                blocks.append(WideBlock(channels, width, 2 if group > 0 and block == 0 else 1))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(channels)
        self._add_head(channels, num_classes)

    def _features(self, x: torch.Tensor) -> Any:
        return functional.relu(self.bn(self.blocks(self.conv1(x))))


class Halve(nn.Module):
    """The maximum of each 2×2 square; a single row or column is left as it is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] → [B, C, ⌊H / 2⌋, ⌊W / 2⌋], but at least 1."""
        return functional.max_pool2d(x, 2, ceil_mode=min(x.shape[-2:]) < 2)


class PooledNet(SmallImageNetwork):
    """A 2×2 stem, then a group for each width: 3×3 convolution, 2×2 maximum, batch norm, 3×3 convolution, batch norm.

    Every convolution begins as the identity on its first channels (Dirac). The logits are scaled by 1/9, which keeps
    the first losses small.
    """

    has_dirac_convolutions = True

    def __init__(self, *, widths: tuple[int, ...], num_classes: int = 10, in_chans: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_chans, _STEM_WIDTH, 2, bias=False)
        groups, channels = [], _STEM_WIDTH
        for width in widths:
            groups.append(_group(channels, width))
            channels = width
        self.act = nn.ReLU(inplace=True)
        self.groups = nn.Sequential(*groups)
        self.pool = nn.AdaptiveMaxPool2d(1)
        self._add_head(channels, num_classes)

    def _pool(self, x: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = self.pool(x).flatten(1)
        return pooled

    def _features(self, x: torch.Tensor) -> Any:
        return self.groups(self.act(self.stem(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scaled logits [B, num_classes]; pooled features for 0 classes."""
        output = super().forward(x)
        return output if isinstance(self.fc, nn.Identity) else output * _LOGIT_SCALE


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

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, inputs, H, W] → [B, outputs, ⌈H / stride⌉, ⌈W / stride⌉]."""
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)), inplace=True)))
        y += x if self.shortcut is None else self.shortcut(x)
        return functional.relu(y, inplace=True)


class SmallResNet(SmallImageNetwork):
    """Residual network; ``blocks`` and ``widths`` are those of each stage, and later stages halve the image."""

    def __init__(
        self,
        *,
        blocks: tuple[int, ...],
        widths: tuple[int, ...],
        stem_kernel: int = 3,
        stem_stride: int = 1,
        num_classes: int = 10,
        in_chans: int = 3,
    ) -> None:
        super().__init__()
        padding = (stem_kernel - stem_stride + 1) // 2
        self.conv1 = nn.Conv2d(in_chans, widths[0], stem_kernel, stem_stride, padding, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.act1 = nn.ReLU(inplace=True)
        stages, channels = [], widths[0]
        for number, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            for block in range(count):
                stride = 2 if number > 0 and block == 0 else 1
                changes = stride > 1 or width != channels
                shortcut = PaddedShortcut(width - channels, stride) if changes else None
                stages.append(BasicBlock(channels, width, stride, shortcut))
                channels = width
        self.blocks = nn.Sequential(*stages)
        self._add_head(channels, num_classes)

    def _features(self, x: torch.Tensor) -> Any:
        return self.blocks(self.act1(self.bn1(self.conv1(x))))

    def _pool(self, x: torch.Tensor) -> torch.Tensor:
        # The gradient comes in the order of dimensions of the mean; converting it takes a twentieth of the training.
        channels_last = x.is_contiguous(memory_format=torch.channels_last)
        return x.permute(0, 2, 3, 1).mean(dim=(1, 2)) if channels_last else x.mean(dim=(2, 3))
