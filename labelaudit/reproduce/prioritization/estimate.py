"""What a measurement is going to take."""

from __future__ import annotations

import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

import labelaudit.engine.networks  # noqa: F401  (registers our networks)
from labelaudit.reproduce.prioritization.settings import Scale

_PIXELS = 32


def what_it_takes(scale: Scale, images: int, trainings: int) -> str:
    """Trainings, epochs and arithmetic, in words.

    Args:
        scale: What is trained.
        images: Of the training data.
        trainings: How many.
    """
    model, epochs = scale.preset.model, scale.preset.epochs
    forward = forward_operations(model)
    # A backward pass is two forward passes, and a selector scores every image once more in the worst case.
    worst = trainings * epochs * images * 4 * forward
    return (
        f"{trainings} trainings of {epochs} epochs on {images:,} images, {model} ({forward / 1e9:.2f} GFLOP forward "
        f"an image of {_PIXELS} pixels): at most {worst / 1e15:,.1f} PFLOP, or "
        f"{worst / 1e15 / 3.6:,.1f} hours at 1 TFLOP/s"
    )


def forward_operations(model: str) -> int:
    """Floating-point operations of a forward pass of one picture; a multiplication and an addition are two."""
    network = timm.create_model(model, num_classes=10).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, _PIXELS, _PIXELS))
    return int(counter.get_total_flops())
