"""Run folders made without a training: images, made-up losses, and the fit of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from labelaudit.auditing.fit import fit
from labelaudit.auditing.model import Audit
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import scan
from labelaudit.detect.verdicts import FitSettings
from labelaudit.report.gate import Limits, make_report
from labelaudit.report.page.write import Page, write_page
from labelaudit.run.documents import TRAINED, Description, RecordedData, write_description
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import EpochLosses, write_epoch
from labelaudit.run.tables import write_samples
from tests.data.helpers import encoded

EPOCHS = 6


@dataclass(frozen=True)
class MadeUp:
    run: RunFolder
    catalogue: Catalogue


def noise_image(number: int = 0, size: tuple[int, int] = (12, 10)) -> bytes:
    """A PNG of its own for each number."""
    generator = np.random.default_rng(number)
    return encoded(Image.fromarray(generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)))


def write_noise_images(root: Path, names: Sequence[str]) -> Path:
    """Write an image of its own under each of these paths."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(noise_image(number))
    return root


def make_run(
    folder: Path, root: Path, *, wrong: Sequence[str] = (), labels_file: Path | None = None, epochs: int = EPOCHS
) -> MadeUp:
    """A finished audit of a folder in which the loss of the samples with these paths stays high."""
    catalogue = scan(root, labels_file=labels_file)
    return record(folder, catalogue, [catalogue.paths.index(path) for path in wrong], epochs=epochs)


def record(folder: Path, catalogue: Catalogue, wrong: Sequence[int], *, epochs: int = EPOCHS, seed: int = 0) -> MadeUp:
    """Write a run of these samples: the losses of all fall, but those of the wrong ones do not."""
    run, count = RunFolder(folder), len(catalogue)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"epochs": epochs, "members": 1, "model": "labelaudit_probe", "kind": "train"}
    recorded = RecordedData.of(catalogue)
    write_description(
        run, Description(status=TRAINED, finished="2026-03-04T05:06:07+00:00", settings=settings, data=recorded)
    )
    write_samples(run.samples, catalogue)
    generator = np.random.default_rng(seed)
    is_wrong_N = np.zeros(count, dtype=bool)
    is_wrong_N[list(wrong)] = True
    other_N = ((catalogue.label_N + 1) % len(catalogue.classes)).astype(np.int32)
    for epoch in range(epochs):
        level_N = np.where(is_wrong_N, 3.0, 2.0 / (1 + epoch))
        loss_N = (level_N * generator.uniform(0.8, 1.2, count)).astype(np.float32)
        write_epoch(
            run.losses,
            EpochLosses(
                epoch=epoch,
                sample_R=np.arange(count, dtype=np.int32),
                loss_R=loss_N,
                margin_R=(np.where(is_wrong_N, -2.0, 2.0) * generator.uniform(0.8, 1.2, count)).astype(np.float32),
                predicted_R=np.where(is_wrong_N, other_N, catalogue.label_N).astype(np.int32),
                alternative_R=other_N,
            ),
        )
    fit(run, FitSettings.chosen(estimator="gmm"))
    return MadeUp(run, catalogue)


def page_of(run: RunFolder, path: Path | None = None, *, baseline: Path | None = None, **options: Any) -> Page:
    audit = Audit(run)
    return write_page(audit, make_report(audit, Limits(), baseline=baseline, top=0).listed, path, **options)
