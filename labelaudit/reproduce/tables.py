"""Rows of measurements as Parquet files, Markdown tables (mean ± spread over the seeds) and figures.

A row is a frozen dataclass: its fields are the columns of the Parquet file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.errors import RunError
from labelaudit.names import PlotFormatName
from labelaudit.run.files import write_atomically

NOTHING = "–"
_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_ASKED = b"labelaudit"

R = TypeVar("R")
K = TypeVar("K", bound=Hashable)
Panel = Callable[[Any], None]
"""Draws on a matplotlib Axes."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What every row of an audit begins with: name of the labels, network, and seed of the errors and the training."""

    noise: str
    model: str
    seed: int


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


def ratio(part: float, whole: float) -> float:
    """Return part / whole; NaN without a whole."""
    return part / whole if whole else math.nan


def number(value: float, digits: int) -> str:
    """Return a value as text; a dash for NaN."""
    return f"{value:.{digits}f}" if math.isfinite(value) else NOTHING


def with_deviation(mean: float, deviation: float, digits: int) -> str:
    """Return ``mean ± deviation``, or the mean alone."""
    return number(mean, digits) + ("" if math.isnan(deviation) else f" ± {deviation:.{digits}f}")


def figure(values: Iterable[float], digits: int = 4) -> str:
    """Return ``mean ± deviation``, and of how many values where some are NaN."""
    every = list(values)
    mean, deviation, count = spread(every)
    text = with_deviation(mean, deviation, digits)
    return text if count in (0, len(every)) else f"{text} ({count} of {len(every)})"


def grouped(rows: Iterable[R], key: Callable[[R], K]) -> dict[K, list[R]]:
    """Return the rows by key, in the order in which keys appear first."""
    groups: dict[K, list[R]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def pivot(title: str, note: str, keys: Sequence[str], cells: Mapping[Any, Mapping[str, str]]) -> list[str]:
    """Return the lines of a titled Markdown table; nothing without cells.

    It has a line for each key, a text or several, and a column for each name of a cell.
    """
    names = list(dict.fromkeys(name for line in cells.values() for name in line))
    rows = [[*keys, *names], ["---"] * len([*keys, *names])]
    rows += [
        [*((key,) if isinstance(key, str) else key), *(line.get(name, NOTHING) for name in names)]
        for key, line in cells.items()
    ]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    lines[1] = lines[1].replace(" ", "")
    return [f"## {title}", "", *([note, ""] if note else []), *lines, ""] if cells else []


def means(rows: Sequence[Any], columns: Mapping[str, tuple[str, int]]) -> dict[str, str]:
    """Return mean ± spread of the rows for each column, given as attribute and digits after the point."""
    return {
        name: figure((float(getattr(row, field)) for row in rows), digits) for name, (field, digits) in columns.items()
    }


class Tables:
    """The rows that were measured so far, by table: its keywords are table names with the type of their rows."""

    def __init__(self, **kinds: type) -> None:
        self._kinds = kinds
        self._rows: dict[type, list[Any]] = {kind: [] for kind in kinds.values()}

    def add(self, rows: Iterable[object]) -> None:
        """Append each row to the table of its type."""
        for row in rows:
            self._rows[type(row)].append(row)

    def of(self, kind: type[R]) -> list[R]:
        """Return the rows of a type."""
        return self._rows[kind]

    def put(self, kind: type[R], rows: Iterable[R]) -> None:
        """Replace the rows of a type: those that are computed from others."""
        self._rows[kind] = list(rows)

    def write(self, folder: Path) -> None:
        """Write ``<table>.parquet`` for each table, also without rows."""
        for name, kind in self._kinds.items():
            write_rows(folder / f"{name}.parquet", kind, self._rows[kind])


def write_rows(file: Path, kind: type, rows: Sequence[Any], asked: str = "") -> None:
    """Write rows as Parquet, with what they were computed for in the file's metadata."""
    hints = get_type_hints(kind)
    schema = pa.schema([(field.name, _TYPES[hints[field.name]]) for field in fields(kind)], {_ASKED: asked})
    written = pa.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    write_atomically(file, partial(pq.write_table, written))


def remembered(file: Path, asked: Mapping[str, Any], kind: type[R], compute: Callable[[], Iterable[R]]) -> list[R]:
    """Return the rows that a file holds, or compute them and write the file.

    Args:
        file: Of `write_rows`, with ``asked`` in its metadata.
        asked: All that decides the outcome.
        kind: Type of the rows.
        compute: Returns them.

    Raises:
        RunError: the file holds another measurement, or is damaged.
    """
    stamp = json.dumps(asked, sort_keys=True, default=str)
    if not file.exists():
        rows = list(compute())
        write_rows(file, kind, rows, stamp)
        return rows
    try:
        found = pq.read_table(file.absolute())
        rows = [kind(**row) for row in found.to_pylist()]
    except (OSError, TypeError, pa.ArrowException) as error:
        raise RunError(f"{file} is damaged", fix="delete it to measure again") from error
    if (found.schema.metadata or {}).get(_ASKED) != stamp.encode():
        raise RunError(f"{file} is of other settings or data", fix=f"delete {file.parent}, or give another --out")
    return rows


def draw(figures: Mapping[str, Sequence[Panel]], folder: Path, form: PlotFormatName) -> list[Path]:
    """Draw each figure that has panels as ``<name>.<form>``; equal rows give equal files."""
    files = {folder / f"{name}.{form}": panels for name, panels in figures.items() if panels}
    for file, panels in files.items():
        write_atomically(file, partial(_save, panels, form))
    return list(files)


def _save(panels: Sequence[Panel], form: PlotFormatName, file: Path) -> None:
    import matplotlib
    from matplotlib.figure import Figure  # without pyplot: no windows, and no state between figures

    columns = min(len(panels), 3)
    lines = math.ceil(len(panels) / columns)
    with matplotlib.rc_context({"svg.hashsalt": "labelaudit"}):
        canvas = Figure(figsize=(4.0 * columns, 3.2 * lines), layout="constrained")
        axes = canvas.subplots(lines, columns, squeeze=False).ravel()
        for panel, place in zip(panels, axes, strict=False):
            panel(place)
        for place in axes[len(panels) :]:
            place.set_axis_off()
        canvas.savefig(file, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
