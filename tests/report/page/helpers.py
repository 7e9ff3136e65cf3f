"""Run folders made without a training: images, made-up losses, and the fit of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labelaudit.auditing.fit import fit
from labelaudit.auditing.model import Audit
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import scan
from labelaudit.detect.verdicts import FitSettings
from labelaudit.report.gate import Limits, make_report
from labelaudit.report.page.write import Page, write_page
from labelaudit.run.documents import TRAINED, Description, RecordedData, as_json
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import write_epoch
from labelaudit.run.tables import write_samples
from tests.data.helpers import encoded, noise_image, write_files
from tests.run.helpers import losses_of

EPOCHS = 6


@dataclass(frozen=True)
class MadeUp:
    run: RunFolder
    catalogue: Catalogue


def noise_png(number: int = 0, size: tuple[int, int] = (12, 10)) -> bytes:
    """A PNG of its own for each number."""
    return encoded(noise_image(number, size))


def write_noise_images(root: Path, names: Sequence[str]) -> Path:
    """Write an image of its own under each of these paths."""
    return write_files(root, {name: noise_png(number) for number, name in enumerate(names)})


def make_run(folder: Path, root: Path, *, wrong: Sequence[str] = (), labels_file: Path | None = None) -> MadeUp:
    """A finished audit of a folder in which the loss of the samples with these paths stays high."""
    catalogue = scan(root, labels_file=labels_file)
    places = [catalogue.paths.index(path) for path in wrong]
    return record(folder, catalogue, places, labels_file)


def record(folder: Path, catalogue: Catalogue, wrong: Sequence[int], labels_file: Path | None = None) -> MadeUp:
    """Write a run of these samples: the losses of all fall, but those of the wrong ones do not."""
    run, count = RunFolder(folder), len(catalogue)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"epochs": EPOCHS, "members": 1, "model": "labelaudit_probe", "kind": "train"}
    data, finished = RecordedData.of(catalogue, labels_file), "2026-03-04T05:06:07+00:00"
    run.write_description(as_json(Description(status=TRAINED, finished=finished, settings=settings, data=data)))
    write_samples(run.samples, catalogue)
    generator = np.random.default_rng(0)
    is_wrong_N = np.isin(np.arange(count), list(wrong))
    other_N = (catalogue.label_N + 1) % len(catalogue.classes)
    for epoch in range(EPOCHS):
        level_N = np.where(is_wrong_N, 3.0, 2.0 / (1 + epoch))
        loss_N = level_N * generator.uniform(0.8, 1.2, count)
        margin_N = np.where(is_wrong_N, -2.0, 2.0) * generator.uniform(0.8, 1.2, count)
        columns = {"sample": np.arange(count), "margin": margin_N, "alternative": other_N}
        columns["predicted"] = np.where(is_wrong_N, other_N, catalogue.label_N)
        read = {name: value_N[catalogue.used_N] for name, value_N in columns.items()}
        write_epoch(run.losses, losses_of(loss_N[catalogue.used_N], epoch=epoch, **read))
    fit(run, FitSettings.chosen(estimator="gmm"))
    return MadeUp(run, catalogue)


def page_of(run: RunFolder, path: Path | None = None, *, baseline: Path | None = None, **options: Any) -> Page:
    audit = Audit(run)
    return write_page(audit, make_report(audit, Limits(), baseline=baseline, top=0).listed, path, **options)
