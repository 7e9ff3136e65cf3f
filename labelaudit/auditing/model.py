"""A run folder as Python sees it: `Audit` reads everything of a finished audit, functions read what a training needs.

Neither this module nor what it imports loads torch.

Shapes: N samples, U samples that were audited, R rows of a table.
"""

from __future__ import annotations

import io
import os
import shlex
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.console import Console

from labelaudit.data.catalogue import Catalogue, split_places
from labelaudit.data.folder import require_outside, scan
from labelaudit.detect import BoolArray, FloatArray
from labelaudit.detect.curves import SUSPICIOUS_WHEN_LOW, Course, CurveAccumulator
from labelaudit.detect.verdicts import ranking
from labelaudit.errors import RunError, UsageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.report.console import show_outcome
from labelaudit.review.decisions import decided, read_decisions
from labelaudit.run import documents
from labelaudit.run.documents import Count, as_json, read_description
from labelaudit.run.layout import RunFolder, newest
from labelaudit.run.lists import ranked, ranked_lines, ranked_rows
from labelaudit.run.losses import read_epochs, recorded_epochs
from labelaudit.run.parquet import columns
from labelaudit.run.tables import read_annotations, read_findings, read_samples, read_scores
from labelaudit.text import printable, require_local

RowArray = npt.NDArray[np.int64]

_RUNS = "labelaudit-runs"
_SHOWN_ROWS = 5


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which images: a folder, and a CSV with their labels or the folders below it that hold the class folders.

    ``split`` is what ``--split`` names, see `labelaudit.data.catalogue.split_places`. ``fixed`` is that of the
    catalogue, where an audit has recorded it. ``is_part``: the labels file leaves files out on purpose.
    """

    root: Path
    labels_file: Path | None = None
    split: tuple[str, ...] = ()
    fixed: bool = False
    is_part: bool = False

    @classmethod
    def beside(cls, train: Path, test: Path) -> Data:
        """Return two folders or archives as the splits ``train`` and ``test`` of what they lie in."""
        sides = {name: Path(os.path.abspath(side)) for name, side in (("train", train), ("test", test))}  # noqa: PTH100
        root = Path(os.path.commonpath(sides.values()))
        if root in sides.values():
            raise UsageError(
                f"{train} and --test {test} contain one another", fix="give two folders, none in the other"
            )
        return cls(
            root=root, split=tuple(f"{name}={side.relative_to(root).as_posix()}" for name, side in sides.items())
        )

    @property
    def places(self) -> list[Path]:
        """The folders in which nothing else is written: the root, or each part that ``--split`` gives a name."""
        named = any("=" in entry for entry in self.split)
        return [self.root / folder for folder in split_places(self.split)] if named else [self.root]

    def require_outside(self, run: Path) -> None:
        """Raise a UsageError where a run folder lies in the data."""
        for place in self.places:
            require_outside(run, place, "--run")

    @property
    def moves(self) -> bool:
        """True where a file is relabeled by moving it."""
        return self.labels_file is None and not self.fixed

    def scan(self, reporter: Reporter = QUIET) -> Catalogue:
        """List the images; see `labelaudit.data.folder.scan`."""
        return scan(self.root, labels_file=self.labels_file, split=self.split, reporter=reporter)

    @property
    def score_command(self) -> str:
        """The command that audits the data."""
        return shlex.join(["labelaudit", "score", str(self.root), *self._options])

    def relabel_command(self, corrections: str) -> str:
        """Return the command that puts corrections into the data."""
        out = [] if self.moves else ["--out", "corrected.csv"]
        return shlex.join(["labelaudit", "relabel", str(self.root), corrections, *self._options, *out])

    @property
    def _options(self) -> list[str]:
        words = ["--split", ",".join(self.split)] if self.split else []
        return words + (["--labels", str(self.labels_file)] if self.labels_file else [])


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """A finished audit. Every part is read from the run folder ``run`` when it is first used.

    Tables are Arrow's: ``.to_pandas()``, polars and DuckDB take them as they are. Files that are missing, damaged, or
    do not belong together are a RunError of the property that reads them.
    """

    run: RunFolder

    @cached_property
    def description(self) -> documents.Description:
        """The content of run.json."""
        return read_description(self.run)

    @cached_property
    def summary(self) -> documents.Noise:
        """The content of noise.json."""
        return documents.read_noise(self.run)

    @cached_property
    def annotators(self) -> documents.AnnotatorsNoise | None:
        """The content of annotators.json; None where the labels file names no annotators."""
        return documents.read_annotators(self.run)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The samples."""
        return read_catalogue(self.run, self.description)

    @cached_property
    def scores(self) -> pa.Table:
        """Every sample's statistics and verdict, in the order of samples.parquet; null for unreadable images.

        ``p_mislabeled`` (high = suspicious) and ``label_score`` (low = suspicious) are among the columns.
        """
        table = read_scores(self.run.scores)
        if not np.array_equal(table.column("sample").to_numpy(), np.arange(len(self.catalogue))):
            what = f"{self.run.scores} has other samples than {self.run.samples}"
            raise RunError(what, fix=f"run labelaudit fit {self.run.root}")
        return table

    @cached_property
    def findings(self) -> pa.Table:
        """All findings, a row for each image and code: the content of findings.parquet."""
        return read_findings(self.run.findings)

    @cached_property
    def flagged_S(self) -> RowArray:
        """The numbers of the suspicious samples, in the order of suspicious.csv."""
        return self.order_U[: (self.column("p_mislabeled") > self.summary.flag_above).sum()]

    @cached_property
    def order_U(self) -> RowArray:
        """The numbers of the audited samples, the most suspicious first; the suspicious samples are its head."""
        statistic_N = self.column(self.summary.fit.rank_by)
        suspicion_N = -statistic_N if self.summary.fit.rank_by in SUSPICIOUS_WHEN_LOW else statistic_N
        return ranking(self.column("p_mislabeled"), np.where(self._kept_N, -np.inf, suspicion_N))

    @cached_property
    def _kept_N(self) -> BoolArray:
        kept_N: BoolArray = self.scores.column("kept").to_numpy().astype(bool)
        return kept_N

    @property
    def flagged(self) -> int:
        """The number of suspicious samples."""
        return len(self.flagged_S)

    def elsewhere(self, root: Path) -> int:
        """Return how many of the images that were suspicious or decided on are not where they were audited below root.

        Where there is no such folder, nothing is known of them: 0.
        """
        samples = {*self.flagged_S.tolist(), *decided(self.catalogue, read_decisions(self.run.decisions))}
        paths = [self.catalogue.paths[sample] for sample in samples]
        return sum(not os.path.exists(root / path) for path in paths) if root.is_dir() else 0  # noqa: PTH110

    @property
    def noise_rate(self) -> float | None:
        """The share of wrong labels, reviewed or estimated; None where the audit could not estimate one."""
        return self.summary.best_rate

    @property
    def warnings(self) -> list[str]:
        """Why not to trust the figures, a sentence each."""
        return list(self.summary.warnings)

    @cached_property
    def suspicious(self) -> pa.Table:
        """The suspicious samples, the most suspicious first: ``rank`` from 1, the columns of ``scores``, ``sha256``."""
        return self.top(self.flagged)

    @cached_property
    def kept(self) -> pa.Table:
        """The samples whose label a person decided to keep, with the columns of ``suspicious``; their P is 0."""
        first = self.order_U[self._kept_N[self.order_U]]
        return ranked(self.scores, self.catalogue, first, 1 + self.flagged)

    @cached_property
    def noise(self) -> pa.Table:
        """A row per class: ``class``, ``samples``, ``noise_rate``, ``suspicious``."""
        schema = columns("class:str samples:int64 noise_rate suspicious:int64")
        return pa.Table.from_pylist([*map(as_json, self.summary.classes)], schema)

    @cached_property
    def confusion(self) -> pa.Table:
        """How often which label was suggested for which, among the suspicious: ``given``, ``suggested``, ``count``."""
        schema = columns("given:str suggested:str count:int64")
        return pa.Table.from_pylist([*map(as_json, self.summary.confusion)], schema)

    def top(self, count: int) -> pa.Table:
        """Return the ``count`` most suspicious samples, suspicious or not, with the columns of ``suspicious``."""
        return ranked(self.scores, self.catalogue, self.order_U[:count])

    def csv(self, *, top: int | None = None) -> str:
        """Return suspicious.csv as text: the suspicious samples, or the ``top`` most suspicious, flagged or not."""
        return "".join(ranked_lines(self.suspicious if top is None else self.top(top)))

    def column(self, name: str) -> FloatArray:
        """Return a column of ``scores`` as float64 [N], NaN where it is null."""
        column_N: FloatArray = self.scores.column(name).to_numpy().astype(np.float64)
        return column_N

    def __repr__(self) -> str:
        rows = list(ranked_rows(self.top(min(_SHOWN_ROWS, self.flagged))))
        drawn = io.StringIO()
        # In a notebook rich would display what it prints.
        console = Console(file=drawn, width=100, color_system=None, highlight=False, force_jupyter=False)
        show_outcome(console, self.summary, rows)
        return f"{drawn.getvalue()}Run folder: {printable(str(self.run.root))}"


def open_run(path: Path | str) -> Audit:
    """Read a finished audit; needs neither its images nor torch.

    A path that is and has no run folder, verdicts that are missing, and damaged files are a RunError.
    """
    require_local(path)
    return opened(newest(Path(path)))


def opened(run: RunFolder) -> Audit:
    """Return the audit in exactly this run folder; errors are those of `open_run`."""
    audit = Audit(run)
    _ = audit.catalogue, audit.summary, audit.order_U  # now: a damaged file is an error here, not later
    return audit


def runs_of(data: Data) -> Path:
    """Return the folder for the runs of data by number: below the current folder, or beside the data in it."""
    places, here = [place.resolve() for place in data.places], Path.cwd()
    around = [place.parent / _RUNS for place in places if place in (here, *here.parents)]
    return (around[0] if around else Path(_RUNS)) / ("+".join(place.name for place in places) or "root")


def is_trained(run: RunFolder) -> bool:
    """Return True when the run's probe is trained to the end."""
    return read_description(run).status == documents.TRAINED


def recorded_data(run: RunFolder) -> Data:
    """Return the data of a run."""
    data = read_description(run).data
    labels_file = Path(data.labels_file) if data.labels_file else None
    return Data(root=Path(data.root), labels_file=labels_file, split=data.split, fixed=data.fixed)


class _Epochs(msgspec.Struct):
    epochs: Count
    members: Count = 1
    kind: str = ""
    heads_epochs: Count = 0
    folds: Count = 1


def read_courses(run: RunFolder) -> tuple[Course, Course | None]:
    """Return how the recorded epochs of a run follow each other, and those of its heads beside a network, if any.

    Raises a RunError where the probe is not trained.
    """
    description = read_description(run)
    try:
        settings = msgspec.convert(description.settings, _Epochs)
    except msgspec.ValidationError as error:
        raise RunError(f"{run.description} has other settings ({error})", fix="audit into a new folder") from error
    held_out = settings.folds > 1 or settings.kind == documents.PREDICTIONS
    course = Course(epochs=settings.epochs, members=settings.members, held_out=held_out)
    if description.status != documents.TRAINED:
        epochs = f"{len(recorded_epochs(run.losses))} of {course.recorded} epochs"
        fix = "run labelaudit train-probe or score on the same data again: it resumes"
        raise RunError(f"the probe in {run.root} is not trained to the end ({epochs})", fix=fix)
    return course, Course(epochs=settings.heads_epochs, held_out=True) if settings.heads_epochs else None


def read_curves(run: RunFolder, course: Course, catalogue: Catalogue, reporter: Reporter = QUIET) -> CurveAccumulator:
    """Read the recorded losses of a run into a `CurveAccumulator`; damaged or missing epochs are a RunError."""
    fix, classes = f"delete {run.root} and audit again", len(catalogue.classes)
    if len(recorded_epochs(run.losses)) != course.recorded:
        raise RunError(f"{run.losses} does not hold {course.recorded} epochs", fix=fix)
    curves = CurveAccumulator(catalogue.label_N, classes, course)
    for epoch in read_epochs(run.losses, reporter, samples=np.flatnonzero(catalogue.used_N)):
        if not ((epoch.alternative_R >= 0) & (epoch.alternative_R < classes)).all():
            raise RunError(f"{run.losses} has unknown classes in epoch {epoch.epoch}", fix=fix)
        if not np.isfinite([epoch.loss_R, epoch.margin_R]).all():
            raise RunError(f"{run.losses} has losses that are not finite in epoch {epoch.epoch}", fix=fix)
        curves.add(epoch.sample_R, epoch.loss_R, epoch.margin_R, epoch.alternative_R)
    return curves


def read_catalogue(run: RunFolder, description: documents.Description | None = None) -> Catalogue:
    """Read the samples of a run; raise a RunError where samples.parquet is not the one that run.json describes.

    ``description`` is its run.json, where it is read already.
    """
    data = (description or read_description(run)).data
    catalogue = read_samples(run.samples, root=Path(data.root), classes=data.classes)
    catalogue = replace(catalogue, annotations=read_annotations(run.annotations, len(catalogue)))
    if catalogue.fingerprint != data.fingerprint:
        raise RunError(f"{run.samples} and {run.description} are of different data", fix="audit into a new folder")
    return replace(catalogue, **{name: getattr(data, name) for name in documents.OF_SCAN})
