"""What all experiments share: tables and figures, cases, and the loop over cases × seeds.

A row is a dictionary; all rows of a table have the same keys, its columns.

Shapes: N samples.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from labelaudit.auditing.corrupt import SETTINGS_FILE, TRUTH_FILE, CorruptOptions, corrupt
from labelaudit.auditing.demo import write_digits_split
from labelaudit.auditing.model import Data
from labelaudit.auditing.plan import set_up_device
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import require_outside
from labelaudit.data.noise import LabelArray, NoiseName, flip_labels
from labelaudit.errors import RunError, UsageError
from labelaudit.names import CorruptionName
from labelaudit.progress import Reporter
from labelaudit.report import markdown
from labelaudit.reproduce import ExperimentOptions
from labelaudit.run.files import read_json, storage_errors, write_atomically, write_text
from labelaudit.run.lists import read_csv
from labelaudit.run.parquet import write_table
from labelaudit.text import csv_lines, listed, unguarded

NOTHING = "–"
_HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None
_CLASSES_NAMED = {"uniform": 0, "pair-flip": 0, "random-labels": 0, "asymmetric": 2, "one-class": 1}
_NOISE_FIX = "give KIND:RATE, as uniform:0.2 or pair-flip:0.1; asymmetric:RATE:CLASS,CLASS or one-class:RATE:CLASS"

Row = dict[str, Any]
Rows = Sequence[Row]
Cell = tuple[str, int] | Callable[[Rows], str]
"""What stands in a table for some rows: mean ± spread of a column with so many digits, or any text."""


def number(value: float, digits: int, unit: str = "") -> str:
    """Return a value as text; a dash for NaN."""
    return f"{value:.{digits}f}{unit}" if math.isfinite(value) else NOTHING


def with_deviation(mean: float, deviation: float, digits: int) -> str:
    """Return ``mean ± deviation``, or the mean alone."""
    return number(mean, digits) + ("" if math.isnan(deviation) else f" ± {deviation:.{digits}f}")


def ratio(part: float, whole: float) -> float:
    """Return part / whole; NaN without a whole."""
    return part / whole if whole else math.nan


class Spread(NamedTuple):
    """Mean of the values that are numbers, standard deviation with n − 1, and their count; NaN where undefined."""

    mean: float
    deviation: float
    known: int


def spread(values: Iterable[float]) -> Spread:
    """Return mean and standard deviation of the values that are not NaN."""
    value_V = np.array([value for value in values if not math.isnan(value)])
    known = len(value_V)
    mean, deviation = value_V.mean() if known else math.nan, value_V.std(ddof=1) if known > 1 else math.nan
    return Spread(float(mean), float(deviation), known)


def figure(values: Iterable[float], digits: int = 4) -> str:
    """Return ``mean ± deviation``, and of how many values where some are NaN."""
    every = list(values)
    mean, deviation, count = spread(every)
    text = with_deviation(mean, deviation, digits)
    return text if count in (0, len(every)) else f"{text} ({count} of {len(every)})"


def grouped(rows: Iterable[Row], *columns: str) -> dict[Any, list[Row]]:
    """Return the rows by the value of a column, or the values of several, in the order in which these appear first."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        key = tuple(row[column] for column in columns)
        groups.setdefault(key if len(key) > 1 else key[0], []).append(row)
    return groups


def table(title: str, note: str, keys: Iterable[str], cells: Mapping[Any, Mapping[str, str]]) -> list[str]:
    """Return a titled Markdown table with a line for each key and a column for each cell; nothing without cells."""
    names = list(dict.fromkeys(name for line in cells.values() for name in line))
    rows = [
        [*map(str, key if isinstance(key, tuple) else (key,)), *(line.get(name, NOTHING) for name in names)]
        for key, line in cells.items()
    ]
    if not cells:
        return []
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return [f"## {title}", "", *([note, ""] if note else []), *markdown.table([*keys, *names], escaped)]


def pivot(
    title: str, note: str, rows: Rows, keys: Mapping[str, str], cells: Mapping[str, Cell], across: str = ""
) -> list[str]:
    """Return a table with a line for each value of the key columns, by their headings.

    With ``across``, each value of that column has its cells; it stands for {} in their headings.
    """
    lines = {
        key: {
            heading.format(part): cell(own) if callable(cell) else figure((float(row[cell[0]]) for row in own), cell[1])
            for part, own in (grouped(group, across) if across else {"": group}).items()
            for heading, cell in cells.items()
        }
        for key, group in grouped(rows, *keys.values()).items()
    }
    return table(title, note, keys, lines)


class Tables(defaultdict[str, list[Row]]):
    """The rows so far, by table, and how the page begins."""

    def __init__(self, title: str, about: str = "") -> None:
        super().__init__(list)
        self.title, self.about = title, about

    def add(self, rows: Mapping[str, Iterable[Row]]) -> None:
        """Append rows to their tables."""
        for name, own in rows.items():
            self[name] += own

    def write(self, folder: Path) -> None:
        """Write ``<table>.parquet`` for each table that has rows."""
        for name, rows in self.items():
            if rows:
                write_table(folder / f"{name}.parquet", pa.Table.from_pylist(rows), compression="snappy")


def remembered(file: Path, asked: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
    """Return what a JSON file holds, or compute it and write the file, with ``asked``: all that decides it.

    Raises RunError where the file holds another measurement, or is damaged.
    """
    stamp = json.loads(json.dumps(asked, default=str))
    if not file.exists():
        write_text(file, json.dumps({"asked": stamp, "found": compute()}))  # NaN is written as such
    try:
        held = json.loads(file.read_bytes())
        then, found = held["asked"], held["found"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} is damaged", fix="delete it to measure again") from error
    if then != stamp:
        raise RunError(f"{file} is of other settings or data", fix=f"delete {file.parent}, or give another --out")
    return found


Call = tuple[str, tuple[Any, ...], Mapping[str, Any]]


def call(method: str, *arguments: Any, **named: Any) -> Call:
    """Return a call of a method of matplotlib's Axes."""
    return method, arguments, named


class Panel(NamedTuple):
    """A panel of a figure: title, the names of the axes, and the calls that draw it."""

    title: str
    x: str
    y: str
    calls: Sequence[Call]

    def draw(self, place: Any) -> None:
        """Draw on a matplotlib Axes, with a legend where something has a label."""
        for method, arguments, named in self.calls:
            getattr(place, method)(*arguments, **named)
        place.set(xlabel=self.x, ylabel=self.y)
        place.set_title(self.title, fontsize="large" if len(self.title) < 36 else "small")
        if place.get_legend_handles_labels()[0]:
            place.legend(fontsize="x-small")


Figures = Mapping[str, Sequence[Sequence[Panel]]]
"""Lines of panels, by the name of a figure."""


def in_lines(panels: Sequence[Panel], width: int = 3) -> list[Sequence[Panel]]:
    """Return panels in lines of so many."""
    return [panels[start : start + width] for start in range(0, len(panels), width)]


def draw(figures: Figures, folder: Path) -> list[Path]:
    """Draw each figure that has panels as ``<name>.svg``; equal rows give equal files."""
    files = {folder / f"{name}.svg": lines for name, lines in figures.items() if any(lines)}
    for file, lines in files.items():
        write_atomically(file, partial(_save, lines))
    return list(files)


def _save(lines: Sequence[Sequence[Panel]], file: Path) -> None:
    import matplotlib
    from matplotlib.figure import Figure  # without pyplot: no windows, and no state between figures

    columns = max(map(len, lines))
    with matplotlib.rc_context({"svg.hashsalt": "labelaudit"}):
        canvas = Figure(figsize=(4.0 * columns, 3.2 * len(lines)), layout="constrained")
        for line, places in zip(lines, canvas.subplots(len(lines), columns, squeeze=False), strict=True):
            for panel, place in itertools.zip_longest(line, places):
                place.set_axis_off() if panel is None else panel.draw(place)
        canvas.savefig(file, format="svg", dpi=150, metadata={"Date": None})


def check_experiment(asked: ExperimentOptions) -> None:
    """Raise UsageError for what can be refused before an image is read."""
    set_up_device(asked.training)
    if asked.data is not None:
        require_outside(asked.out, asked.data, "--out")
    if min(asked.seeds) < 0:
        raise UsageError(f"--seeds {min(asked.seeds)} is negative", fix="give 0 or more")
    if asked.subset is not None and asked.subset < 2:
        raise UsageError(f"--subset {asked.subset} is too small", fix="give at least 2")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is measured with every seed: of labels, planted errors (see `flip_labels`), a file's, or the folders'."""

    name: str
    kind: NoiseName | None = None
    rate: float = 0.0
    among: tuple[int, int] = (0, 1)
    labels_file: Path | None = None

    @property
    def folder_name(self) -> str:
        """The name with - for what some file system does not take."""
        return re.sub(r"[^\w.,+-]+", "-", self.name)


def run_cases(
    asked: ExperimentOptions,
    cases: Sequence[Case],
    tables: Tables,
    measure: Callable[[Case, int, Path], Iterable[Mapping[str, Iterable[Row]]]],
    page: Callable[[Tables], Iterable[str]],
    reporter: Reporter,
    figures: Callable[[Tables], Figures] | None = None,
) -> str:
    """Measure every case with every seed, and write the experiment's page, the Parquet tables and the figures.

    ``measure`` yields batches of rows by table for a case, a seed and their folder, and reads what an earlier call
    finished; after each, all but the figures is written. ``page`` returns the lines below title and about; it may fill
    tables that are computed from others.
    """
    text, data = "", "digits" if asked.data is None else asked.data.resolve().name or "root"
    for place, (case, seed) in enumerate(itertools.product(cases, asked.seeds), start=1):
        reporter.say(f"{case.name}, seed {seed} ({place} of {len(cases) * len(asked.seeds)})")
        folder = asked.out / f"{case.folder_name}-seed{seed}"
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for rows in measure(case, seed, folder):
            tables.add(rows)
            text = "\n".join([f"# {tables.title}: {data}", "", tables.about, "", *page(tables)])
            tables.write(asked.out)
            write_text(asked.out / f"{asked.name}.md", text)
    if figures is not None and _HAS_MATPLOTLIB:
        for file in draw(figures(tables), asked.out):
            reporter.say(f"Figure: {file}")
    elif figures is not None:
        reporter.say("No figures are drawn: pip install 'labelaudit[plots]' for these")
    return text


def folders(asked: ExperimentOptions) -> tuple[Path, Path]:
    """Return the folders of the training and the test images: those that are given, or digits; else UsageError."""
    if asked.data is None:
        if asked.scale != "smoke":
            raise UsageError(f"--scale {asked.scale} needs images", fix="give --data DIR, or --scale smoke for digits")
        folder = asked.out / "digits"
        if not folder.exists():
            with storage_errors(folder):
                # Under a name of its own until it is whole: an interrupted folder is not taken for a finished one.
                write_digits_split(asked.out / ".digits.partial")
                (asked.out / ".digits.partial").rename(folder)
        return folder / "train", folder / "test"
    train, test = asked.data / "train", asked.data / "test"
    if asked.test is None and not (train.is_dir() and test.is_dir()):
        fix = "give --test DIR, or a --data with train/ and test/"
        raise UsageError(f"there are no test images for {asked.data}", fix=fix)
    train, test = (train, test) if asked.test is None else (asked.data, asked.test)
    require_outside(asked.out, test, "--out")
    return train, test


def take(catalogue: Catalogue, rows: npt.NDArray[np.int64]) -> Catalogue:
    """Return some samples of a catalogue, numbered in their order, without annotations."""
    arrays = ("label_N", "width_N", "height_N", "grey_N")
    changed: dict[str, Any] = {name: getattr(catalogue, name)[rows] for name in arrays}
    changed |= {name: tuple(getattr(catalogue, name)[row] for row in rows) for name in ("paths", "sha256", "reasons")}
    return replace(catalogue, **changed, annotations=None)


def noise_cases(texts: Iterable[str], classes: Sequence[str], files: Sequence[Path] = ()) -> list[Case]:
    """Return a case for each noise and for each file of noisy labels; raise UsageError for two of one name."""
    cases = [parse_noise(text, classes) for text in dict.fromkeys(texts)]
    cases += [Case(name=file.stem, labels_file=file) for file in files]
    of: dict[str, Case] = {}
    for case in cases:
        if (other := of.setdefault(case.folder_name.lower(), case)) is not case:
            fix = "give each noise once, and each labels file a name of its own"
            raise UsageError(f"{other.name} and {case.name} would have the same name in the tables", fix=fix)
    return cases


def parse_noise(text: str, classes: Sequence[str]) -> Case:
    """Return the case of ``KIND:RATE`` or ``KIND:RATE:CLASS[,CLASS]``; raise UsageError if it cannot be read."""
    kind, _, rest = text.partition(":")
    number, _, classes_text = rest.partition(":")
    names = [name.strip() for name in classes_text.split(",") if name.strip()]
    if kind not in _CLASSES_NAMED:
        raise UsageError(f"--noise {text}: there is no noise {kind!r}", fix=_NOISE_FIX)
    try:
        rate = float(number)
    except ValueError:
        rate = math.nan
    if not 0 <= rate < 1:
        raise UsageError(f"--noise {text}: the rate {number!r} is not a number from 0 to below 1", fix=_NOISE_FIX)
    if not len(names) == len({*names} & {*classes}) == _CLASSES_NAMED[kind]:
        wanted = ("no class", "one class", "two classes")[_CLASSES_NAMED[kind]]
        raise UsageError(f"--noise {text}: {kind} takes {wanted}", fix=f"the classes are {listed(classes, 10)}")
    among = [classes.index(name) for name in names]
    # flip_labels wants two different classes in any case, and looks only at those that the kind concerns.
    first, second = (*among, *(other for other in range(2) if other not in among))[:2]
    name = ":".join([kind, f"{rate:g}", *([",".join(names)] if names else [])])
    return Case(name=name, kind=cast("NoiseName", kind), rate=rate, among=(first, second))


def labels_text(catalogue: Catalogue, label_N: LabelArray) -> str:
    """Return ``path,label`` for each sample as CSV."""
    labels = (catalogue.classes[label] for label in label_N)
    return "".join(csv_lines(("path", "label"), zip(catalogue.paths, labels, strict=True)))


def noisy_data(truth: Catalogue, case: Case, folder: Path, seed: int) -> Data:
    """Return the data of a case: an exact share of errors is planted in ``labels.csv`` in its folder, unless it exists.

    Raises RunError where the file holds other labels.
    """
    if case.kind is None:
        return Data(root=truth.root, labels_file=case.labels_file)
    generator = np.random.default_rng([seed, round(case.rate * 1_000_000)])
    how: dict[str, Any] = {"kind": case.kind, "rate": case.rate, "generator": generator, "among": case.among}
    text = labels_text(truth, flip_labels(truth.label_N, classes=len(truth.classes), **how))
    file = folder / "labels.csv"
    if not file.exists():
        write_text(file, text)
    elif file.read_bytes() != text.encode():
        what = f"{file} holds other labels: the images, their number, or the confused classes have changed since"
        raise RunError(what, fix=f"delete {folder}, or give another --out")
    return Data(root=truth.root, labels_file=file)


def corrupted_copy(
    data: Path,
    folder: Path,
    corruptions: Mapping[CorruptionName, float],
    *,
    seed: int,
    most: int | None,
    reporter: Reporter,
) -> list[dict[str, str]]:
    """Write a corrupted copy of a data folder, unless it exists, and return the rows of its ``truth.csv``.

    Raises RunError where the copy is of other data or corrupted otherwise, DataError where its truth cannot be read.
    """
    if not folder.exists():
        corrupt(data, folder, CorruptOptions(corruptions=corruptions, seed=seed, most=most), reporter)
    made = read_json(folder / SETTINGS_FILE)
    rates = {entry["kind"]: entry["rate"] for entry in made["corruptions"]}
    asked = str(data.resolve()), most, corruptions
    if (made["source"], made["most"], rates) != asked:
        size = "" if made["most"] is None else f", at most {made['most']} images of it"
        what = f"{folder} is a copy of {made['source']}{size}, of other images or with other rates"
        raise RunError(what, fix=f"give another --out, or delete {folder.parent}")
    rows = read_csv(folder / TRUTH_FILE, ("path", "observed_label", "selected", "changed"), f"delete {folder}")
    return [{name: unguarded(cell or "") for name, cell in row.items()} for _, row in rows]
