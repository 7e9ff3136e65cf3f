"""Spoil a data folder in three ways, audit it, and see what the audit calls each sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from labelaudit import __version__
from labelaudit.audit.advise import advise
from labelaudit.audit.model import Data
from labelaudit.audit.options import TrainingOptions, check_options
from labelaudit.audit.score import score
from labelaudit.data.catalogue import trainable
from labelaudit.data.folder import scan
from labelaudit.errors import RunError, UsageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce.kinds.markdown import as_markdown
from labelaudit.reproduce.kinds.spoil import Rates, write_spoiled
from labelaudit.reproduce.kinds.tables import (
    MatrixRecord,
    PlantedRecord,
    RankingRecord,
    SelectorRecord,
    Start,
    matrix_of,
    planted_of,
    ranking_of,
    selectors_of,
)
from labelaudit.reproduce.tables import to_table
from labelaudit.run.documents import read_description
from labelaudit.run.files import read_json, storage_errors, write_atomically, write_json, write_text
from labelaudit.run.layout import RunFolder


@dataclass(frozen=True, kw_only=True)
class KindsOptions:
    """What is to be measured.

    Attributes:
        data: The image folder; its labels are taken to be right.
        out: Where spoiled copies, audits and tables go.
        rates: How much is spoiled.
        images: Take only so many pictures; None takes all.
        seeds: Of the spoiling and the trainings.
        training: Of the audits; its seed is not looked at.
    """

    data: Path
    out: Path
    rates: Rates
    images: int | None = None
    seeds: Sequence[int] = (0,)
    training: TrainingOptions


def measure_kinds(asked: KindsOptions, reporter: Reporter = QUIET) -> str:
    """Measure, and write ``kinds.md`` and the Parquet tables; what an earlier call finished is only read.

    Args:
        asked: What.
        reporter: Told about the progress.

    Returns:
        The content of kinds.md.

    Raises:
        UsageError: options that contradict each other or the data.
        RunError: the folder holds copies that were spoiled otherwise.
        LabelauditError: see `labelaudit.audit.score.score`.
    """
    _check(asked)
    catalogue = scan(asked.data, reporter=reporter)
    catalogue = trainable(catalogue)
    with storage_errors(asked.out):
        asked.out.mkdir(parents=True, exist_ok=True)
    matrix: list[MatrixRecord] = []
    ranking: list[RankingRecord] = []
    planted: list[PlantedRecord] = []
    selectors: list[SelectorRecord] = []
    text = ""
    for seed in asked.seeds:
        folder = asked.out / f"seed{seed}"
        _settle(folder, asked, catalogue.fingerprint)
        spoiled = write_spoiled(catalogue, folder, asked.rates, seed=seed, images=asked.images)
        run = RunFolder(folder / "run")
        data = Data(root=spoiled.images, labels_file=spoiled.labels)
        fitted = score(data, run, replace(asked.training, seed=seed), reporter=reporter)
        settings, kinds = read_description(run).settings, spoiled.kinds()
        start = Start(noise=asked.rates.name, model=str(settings["model"]), seed=seed)
        matrix += matrix_of(start, fitted, kinds)
        ranking += ranking_of(start, fitted, kinds)
        planted += planted_of(start, fitted)
        selectors += selectors_of(start, advise(run))
        heading = (
            f"# Kinds: {asked.data.resolve().name or 'root'}",
            "",
            f"{len(fitted.catalogue):,} images of {len(catalogue.classes)} classes; {asked.rates.name}; seeds "
            f"{', '.join(map(str, asked.seeds))}; labelaudit {__version__}; the probe is {settings['model']}, "
            f"{settings['image_size']} pixels, {settings['epochs']} epochs.",
        )
        text = as_markdown(heading, matrix, ranking, planted, selectors)
        write_text(asked.out / "kinds.md", text)
        tables = (
            ("matrix", MatrixRecord, matrix),
            ("ranking", RankingRecord, ranking),
            ("planted", PlantedRecord, planted),
            ("selectors", SelectorRecord, selectors),
        )
        for name, record, rows in tables:
            write_atomically(asked.out / f"{name}.parquet", partial(pq.write_table, to_table(record, rows)))
    return text


def _check(asked: KindsOptions) -> None:
    """Everything that can be refused before the pictures are looked at."""
    check_options(asked.training)
    if asked.out.resolve().is_relative_to(asked.data.resolve()):
        raise UsageError(f"--out {asked.out} lies in the data folder", fix="give a folder elsewhere")
    rates = (asked.rates.mislabeled, asked.rates.shuffled, asked.rates.gaussian)
    if not all(0 <= rate <= 1 for rate in rates) or sum(rates) > 1:
        raise UsageError(f"the rates {', '.join(map(str, rates))} are no shares", fix="give 0 to 1, together at most 1")
    twice = [seed for seed in asked.seeds if list(asked.seeds).count(seed) > 1]
    if twice or min(asked.seeds) < 0:
        raise UsageError("--seed is given twice, or negative", fix="give each seed once, from 0")
    if asked.images is not None and asked.images < 1:
        raise UsageError(f"--images {asked.images} is too few", fix="give at least 1")


def _settle(folder: Path, asked: KindsOptions, fingerprint: str) -> None:
    """Write down what a folder is spoiled from and how, or check that it is the same as before."""
    file = folder / "spoiled.json"
    wanted = {"fingerprint": fingerprint, "rates": asked.rates.name, "images": asked.images}
    if not file.exists():
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_json(file, wanted)
    elif read_json(file) != wanted:
        raise RunError(
            f"{folder} was spoiled with other rates, or from other images", fix="delete it, or give another --out"
        )
