"""The training loop that an engineer writes on a normal day, with the ``aum`` package beside it.

Two ways to feed it: torchvision's ImageFolder with two workers, or everything in one TensorDataset. Both train in
float32 with the same network, batch size and optimiser as labelaudit's loop.

Shapes: N samples, B batch, C classes or channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import transforms  # type: ignore[import-untyped]
from torchvision.datasets import ImageFolder  # type: ignore[import-untyped]
from torchvision.transforms import v2  # type: ignore[import-untyped]

from labelaudit.data.catalogue import Catalogue
from labelaudit.reproduce.speed.extras import require
from labelaudit.reproduce.speed.problem import FolderProblem, Problem

Batches = Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
"""Pictures [B, C, H, W], int64 labels [B] and int64 sample numbers [B]."""

WORKERS = 2


class OrdinaryTraining:
    """Epochs of the plain loop.

    Args:
        problem: Network, optimiser and device.
        batches: Gone through once an epoch.
        transform: What happens to a batch of pictures before it is trained on.
        with_aum: Record with the ``aum`` package.

    Raises:
        UsageError: it is not installed.
    """

    def __init__(
        self,
        problem: Problem,
        batches: Batches,
        *,
        transform: Callable[[torch.Tensor], torch.Tensor] | None = None,
        with_aum: bool = True,
    ) -> None:
        settings = problem.settings
        self._device, self._batches, self._transform = problem.device, batches, transform
        self._network: nn.Module = problem.build().to(self._device)
        self._optimizer = torch.optim.SGD(
            self._network.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
        )
        self._calculator: Any = require("aum")[0].AUMCalculator("") if with_aum else None

    def run(self) -> None:
        """Train an epoch."""
        self._network.train()
        for pictures_BCHW, labels_B, sample_B in self._batches:
            x_BCHW, label_B = pictures_BCHW.to(self._device), labels_B.to(self._device)
            logits_BC = self._network(x_BCHW if self._transform is None else self._transform(x_BCHW))
            loss = functional.cross_entropy(logits_BC, label_B)
            if self._calculator is not None:
                self._calculator.update(logits_BC.detach(), label_B, sample_B.tolist())
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()


def folder_batches(folder: FolderProblem) -> DataLoader[Any]:
    """ImageFolder with augmentation, through a DataLoader with two workers that stay between the epochs."""
    settings = folder.problem.settings
    steps = [*_resize(folder), *_augment(folder.problem, transforms), transforms.ToTensor()]
    transform = transforms.Compose([*steps, transforms.Normalize(*folder.statistics)])
    pictures = _Numbered(folder.catalogue, settings.channels, transform)
    return DataLoader(
        pictures,
        batch_size=settings.batch_size,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,
        drop_last=_ends_alone(len(pictures), settings.batch_size),
    )


def tensor_batches(problem: Problem) -> DataLoader[Any]:
    """All pictures, normalised, as one float32 tensor, through a DataLoader without workers."""
    parts = torch.split(torch.arange(len(problem.inputs)), 1024)
    x_NCHW = torch.cat([problem.inputs.batch(index_B, None).cpu().contiguous() for index_B in parts])
    dataset = TensorDataset(x_NCHW, problem.label_R, torch.arange(len(x_NCHW)))
    batch_size = problem.settings.batch_size
    return DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=_ends_alone(len(dataset), batch_size))


def batch_augmentation(problem: Problem) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The same augmentation by torchvision, drawn once for a whole batch."""
    steps = _augment(problem, v2)
    composed: Callable[[torch.Tensor], torch.Tensor] | None = v2.Compose(steps) if steps else None
    return composed


def plain_batches(catalogue: Catalogue, *, size: int, channels: int) -> DataLoader[Any]:
    """ImageFolder with nothing but Resize and ToTensor, through a DataLoader with two workers."""
    transform = transforms.Compose([transforms.Resize((size, size)), transforms.ToTensor()])
    pictures = _Numbered(catalogue, channels, transform)
    return DataLoader(pictures, batch_size=256, num_workers=WORKERS, persistent_workers=True)


class _Numbered(Dataset[tuple[torch.Tensor, int, int]]):
    """ImageFolder, less what is not in the catalogue, with the number of each picture: aum asks for it."""

    def __init__(self, catalogue: Catalogue, channels: int, transform: Callable[[Any], torch.Tensor]) -> None:
        load = _load_grey if channels == 1 else _load_colour
        self._pictures = ImageFolder(str(catalogue.root), transform=transform, loader=load)
        wanted = {str(catalogue.root / path) for path in catalogue.paths}
        self._index_N = [number for number, (path, _) in enumerate(self._pictures.samples) if path in wanted]

    def __len__(self) -> int:
        return len(self._index_N)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int, int]:
        picture, label = self._pictures[self._index_N[number]]
        return picture, label, number


def _load_grey(path: str) -> Image.Image:
    with open(path, "rb") as handle:
        return Image.open(handle).convert("L")


def _load_colour(path: str) -> Image.Image:
    with open(path, "rb") as handle:
        return Image.open(handle).convert("RGB")


def _resize(folder: FolderProblem) -> list[Any]:
    size, catalogue = folder.problem.settings.image_size, folder.catalogue
    fitting = (catalogue.width_N == size).all() and (catalogue.height_N == size).all()
    return [] if fitting else [transforms.Resize((size, size))]


def _augment(problem: Problem, library: Any) -> list[Any]:
    settings = problem.settings
    pad = min(settings.crop_pad, settings.image_size - 1)
    match settings.augment:
        case "none":
            return []
        case "crop":
            return [library.RandomCrop(settings.image_size, padding=pad, padding_mode="reflect")]
        case _:
            crop = library.RandomCrop(settings.image_size, padding=pad, padding_mode="reflect")
            return [crop, library.RandomHorizontalFlip()]


def _ends_alone(count: int, batch_size: int) -> bool:
    """True when the last batch would be a single sample, which neither batch norm nor aum can take."""
    return count > batch_size and count % batch_size == 1
