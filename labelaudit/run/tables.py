"""The tables of a run folder: samples.parquet, scores.parquet, findings.parquet and others.

Shapes: N samples, F findings of one kind, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from labelaudit.codes import BY_CODE, BY_NAME
from labelaudit.data.catalogue import Annotations, Catalogue
from labelaudit.detect import BoolArray, Float32Array, FloatArray, IntArray, NumberArray
from labelaudit.detect.curves import STATISTICS, CurveStatistics
from labelaudit.detect.images import IMAGE_STATISTICS, ImageTable
from labelaudit.detect.kinds import Kinds
from labelaudit.detect.sample import Design
from labelaudit.detect.verdicts import Verdicts
from labelaudit.errors import RunError, brief
from labelaudit.names import COPY_KINDS, KINDS, FindingName
from labelaudit.run.parquet import columns, read_table, write_table

_SAMPLES = columns(
    "sample:int32 path:str label:int32 class:str width:int32 height:int32 grey:bool sha256:str readable:bool reason:str"
)
"""The columns of samples.parquet that are read back; where the data are in splits, there is one more."""

_SCORES = columns(
    f"path:str given_label:str suggested_label:str kind:str suggested_belief {' '.join(STATISTICS)} p_mislabeled "
    "label_score weight kept:bool sample:int32"
)
"""The columns of scores.parquet; there may be more."""

_OUTSIDE = r"^/|(^|/)\.\.(/|$)|\x00"


def write_samples(path: Path, catalogue: Catalogue) -> None:
    """Write the list of samples: their labels, and why some were set aside."""
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
            "readable": catalogue.used_N,
            "reason": catalogue.reasons,
        },
        schema=_SAMPLES,
    )
    if catalogue.split_N:
        table = table.append_column("split", pa.array(catalogue.split_N, pa.string()))
    write_table(path, table)


def read_samples(path: Path, *, root: Path, classes: Sequence[str]) -> Catalogue:
    """Read the catalogue back; raise a RunError where the file is missing or damaged."""
    fix = f"delete {path.parent} and audit again"
    table = read_table(path, _SAMPLES.append(pa.field("split", pa.string())), fix)
    if table.column("split").null_count == len(table):
        table = table.drop_columns("split")
    if absent := [name for name in table.column_names if table.column(name).null_count]:
        raise RunError(f"{path} is damaged (no values in {', '.join(absent)})", fix=fix)
    column = {name: table.column(name) for name in table.column_names}
    label_N = column["label"].to_numpy()
    if not ((label_N >= 0) & (label_N < len(classes))).all():
        raise RunError(f"{path} has labels of unknown classes", fix=fix)
    if not np.array_equal(column["sample"].to_numpy(), np.arange(len(column["sample"]))):
        raise RunError(f"{path} has sample numbers that are not its row numbers", fix=fix)
    if pc.any(pc.match_substring_regex(column["path"], _OUTSIDE)).as_py():
        raise RunError(f"{path} has paths that lead out of the image folder", fix=fix)
    return Catalogue(
        root=root,
        classes=tuple(classes),
        paths=tuple(column["path"].to_pylist()),
        sha256=tuple(column["sha256"].to_pylist()),
        reasons=tuple(column["reason"].to_pylist()),
        split_N=tuple(column["split"].to_pylist()) if "split" in column else (),
        **{f"{name}_N": column[name].to_numpy() for name in ("label", "width", "height", "grey")},
    )


_ANNOTATIONS = columns("sample:int32 annotator:str label:str")


def write_annotations(path: Path, catalogue: Catalogue) -> None:
    """Write the annotators' labels, a row each; where there are none, delete those of other data."""
    if catalogue.annotations is None:
        path.unlink(missing_ok=True)
    else:
        values = [list(each) for each in zip(*catalogue.annotations.rows, strict=True)]
        write_table(path, pa.table(values, schema=_ANNOTATIONS))


def read_annotations(path: Path, samples: int) -> Annotations | None:
    """Read them back; None where there is no file, a RunError where it is damaged or has other samples."""
    if not path.exists():
        return None
    fix = f"delete {path.parent} and audit again"
    table = read_table(path, _ANNOTATIONS, fix)
    rows = list(zip(*(table.column(name).to_pylist() for name in _ANNOTATIONS.names), strict=True))
    if not rows or any(None in row or not 0 <= row[0] < samples for row in rows):
        raise RunError(f"{path} is damaged, or of other data", fix=fix)
    return Annotations(tuple(sorted(rows)))


def verdict_table(
    catalogue: Catalogue,
    statistics: CurveStatistics,
    verdicts: Verdicts,
    kinds: Kinds,
    said_N: IntArray,
    kept_N: BoolArray,
) -> pa.Table:
    """Return every sample's statistics and verdict, as scores.parquet has them; null where a sample has no record.

    ``said_N`` are labels that a reviewer named, else −1: they are suggested in the place of the probe's;
    ``kept_N`` are true for labels that a person kept.
    """
    suggested_N = statistics.transition.true_N
    belief_N = statistics.beliefs.of(suggested_N)
    other_N = (said_N >= 0) & (said_N != suggested_N)
    suggested_N, belief_N = np.where(other_N, said_N, suggested_N), np.where(other_N, np.nan, belief_N)
    # What belongs to none of the classes has no other one, unless a reviewer has named it.
    none_N = kinds.of("no-class") & (said_N < 0)
    suggested_N, belief_N = np.where(none_N, -1, suggested_N), np.where(none_N, np.nan, belief_N)
    columns: dict[str, object] = {
        "sample": np.arange(len(catalogue), dtype=np.int32),
        "path": catalogue.paths,
        "given_label": _names(catalogue.classes, catalogue.label_N),
        "suggested_label": _names(catalogue.classes, suggested_N),
        "suggested_belief": _nullable(belief_N),
        **{name: _nullable(getattr(statistics, f"{name}_N")) for name in STATISTICS},
        "p_mislabeled": _nullable(verdicts.p_mislabeled_N),
        "label_score": _nullable(1.0 - verdicts.p_mislabeled_N),
        "p_corrupted": _nullable(kinds.p_corrupted_N),
        "p_no_class": _nullable(kinds.p_no_class_N),
        "kind": _names(KINDS, kinds.kind_N.astype(np.int32)),
        "weight": verdicts.weight_N,
    }
    if catalogue.split_N:
        columns["split"] = catalogue.split_N
    columns["kept"] = kept_N
    meanings = {
        "p_mislabeled": "high = suspicious",
        "label_score": "1 - p_mislabeled; low = suspicious",
        "p_corrupted": "high = the image is corrupted",
        "p_no_class": "high = the image belongs to none of the classes",
    }
    return pa.table(columns).replace_schema_metadata(meanings)


def read_scores(path: Path) -> pa.Table:
    """Read scores.parquet; raise a RunError where it is missing or damaged."""
    fix = f"run labelaudit fit {path.parent}"
    table = read_table(path, None, fix)
    types = {column.name: column.type for column in table.schema}
    if wrong := [column.name for column in _SCORES if types.get(column.name) != column.type]:
        raise RunError(f"{path} lacks {', '.join(wrong)}, or has another type there", fix=fix)
    return table


def _names(classes: Sequence[str], number_N: npt.NDArray[np.int32]) -> pa.Array:
    """Return the class names of these numbers, null for −1."""
    return pa.array(classes, pa.string()).take(pa.array(number_N, mask=number_N < 0))


def _nullable(value_N: npt.NDArray[np.floating]) -> pa.Array:
    return pa.array(value_N, mask=~np.isfinite(value_N))


_DESIGN = columns("sample:int32 stratum:int32 place:int32")


def write_design(path: Path, design: Design) -> None:
    """Write the samples in the order of their review, each with its stratum."""
    order_S = design.order_S
    values = order_S, design.stratum_N[order_S], design.place_N[order_S]
    write_table(path, pa.table([pa.array(each, pa.int32()) for each in values], schema=_DESIGN))


def read_design(path: Path, used_N: BoolArray) -> Design:
    """Read the design of a review; raise a RunError where it is missing, damaged, or not of the samples in use."""
    run = path.parent
    if not path.exists():
        raise RunError(f"{run} has no sample to review", fix=f"run labelaudit review {run} --sample 200")
    fix = f"delete it and run labelaudit review {run} --sample 200"
    table = read_table(path, _DESIGN, fix)
    sample_S, stratum_S, place_S = (table.column(name).to_numpy() for name in _DESIGN.names)
    strata = np.unique(stratum_S)
    if (
        not np.array_equal(np.sort(sample_S), np.flatnonzero(used_N))
        or not np.array_equal(place_S, np.arange(len(place_S)))
        or not np.array_equal(strata, np.arange(len(strata)))
    ):
        raise RunError(f"{path} is damaged, or a sample of other data", fix=fix)
    stratum_N, place_N = (np.full(len(used_N), -1, dtype=np.int32) for _ in range(2))
    stratum_N[sample_S], place_N[sample_S] = stratum_S, place_S
    return Design(stratum_N=stratum_N, place_N=place_N)


_TEXTS = ("spoiled", "digest")
_DISTANCES = ("class_distance", "other_distance")
_FIGURES = " ".join(f"{name}:float32" for name in (*IMAGE_STATISTICS, *_DISTANCES))
_COLUMNS = columns(f"sample:int32 spoiled:str digest:str {_FIGURES}")


def write_image_table(path: Path, images: ImageTable) -> None:
    """Write a row per image, and then one per corrupted copy, whose ``spoiled`` says how."""
    copies = len(images.copied_P)
    value_XS = np.concatenate([images.value_US, *images.copy_PMS.transpose(1, 0, 2)])
    copied_P = images.sample_U[images.copied_P]
    distance_X2 = np.full((len(value_XS), 2), np.nan, dtype=np.float32)
    if images.distance_U2 is not None:
        distance_X2[: len(images.sample_U)] = images.distance_U2
    columns: dict[str, object] = {
        "sample": np.concatenate([images.sample_U, *([copied_P] * len(COPY_KINDS))]),
        "spoiled": [""] * len(images.sample_U) + [kind for kind in COPY_KINDS for _ in range(copies)],
        "digest": [*images.digest_U.tolist(), *([""] * (copies * len(COPY_KINDS)))],
        **{name: value_XS[:, number] for number, name in enumerate(IMAGE_STATISTICS)},
        **{name: _nullable(distance_X2[:, number]) for number, name in enumerate(_DISTANCES)},
    }
    write_table(path, pa.table(columns, schema=_COLUMNS))


def read_image_table(path: Path, samples: int) -> ImageTable | None:
    """Read the statistics of a run's images; None where it has no file, a RunError where that is of other samples."""
    if not path.exists():
        return None
    fix = f"delete {path} to do without it, and run labelaudit fit {path.parent}"
    table = read_table(path, _COLUMNS, fix)
    try:
        sample_X = table.column("sample").to_numpy()
        kind_X, digest_X = (np.asarray(table.column(name).to_pylist(), dtype=np.str_) for name in _TEXTS)
        value_XS = np.stack([table.column(name).to_numpy() for name in IMAGE_STATISTICS], axis=1)
        distance_X2 = np.stack([table.column(name).to_numpy() for name in _DISTANCES], axis=1)
        own_X = kind_X == ""
        sample_U, copied_PM = sample_X[own_X], [sample_X[kind_X == kind] for kind in COPY_KINDS]
        if len(np.unique(sample_U)) < len(sample_U) or not np.isfinite(value_XS).all():
            raise ValueError("a sample twice, or no figures")
        if len(sample_U) and not 0 <= sample_U.min() <= sample_U.max() < samples:
            raise ValueError("other samples")
        copied_P = np.searchsorted(sample_U, copied_PM[0]).astype(np.int32)
        known_P = sample_U[copied_P.clip(max=len(sample_U) - 1)]
        if any(not np.array_equal(copied, known_P) for copied in copied_PM):
            raise ValueError("copies of other samples")
        return ImageTable(
            sample_U=sample_U,
            value_US=value_XS[own_X],
            copied_P=copied_P,
            copy_PMS=np.stack([value_XS[kind_X == kind] for kind in COPY_KINDS], axis=1),
            digest_U=digest_X[own_X],
            distance_U2=distance_X2[own_X] if np.isfinite(distance_X2[own_X]).all() else None,
        )
    except (pa.ArrowException, ValueError, IndexError, TypeError) as error:
        raise RunError(f"{path} is damaged ({brief(error)})", fix=fix) from error


_NEAR = columns("first:int32 second:int32 similarity:float32")


def write_near(path: Path, pair_P2: NumberArray, similarity_P: Float32Array) -> None:
    """Write the pairs of samples whose images are copies of each other."""
    values = *(pa.array(each_P, pa.int32()) for each_P in pair_P2.T), pa.array(similarity_P, pa.float32())
    write_table(path, pa.table(values, schema=_NEAR))


def read_near(path: Path, samples: int) -> tuple[NumberArray, Float32Array]:
    """Read the pairs [P, 2] and similarities [P] of a run with so many samples; none where it has no file."""
    if not path.exists():
        return np.empty((0, 2), dtype=np.int32), np.empty(0, dtype=np.float32)
    fix = f"delete it to do without near duplicates, and run labelaudit fit {path.parent}"
    table = read_table(path, _NEAR, fix)
    pair_P2 = np.stack([table.column(name).to_numpy() for name in ("first", "second")], axis=1)
    if not np.issubdtype(pair_P2.dtype, np.integer) or ((pair_P2 < 0) | (pair_P2 >= samples)).any():
        raise RunError(f"{path} is damaged, or of other samples", fix=fix)
    return pair_P2, table.column("similarity").to_numpy()


_FINDINGS = columns(
    "code:str kind:str sample:int32 path:str given_label:str suggested_label:str other_path:str group:int32 score "
    "sha256:str"
)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The findings of one kind, in the order in which they are listed.

    Attributes:
        sample_F: Sample numbers.
        score_F: How sure or how bad, high is worse; NaN where nothing is to be said.
        group_F: Which of them belong together; −1 for none.
        other_F: The sample that a finding is about besides its own; −1 for none.
    """

    name: FindingName
    sample_F: NumberArray
    score_F: FloatArray | None = None
    group_F: NumberArray | None = None
    other_F: NumberArray | None = None


def findings_table(catalogue: Catalogue, suggested: pa.Array, found: Sequence[Findings]) -> pa.Table:
    """Return the findings in the order of their codes; ``suggested`` are N labels, null for none."""
    paths, given = pa.array(catalogue.paths, pa.string()), [catalogue.classes[label] for label in catalogue.label_N]
    tables = [_FINDINGS.empty_table()]
    for each in sorted(found, key=lambda one: BY_NAME[one.name].code):
        sample_F = pa.array(each.sample_F, pa.int32())
        count, none_F = len(sample_F), np.full(len(sample_F), -1, dtype=np.int32)
        group_F, other_F = (none_F if value is None else value for value in (each.group_F, each.other_F))
        score_F = np.full(count, np.nan) if each.score_F is None else each.score_F
        values = {
            "code": [BY_NAME[each.name].code] * count,
            "kind": [each.name] * count,
            "sample": sample_F,
            "path": paths.take(sample_F),
            "given_label": pa.array(given, pa.string()).take(sample_F),
            "suggested_label": suggested.take(sample_F),
            "other_path": paths.take(pa.array(other_F, pa.int32(), mask=other_F < 0)),
            "group": pa.array(group_F, pa.int32(), mask=group_F < 0),
            "score": pa.array(score_F, pa.float64(), mask=np.isnan(score_F)),
            "sha256": pa.array(catalogue.sha256, pa.string()).take(sample_F),
        }
        tables.append(pa.table(values, schema=_FINDINGS))
    return pa.concat_tables(tables).combine_chunks()


def read_findings(path: Path) -> pa.Table:
    """Read findings.parquet; raise a RunError where it is missing, damaged or of a later version."""
    fix = f"run labelaudit fit {path.parent}"
    table = read_table(path, _FINDINGS, fix)
    if table.column("code").null_count or table.column("path").null_count or table.column("given_label").null_count:
        raise RunError(f"{path} is damaged (no values in code, path or given_label)", fix=fix)
    if unknown := set(table.column("code").unique().to_pylist()) - BY_CODE.keys():
        raise RunError(f"{path} has codes that this version does not know: {', '.join(sorted(unknown))}", fix=fix)
    return table
