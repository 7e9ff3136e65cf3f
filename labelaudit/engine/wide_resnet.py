"""Wide residual networks for pictures of 32 pixels, in timm's registry: ``wide_resnet28_10`` and ``wide_resnet16_4``.

Source: Zagoruyko & Komodakis 2016, "Wide residual networks", arXiv:1605.07146: three groups of pre-activation blocks of
two 3×3 convolutions, with dropout of .3 between them. "When does loss-based prioritization fail?" trains the first one.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.models import register_model
from torch import nn
from torch.nn import functional

from labelaudit.errors import ModelError

__all__: list[str] = []  # timm's register_model adds the entry points

_DROPOUT = 0.3


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


class WideResNet(nn.Module):
    """Groups of widths 16, 32 and 64 times ``widen``; each after the first halves the picture.

    Args:
        depth: Layers: 6 · blocks of a group + 4.
        widen: Factor on the widths.
        num_classes: Outputs; 0 gives the pooled features.
        in_chans: Input channels.
    """

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
        self.pretrained_cfg = {"classifier": "fc"}  # read by whoever loads weights
        self.num_features = channels
        self.num_classes = num_classes
        self.fc = nn.Linear(channels, num_classes) if num_classes else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps before pooling."""
        return functional.relu(self.bn(self.blocks(self.conv1(x))))

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Pooled features, or logits."""
        pooled = x.mean(dim=(2, 3))
        return pooled if pre_logits else self.fc(pooled)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, num_classes]."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer by a fresh one."""
        self.num_classes = num_classes
        self.fc = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()


def _wide(pretrained: bool, kwargs: dict[str, Any], **architecture: Any) -> WideResNet:
    if pretrained:
        raise ModelError("the wide residual networks have no pretrained weights", fix="leave --pretrained out")
    known = {name: kwargs[name] for name in ("num_classes", "in_chans") if kwargs.get(name) is not None}
    return WideResNet(**architecture, **known)


@register_model  # type: ignore[untyped-decorator]
def wide_resnet28_10(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """WRN-28-10: 36.5 million parameters."""
    return _wide(pretrained, kwargs, depth=28, widen=10)


@register_model  # type: ignore[untyped-decorator]
def wide_resnet16_4(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """WRN-16-4: 2.7 million parameters."""
    return _wide(pretrained, kwargs, depth=16, widen=4)
