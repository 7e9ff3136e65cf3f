"""A small task, a small network and loop settings that the tests of `labelaudit.engine` share."""

from typing import Any

import torch
from torch import nn

from labelaudit.engine.inputs import Augment, ImageInputs
from labelaudit.engine.loop import Task, Training
from labelaudit.engine.settings import TrainingSettings
from labelaudit.engine.step import EpochRecord
from labelaudit.hyperparameters import Hyperparameters
from labelaudit.methods.base import Method
from labelaudit.methods.standard import Standard

CPU = torch.device("cpu")
MEAN_C, STD_C = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
NO_AUGMENT = Augment(name="none")


def small_task(count: int = 42, classes: int = 3, size: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """uint8 images [N, 3, size, size], each class with a bright patch of its own, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    label_N = torch.arange(count) % classes
    pixels_NCHW = torch.randint(0, 160, (count, 3, size, size), generator=generator)
    for row, label in enumerate(label_N.tolist()):
        pixels_NCHW[row, label % 3, 2 : size - 2, 2 : size - 2] += 70
    return pixels_NCHW.to(torch.uint8), label_N


def image_inputs(pixels_NCHW: torch.Tensor, augment: Augment = NO_AUGMENT, device: torch.device = CPU) -> ImageInputs:
    return ImageInputs(pixels_NCHW, mean_C=MEAN_C, std_C=STD_C, augment=augment, device=device)


def small_network(classes: int = 3, *, seed: int = 0, dropout: float = 0.0) -> nn.Module:
    """Convolution, batch norm and a linear layer: some 300 parameters."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(32, classes),
        )


def linear_network(classes: int = 3, *, size: int = 8, seed: int = 0) -> nn.Module:
    """A network in which no sample sees its batch-mates."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, classes))


def loop_settings(**changes: Any) -> Hyperparameters:
    values: dict[str, Any] = {"epochs": 3, "batch_size": 8, "lr": 0.05, "momentum": 0.9, "nesterov": True}
    values |= {"weight_decay": 1e-4, "schedule": "constant", "precision": "float32", "seed": 5}
    return Hyperparameters(**{**values, **changes})


def training_settings(**changes: Any) -> TrainingSettings:
    """Of a small network for images of 8 pixels."""
    values = {"kind": "train", "model": "small", "weights": "scratch", "preset": "fast", "image_size": 8, "channels": 3}
    return TrainingSettings(**{**values, "resize": "stretch", **vars(loop_settings()), **changes})


def train(
    network: nn.Module,
    settings: Hyperparameters,
    method: Method | None = None,
    *,
    task: tuple[torch.Tensor, torch.Tensor] | None = None,
    augment: Augment = NO_AUGMENT,
) -> list[EpochRecord]:
    pixels_NCHW, label_N = task or small_task()
    learned = Task(image_inputs(pixels_NCHW, augment), label_N, method or Standard())
    return list(Training([network], settings, CPU, learned).run_epochs(ignore))


def ignore(_finished: int) -> None:
    """Show no progress."""
