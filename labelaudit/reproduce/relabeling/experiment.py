"""Noise × seed on one data folder: rounds of audit, review and relabeling, and the tables."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from labelaudit import __version__
from labelaudit.audit.demo import write_digits
from labelaudit.audit.options import TrainingOptions, check_options
from labelaudit.data.catalogue import trainable
from labelaudit.data.folder import scan
from labelaudit.errors import UsageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce.checks import require_outside, require_seeds
from labelaudit.reproduce.detection.settings import parse_noise, require_different
from labelaudit.reproduce.relabeling.markdown import as_markdown
from labelaudit.reproduce.relabeling.rounds import RoundRecord, measure_rounds
from labelaudit.reproduce.tables import to_table
from labelaudit.run.files import storage_errors, write_atomically, write_text

DEFAULT_NOISE = "uniform:0.1"


@dataclass(frozen=True, kw_only=True)
class RelabelingOptions:
    """What is to be measured.

    Attributes:
        data: The image folder, rightly labelled; None takes the digits that come along.
        out: Where images, audits and tables go.
        noises: Errors to plant, as ``KIND:RATE[:CLASSES]``.
        seeds: Of the planted errors and the trainings.
        rounds: How many reviews follow each other.
        training: Of the audits; its seed is not looked at.
    """

    data: Path | None
    out: Path
    noises: Sequence[str] = (DEFAULT_NOISE,)
    seeds: Sequence[int] = (0,)
    rounds: int = 1
    training: TrainingOptions


def relabel_and_audit(asked: RelabelingOptions, reporter: Reporter = QUIET) -> str:
    """Measure everything that is asked for, and write ``relabeling.md`` and ``rounds.parquet``.

    Audits that are finished are only read, and those that were interrupted go on: the same call finishes a table.

    Args:
        asked: What.
        reporter: Told about the progress.

    Returns:
        The content of relabeling.md.

    Raises:
        UsageError: options that contradict each other or the data.
        LabelauditError: see `labelaudit.reproduce.relabeling.rounds.measure_rounds`.
    """
    check_options(asked.training)
    require_seeds(asked.seeds)
    if asked.rounds < 1:
        raise UsageError(f"--rounds {asked.rounds} is too few", fix="give at least 1")
    if asked.data is not None:
        require_outside(asked.out, asked.data)
    with storage_errors(asked.out):
        asked.out.mkdir(parents=True, exist_ok=True)
        data = asked.data or write_digits(asked.out / "digits", rate=0.0, seed=0).images
    truth = scan(data, reporter=reporter)
    truth = trainable(truth)
    settings = [parse_noise(text, truth.classes) for text in dict.fromkeys(asked.noises)]
    require_different(settings)
    records: list[RoundRecord] = []
    text = ""
    for number, (setting, seed) in enumerate(itertools.product(settings, asked.seeds), start=1):
        reporter.say(f"{setting.name}, seed {seed} ({number} of {len(settings) * len(asked.seeds)})")
        folder = asked.out / f"{setting.folder_name}-seed{seed}"
        options = replace(asked.training, seed=seed)
        if setting.planted is not None:
            records += measure_rounds(
                setting.name, setting.planted, truth, folder, options, rounds=asked.rounds, reporter=reporter
            )
        # After each: who looks in, or stops here, has the table so far.
        table = to_table(RoundRecord, records)
        write_atomically(asked.out / "rounds.parquet", partial(pq.write_table, table))
        count, classes = int(truth.readable_N.sum()), len(truth.classes)
        name = "digits" if asked.data is None else data.resolve().name or "root"
        text = as_markdown(
            records, title=name, note=f"{count:,} images of {classes} classes; labelaudit {__version__}."
        )
        write_text(asked.out / "relabeling.md", text)
    return text
