"""A whole audit against cleanlab with cross-validation: how well each finds planted errors, and how long it takes.

    python -m labelaudit.reproduce.speed audit DATA --rate 0.2 --out results --epochs-cv 3 5 10 20

labelaudit's side is the default audit with an empty cache, from the folder to the CSV. cleanlab's side gets every
advantage that can be given to it: the same network, decoded and trained by labelaudit's own loop without recording,
five folds, and the epoch count and the ranking (self-confidence or normalised margin) that turn out best on the planted
errors themselves, which nobody knows outside of a benchmark. Each epoch count is a training of its own with
labelaudit's default settings: the learning rate falls over just these epochs, as it would for somebody who had chosen
that count.

Its time is that of the best count alone, with scanning and decoding from an empty cache; that count is run again for
it, in turns with the audit. A last row says what it would be with the ordinary loop, which decodes in each epoch and
trains in float32: extrapolated from part of an epoch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labelaudit.audit.model import Data
from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.score import score
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import scan
from labelaudit.reproduce.detection import compare, write_noisy_labels
from labelaudit.reproduce.speed.arguments import natural, positive, share
from labelaudit.reproduce.speed.crossvalidation import FOLDS, Ranked, rank
from labelaudit.reproduce.speed.extras import require
from labelaudit.reproduce.speed.loop import describe
from labelaudit.reproduce.speed.ordinary import OrdinaryTraining, folder_batches
from labelaudit.reproduce.speed.problem import empty_folder, prepare_folder, subset
from labelaudit.reproduce.speed.stages import Stages
from labelaudit.reproduce.speed.timing import Contender, Row, take_turns
from labelaudit.run.files import storage_errors
from labelaudit.run.layout import RunFolder

OURS = "labelaudit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("data", type=Path, help="a folder with a folder of rightly labelled images for each class")
    parser.add_argument("--out", type=Path, required=True, help="where the labels file with planted errors is written")
    parser.add_argument("--rate", type=share, default=0.2, help="share of planted errors (default: 0.2)")
    parser.add_argument("--kind", choices=("uniform", "pair-flip"), default="uniform", help="(default: uniform)")
    parser.add_argument("--seed", type=int, default=0, help="of the errors and the trainings (default: 0)")
    parser.add_argument("--limit", type=positive, default=None, help="use so many images, evenly spaced (default: all)")
    parser.add_argument("--model", default=None, help="timm's name of the network (default: labelaudit's choice)")
    parser.add_argument("--epochs", type=positive, default=None, help="of labelaudit's probe (default: its choice)")
    parser.add_argument(
        "--epochs-cv", type=positive, nargs="+", default=[3, 5, 10, 20], help="tried for cleanlab (default: 3 5 10 20)"
    )
    parser.add_argument("--rounds", type=positive, default=1, help="how often both are timed, in turns (default: 1)")
    parser.add_argument(
        "--ordinary-images", type=natural, default=4096, help="so many time the ordinary loop; 0 leaves it out (4096)"
    )


def measure(asked: argparse.Namespace) -> list[Row]:
    """Plant errors, audit in both ways, compare.

    Raises:
        LabelauditError: the folder cannot be audited, or ``cleanlab`` is not installed.
    """
    require("cleanlab.rank")
    clean = subset(scan(asked.data), asked.limit)
    labels = asked.out / f"{asked.kind}-{asked.rate:g}-seed{asked.seed}.csv"
    with storage_errors(labels):
        asked.out.mkdir(parents=True, exist_ok=True)
        write_noisy_labels(clean, labels, kind=asked.kind, rate=asked.rate, seed=asked.seed)
    comparison = _Comparison(
        Data(root=clean.root, labels_file=labels),
        clean,
        TrainingOptions(model=asked.model, epochs=asked.epochs, seed=asked.seed, device="cpu"),
    )
    counts = list(dict.fromkeys(asked.epochs_cv))
    if len(counts) > 1:  # a single one is tried when it is timed
        comparison.try_epochs(counts)
    tried = comparison.tried
    best = max(counts, key=lambda epochs: tried[epochs][0].average_precision) if tried else counts[0]
    timed = comparison.in_turns(best, asked.rounds)
    rows = [row for epochs, found in tried.items() for row in _accuracy_rows(epochs, found)] + timed
    return rows + (comparison.with_ordinary_loop(best, asked.ordinary_images) if asked.ordinary_images else [])


class _Comparison:
    """Both ways on the same wrong labels."""

    def __init__(self, data: Data, clean: Catalogue, options: TrainingOptions) -> None:
        self._data, self._clean, self._options = data, clean, options
        self._stages = Stages()
        self._found: dict[str, float] = {}
        self._own_seconds = float("nan")
        self.tried: dict[int, list[Ranked]] = {}

    def try_epochs(self, counts: Sequence[int]) -> None:
        """Rank as cleanlab does, from the folder, with an empty cache; the best ranking of each epoch count first."""
        with empty_folder():
            folder = prepare_folder(self._data, self._options)
            wrong_N: npt.NDArray[np.bool_] = folder.catalogue.label_N != self._clean.label_N
            wrong_R = wrong_N[folder.problem.sample_R]
            self.tried |= {epochs: rank(folder.problem, epochs, wrong_R) for epochs in counts}

    def in_turns(self, epochs: int, rounds: int) -> list[Row]:
        """The audit and cleanlab's best."""
        theirs = f"cleanlab, {epochs} epochs"
        rates = take_turns(
            [
                Contender(name=OURS, items=1, run=self._audit),
                Contender(name=theirs, items=1, run=lambda: self.try_epochs([epochs])),
            ],
            rounds,
            warm_up=False,
        )
        whole = {name: rates.seconds(name) for name in (OURS, theirs)}
        self._own_seconds = whole[OURS].median
        return [
            Row(name=f"{OURS}: AP", value=self._found["average_precision"], unit=""),
            Row(name=f"{OURS}: AUROC", value=self._found["auroc"], unit=""),
            *self._stages.rows(OURS),
            *(
                Row(name=f"{name}: whole", value=found.median, unit="s", note=found.note)
                for name, found in whole.items()
            ),
            rates.ratio_row(OURS, theirs),
        ]

    def with_ordinary_loop(self, epochs: int, images: int) -> list[Row]:
        """What cleanlab's best would take with an ordinary loop; nothing where the probe does not train a network."""
        with empty_folder():
            folder = prepare_folder(self._data, self._options, limit=images)
            if folder.problem.settings.kind == "frozen":
                return []
            training = OrdinaryTraining(folder.problem, folder_batches(folder), with_aum=False)
            count = len(folder.problem.inputs)
            timed = Contender(name="ordinary", items=count, run=training.run)
            rate = take_turns([timed], 2).of("ordinary").median
        trained = epochs * (FOLDS - 1) * int(self._clean.readable_N.sum())
        seconds = trained / rate
        note = f"{trained} images at {rate:,.0f}/s, without predicting; measured: {describe(folder.problem)}"
        return [
            Row(
                name=f"cleanlab with ImageFolder + DataLoader, {epochs} epochs: whole",
                value=seconds,
                unit="s",
                note=note,
            ),
            Row(
                name=f"{OURS} / cleanlab with ImageFolder + DataLoader",
                value=seconds / self._own_seconds,
                unit="×",
                note="extrapolated",
            ),
        ]

    def _audit(self) -> None:
        self._stages = Stages()
        with empty_folder() as scratch:
            fitted = score(self._data, RunFolder(scratch / "run"), self._options, reporter=self._stages)
            self._found = compare(fitted, self._clean)


def _accuracy_rows(epochs: int, found: list[Ranked]) -> list[Row]:
    return [
        Row(name=f"cleanlab, {epochs} epochs, {ranked.ranking}: {name}", value=value, unit="")
        for ranked in found
        for name, value in (("AP", ranked.average_precision), ("AUROC", ranked.auroc))
    ]
