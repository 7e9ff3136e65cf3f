"""A small task and the ingredients of every method in the table."""

from dataclasses import replace

import torch

from labelaudit.methods.base import Batch, Clock, Ingredients, Method, Verified
from labelaudit.methods.table import MethodEntry

CLASSES = 3


def noisy_labels(truth_R: torch.Tensor) -> torch.Tensor:
    """Every fifth label is the next class."""
    wrong_R = torch.arange(len(truth_R), device=truth_R.device) % 5 == 0
    return torch.where(wrong_R, (truth_R + 1) % CLASSES, truth_R)


def ready(entry: MethodEntry, truth_R: torch.Tensor, **parameters: object) -> Method:
    """The method with all that it may need: weights from .1 to 1, the truth, a noise rate of .2."""
    settings = replace(entry.parameters(), **parameters)
    if hasattr(settings, "noise_rate"):
        settings = replace(settings, noise_rate=0.2)
    weight_R = torch.linspace(0.1, 1, len(truth_R), device=truth_R.device)
    given = {"weight_R": weight_R, "truth_R": truth_R, "batch_size": 8, "verified": verified(len(truth_R))}
    return entry.build(Ingredients(label_R=noisy_labels(truth_R), classes=CLASSES, parameters=settings, **given))


def verified(rows: int) -> Verified:
    """Of four rows the first two are believed, the third is a candidate, the fourth is discarded."""
    place_R = torch.arange(rows) % 4
    return Verified(selected_R=place_R < 2, candidate_R=place_R == 2, noise_rate=0.2, noise_left=0.03, symmetric=True)


def random_batch(count: int = 12, *, seed: int = 0, classes: int = CLASSES) -> tuple[Batch, torch.Tensor]:
    """A batch of the first rows and logits for it."""
    generator = torch.Generator().manual_seed(seed)
    label_B = torch.randint(0, classes, (count,), generator=generator)
    return Batch(row_B=torch.arange(count), label_B=label_B), 2 * torch.randn(count, classes, generator=generator)


def clock(epoch: int = 0, epochs: int = 10, *, step: int = 0, steps: int = 1) -> Clock:
    return Clock(epoch=epoch, epochs=epochs, step=step, steps=steps)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
