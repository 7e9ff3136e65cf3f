"""The tables of a run folder: samples.parquet, scores.parquet and suspicious.csv.

Shapes: N samples.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from labelaudit.cells import csv_lines, unguarded
from labelaudit.data.catalogue import Catalogue
from labelaudit.detect.controls import Controls
from labelaudit.detect.curves import STATISTICS, CurveStatistics
from labelaudit.detect.kinds import Kinds
from labelaudit.detect.verdicts import Verdicts
from labelaudit.errors import RunError
from labelaudit.names import CONTROL_KINDS, KINDS
from labelaudit.run.files import require_regular, write_atomically, write_lines

SUSPICIOUS_COLUMNS = (
    "rank",
    "path",
    "given_label",
    "suggested_label",
    "p_mislabeled",
    "label_score",
    "aul",
    "aum",
    "kind",
    "sample",
    "sha256",
)

CORRUPTED_COLUMNS = ("rank", "path", "given_label", "p_corrupted", "corruption", "p_mislabeled", "sample", "sha256")

_FIGURES = frozenset({"p_mislabeled", "label_score", "aul", "aum", "p_corrupted", "corruption"})
"""The columns of numbers that are written with a fixed number of digits, as text."""

_SAMPLES = pa.schema(
    [
        ("sample", pa.int32()),
        ("path", pa.string()),
        ("label", pa.int32()),
        ("class", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("grey", pa.bool_()),
        ("sha256", pa.string()),
        ("readable", pa.bool_()),
        ("reason", pa.string()),
        ("control", pa.string()),
        ("taught_label", pa.int32()),
    ]
)

_SCORES = {
    **dict.fromkeys(("path", "given_label", "suggested_label"), pa.string()),
    **dict.fromkeys(("suggested_belief", *STATISTICS, "p_mislabeled", "label_score", "weight"), pa.float64()),
    "sample": pa.int32(),
}
"""The columns of scores.parquet; there may be more."""

_OUTSIDE = r"^/|(^|/)\.\.(/|$)|\x00"


def write_samples(path: Path, catalogue: Catalogue, controls: Controls | None = None) -> None:
    """Write what every sample number means, why some samples were set aside, and which were taught another label.

    Args:
        path: The file.
        catalogue: N samples.
        controls: Of the same samples; None where none are planted.
    """
    kind_N = np.full(len(catalogue), -1, dtype=np.int32) if controls is None else controls.kind_N
    table = pa.table(
        {
            "sample": np.arange(len(catalogue), dtype=np.int32),
            "path": catalogue.paths,
            "label": catalogue.label_N,
            "class": _names(catalogue.classes, catalogue.label_N),
            "width": catalogue.width_N,
            "height": catalogue.height_N,
            "grey": catalogue.grey_N,
            "sha256": catalogue.sha256,
            "readable": catalogue.readable_N,
            "reason": catalogue.reasons,
            "control": pa.array((*CONTROL_KINDS, "")).take(pa.array(kind_N % (len(CONTROL_KINDS) + 1))),
            "taught_label": catalogue.label_N if controls is None else controls.label_N,
        },
        schema=_SAMPLES,
    )
    write_atomically(path, lambda partial: pq.write_table(table, partial, compression="zstd"))


def read_samples(path: Path, *, root: Path, classes: Sequence[str]) -> Catalogue:
    """Read the catalogue back.

    Raises:
        RunError: the file is missing or damaged.
    """
    fix = f"delete {path.parent} and audit again"
    table = _read_table(path, _SAMPLES, fix)
    for name in ("label", "taught_label"):
        label_N = table.column(name).to_numpy()
        if len(label_N) and not 0 <= label_N.min() <= label_N.max() < len(classes):
            raise RunError(f"{path} has labels of classes that there are not", fix=fix)
    if not np.array_equal(table.column("sample").to_numpy(), np.arange(len(table))):
        raise RunError(f"{path} has other sample numbers than its rows", fix=fix)
    if pc.any(pc.match_substring_regex(table.column("path"), _OUTSIDE)).as_py():
        raise RunError(f"{path} has paths that lead out of the image folder", fix=fix)
    return Catalogue(
        root=root,
        classes=tuple(classes),
        paths=tuple(table.column("path").to_pylist()),
        label_N=table.column("label").to_numpy(),
        width_N=table.column("width").to_numpy(),
        height_N=table.column("height").to_numpy(),
        grey_N=table.column("grey").to_numpy(),
        sha256=tuple(table.column("sha256").to_pylist()),
        reasons=tuple(table.column("reason").to_pylist()),
    )


def read_controls(path: Path) -> Controls | None:
    """Read which samples were taught another label than the given one; None where none are planted.

    Raises:
        RunError: the file is missing or damaged.
    """
    fix = f"delete {path.parent} and audit again"
    table = _read_table(path, _SAMPLES, fix)
    kinds = pa.array(("", *CONTROL_KINDS))
    kind_N = pc.index_in(table.column("control"), value_set=kinds)
    if kind_N.null_count:
        raise RunError(f"{path} has controls of a kind that this version does not know", fix=fix)
    kind_N = kind_N.to_numpy().astype(np.int32) - 1
    if not (kind_N >= 0).any():
        return None
    return Controls(kind_N=kind_N, label_N=table.column("taught_label").to_numpy())


def write_scores(
    path: Path, catalogue: Catalogue, statistics: CurveStatistics, verdicts: Verdicts, kinds: Kinds | None = None
) -> None:
    """Write every sample's statistics and verdict; null where a sample has no record."""
    columns: dict[str, object] = {
        "sample": np.arange(len(catalogue), dtype=np.int32),
        "path": catalogue.paths,
        "given_label": _names(catalogue.classes, catalogue.label_N),
        "suggested_label": _names(catalogue.classes, statistics.beliefs.alternative_N),
        "suggested_belief": _nullable(statistics.beliefs.alternative_belief_N),
    }
    for name in STATISTICS:
        columns[name] = _nullable(getattr(statistics, f"{name}_N"))
    columns["p_mislabeled"] = _nullable(verdicts.p_mislabeled_N)
    columns["label_score"] = _nullable(1.0 - verdicts.p_mislabeled_N)
    nothing_N = np.full(len(catalogue), np.nan)
    columns["p_corrupted"] = _nullable(nothing_N if kinds is None else kinds.p_corrupted_N)
    columns["corruption"] = _nullable(nothing_N if kinds is None else kinds.corruption_N)
    kind_N = np.full(len(catalogue), -1, dtype=np.int32) if kinds is None else kinds.kind_N.astype(np.int32)
    columns["kind"] = _names(KINDS, kind_N)
    columns["weight"] = verdicts.weight_N
    table = pa.table(columns).replace_schema_metadata(
        {
            "p_mislabeled": "high = suspicious",
            "label_score": "1 - p_mislabeled; low = suspicious",
            "p_corrupted": "high = the picture is corrupted",
        }
    )
    write_atomically(path, lambda partial: pq.write_table(table, partial, compression="zstd"))


def read_scores(path: Path) -> pa.Table:
    """Read scores.parquet.

    Raises:
        RunError: the file is missing or damaged.
    """
    fix = f"run labelaudit fit {path.parent}"
    table = _read_table(path, None, fix)
    types = dict(zip(table.schema.names, table.schema.types, strict=True))
    wrong = [name for name, kind in _SCORES.items() if types.get(name) != kind]
    if wrong:
        raise RunError(f"{path} lacks {', '.join(wrong)}, or has something else there", fix=fix)
    return table


def suspicious_csv(
    catalogue: Catalogue,
    statistics: CurveStatistics,
    verdicts: Verdicts,
    kinds: Kinds | None = None,
    *,
    top: int | None = None,
) -> str:
    """The ranked list as CSV text: the flagged samples, or the ``top`` most suspicious ones, flagged or not."""
    count = verdicts.flagged if top is None else min(top, len(verdicts.order))
    return "".join(_suspicious_lines(catalogue, statistics, verdicts, kinds, count))


def write_suspicious(
    path: Path, catalogue: Catalogue, statistics: CurveStatistics, verdicts: Verdicts, kinds: Kinds | None = None
) -> None:
    """Write the ranked list of the flagged samples."""
    write_lines(path, _suspicious_lines(catalogue, statistics, verdicts, kinds, verdicts.flagged))


def write_corrupted(path: Path, catalogue: Catalogue, verdicts: Verdicts, kinds: Kinds) -> None:
    """Write the samples whose picture is corrupted, suspicious or not, the surest first."""
    rows = (
        (
            rank,
            catalogue.paths[i],
            catalogue.classes[catalogue.label_N[i]],
            f"{kinds.p_corrupted_N[i]:.6f}",
            f"{kinds.corruption_N[i]:.6g}",
            f"{verdicts.p_mislabeled_N[i]:.6f}",
            i,
            catalogue.sha256[i],
        )
        for rank, i in enumerate(kinds.corrupted.tolist(), start=1)
    )
    write_lines(path, csv_lines(CORRUPTED_COLUMNS, rows, numbers=_FIGURES))


def read_suspicious(path: Path, *, most: int) -> list[dict[str, str]]:
    """The first rows of suspicious.csv, cells by column name.

    Raises:
        RunError: the file is missing or damaged.
    """
    return list(itertools.islice(suspicious_rows(path), most))


def suspicious_rows(path: Path) -> Iterator[dict[str, str]]:
    """Each row of suspicious.csv in turn, cells by column name.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        with open(require_regular(path), encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle, strict=True)
            if tuple(reader.fieldnames or ()) != SUSPICIOUS_COLUMNS:
                raise RunError(f"{path} has other columns than labelaudit writes", fix="run labelaudit fit again")
            for row in reader:
                yield {name: unguarded(cell or "") for name, cell in row.items() if name}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path} is missing or damaged", fix="run labelaudit fit again") from error


def _suspicious_lines(
    catalogue: Catalogue, statistics: CurveStatistics, verdicts: Verdicts, kinds: Kinds | None, count: int
) -> Iterator[str]:
    first = verdicts.order[:count]
    kind_S = np.full(len(first), -1) if kinds is None else kinds.kind_N[first]
    columns = (
        verdicts.p_mislabeled_N[first].tolist(),
        statistics.aul_N[first].tolist(),
        statistics.aum_N[first].tolist(),
        catalogue.label_N[first].tolist(),
        statistics.beliefs.alternative_N[first].tolist(),
        kind_S.tolist(),
        first.tolist(),
    )
    # The last ones are those of number −1.
    names, kind_names = (*catalogue.classes, None), (*KINDS, "")
    rows = (
        (
            rank,
            catalogue.paths[i],
            names[given],
            names[other],
            f"{p:.6f}",
            f"{1 - p:.6f}",
            f"{aul:.6g}",
            f"{aum:.6g}",
            kind_names[kind],
            i,
            catalogue.sha256[i],
        )
        for rank, (p, aul, aum, given, other, kind, i) in enumerate(zip(*columns, strict=True), start=1)
    )
    return csv_lines(SUSPICIOUS_COLUMNS, rows, numbers=_FIGURES)


def _names(classes: Sequence[str], number_N: npt.NDArray[np.int32]) -> pa.Array:
    """The class names of these numbers, null where there is none (−1)."""
    return pa.array(classes, pa.string()).take(pa.array(number_N, mask=number_N < 0))


def _nullable(value_N: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array(value_N, mask=~np.isfinite(value_N))


def _read_table(path: Path, schema: pa.Schema | None, fix: str) -> pa.Table:
    try:
        table = pq.read_table(require_regular(path).absolute(), schema=schema)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing", fix=fix) from error
    except (OSError, pa.ArrowException, ValueError) as error:
        raise RunError(f"{path} is damaged ({' '.join(str(error).split())[:100]})", fix=fix) from error
    absent = [name for name in schema.names if table.column(name).null_count] if schema else []
    if absent:
        raise RunError(f"{path} is damaged (no values in {', '.join(absent)})", fix=fix)
    return table
