"""Read what users know of their images already: embeddings, or out-of-fold class probabilities, a row per image.

A Parquet file says by its column ``path`` which image a row is of. A NumPy array or a safetensors file has a row for
each image, in the order of samples.parquet. Rows of images that cannot be read may hold anything, or be missing.

Shapes: N samples, R readable samples, X rows of a file, D features, K classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from labelaudit.data.catalogue import Catalogue, in_parts
from labelaudit.data.pixels import PixelFormat, decode_sample
from labelaudit.detect import Float32Array, IntArray
from labelaudit.errors import DataError, RunError, brief, reason
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.files import require_regular
from labelaudit.text import listed, plural

Content = Literal["embedding", "probabilities"]
SampleArray = npt.NDArray[np.integer[Any]]

SUM_WITHIN = 1e-3
"""How far the probabilities of an image may be from 1 together: float16 rounds them by half as much."""

_ROWS = 4096
"""So many rows are read from a memory map at once."""
_SUFFIXES = ".parquet, .npy or .safetensors"
_TRIED = PixelFormat(size=16, channels=3)


@dataclass(frozen=True, kw_only=True)
class OwnRows:
    """The values of a file, maybe memory-mapped, and by sample number the row of each image; −1 for none."""

    value_XD: npt.NDArray[Any]
    row_N: IntArray

    def take(self, sample_R: SampleArray) -> Float32Array:
        """Return the values of these samples as float32 [R, D]."""
        taken_RD = np.empty((len(sample_R), self.value_XD.shape[1]), dtype=np.float32)
        with np.errstate(over="ignore"):
            for part in in_parts(range(len(sample_R)), _ROWS):
                rows = slice(part[0], part[-1] + 1)
                taken_RD[rows] = self.value_XD[self.row_N[sample_R[rows]]]
        return taken_RD


def read_embeddings(file: Path | None, catalogue: Catalogue, reporter: Reporter = QUIET) -> OwnRows:
    """Read a finite embedding for each image that is used; a DataError where the file does not have it.

    No file is a RunError: that of a resumed audit which was started with one.
    """
    if file is None:
        what = "this audit was started with --embeddings FILE, which is needed to continue it"
        raise RunError(what, fix="give the same file again, or another --run")
    own = _read(file, "embedding", catalogue, reporter)
    _require_finite(file, own, catalogue)
    return own


def read_predictions(file: Path, catalogue: Catalogue, reporter: Reporter = QUIET) -> OwnRows:
    """Read probabilities of the catalogue's classes, which sum to 1, for each image; errors as `read_embeddings`."""
    own = _read(file, "probabilities", catalogue, reporter)
    if own.value_XD.shape[1] != len(catalogue.classes):
        what = f"{file} has {plural(own.value_XD.shape[1], 'value')} an image, and {catalogue.root} has"
        fix = "give one for each class, in the order of their sorted names, or a Parquet file with a column for each"
        raise DataError(f"{what} {plural(len(catalogue.classes), 'class', 'classes')}", fix=fix)
    _require_finite(file, own, catalogue)
    _require_probabilities(file, own, catalogue)
    return own


def _read(file: Path, content: Content, catalogue: Catalogue, reporter: Reporter) -> OwnRows:
    """Read the file, and find the row of each sample."""
    suffix = file.suffix.lower()
    value_XD: npt.NDArray[Any]
    try:
        require_regular(file)
        if suffix == ".parquet":
            return _of_table(file, pq.read_table(file.absolute()), content, catalogue, reporter)
        if suffix == ".npy":
            value_XD = np.lib.format.open_memmap(file, mode="r")
        elif suffix == ".safetensors":
            value_XD = _only_tensor(file)
        else:
            raise DataError(f"{file} is of no format that is read here", fix=f"give {_SUFFIXES}")
    except OSError as error:
        raise DataError(f"cannot read {file}: {reason(error)}", fix="check the path") from error
    except (ValueError, TypeError, EOFError, pa.ArrowException) as error:
        what = f"{file} is damaged, or no {suffix} file ({brief(error)})"
        raise DataError(what, fix="write it again, as float32") from error
    if value_XD.ndim != 2 or value_XD.dtype.kind != "f" or not value_XD.shape[1]:
        what = f"{file} has {value_XD.dtype} values of shape {value_XD.shape}"
        raise DataError(what, fix="give float16, float32 or float64 values with a row for each image")
    if len(value_XD) != len(catalogue):
        used, images = int(catalogue.used_N.sum()), plural(len(catalogue), "image")
        readable = f"{images}, of which {used:,} are used" if used < len(catalogue) else images
        fix = "give a row for each, in the order of samples.parquet, or a Parquet file with a column path"
        raise DataError(f"{file} has {plural(len(value_XD), 'row')}, and {catalogue.root} has {readable}", fix=fix)
    return OwnRows(value_XD=value_XD, row_N=np.arange(len(catalogue), dtype=np.int32))


def _only_tensor(file: Path) -> npt.NDArray[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as tensors:
            if len(names := list(tensors.keys())) != 1:
                what = f"{file} has {plural(len(names), 'tensor')} ({listed(names, 3)})"
                raise DataError(what, fix="save one, with a row for each image")
            value_XD: npt.NDArray[Any] = tensors.get_tensor(names[0])
            return value_XD
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _of_table(file: Path, table: pa.Table, content: Content, catalogue: Catalogue, reporter: Reporter) -> OwnRows:
    """Match the rows of a table with the samples by their path."""
    if "path" not in table.column_names or not pa.types.is_string(_plain(table.schema.field("path").type)):
        fix = "add one with the paths below the image folder, as suspicious.csv has them"
        raise DataError(f"{file} has no text column 'path'", fix=fix)
    paths = table.column("path").to_pylist()
    if twice := [path for path, times in Counter(paths).items() if times > 1]:
        more = f" and {len(twice) - 1:,} more" if len(twice) > 1 else ""
        raise DataError(f"{file} has {twice[0]!r}{more} more than once", fix="keep one row for each image")
    row_of = {path: row for row, path in enumerate(paths)}
    row_N = np.array([row_of.pop(path, -1) for path in catalogue.paths], dtype=np.int32)
    if row_of:
        first = next(iter(row_of))
        reporter.say(f"{file}: {plural(len(row_of), 'row is', 'rows are')} of no image in the folder ({first})")
    is_list = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
    if content in table.column_names and any(test(table.schema.field(content).type) for test in is_list):
        value_XD = _of_lists(file, content, table.column(content))
    elif content == "probabilities":
        value_XD = np.stack([_of_class(file, table, name) for name in catalogue.classes], axis=1)
    else:
        raise DataError(f"{file} has no list column {content!r}", fix="name the column of the embeddings so")
    return OwnRows(value_XD=value_XD, row_N=row_N)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values, also of those that a dictionary encodes; one type for all texts."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.string() if pa.types.is_large_string(kind) else kind


def _of_lists(file: Path, name: str, column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return the lists of a column as an array [X, D]."""
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) != 1 or not lengths[0]:
        what = f"the lists in the column {name!r} of {file} are empty, or not of one length"
        raise DataError(what, fix="give every image as many values")
    return _floats(file, name, pc.list_flatten(column)).reshape(-1, lengths[0])


def _of_class(file: Path, table: pa.Table, name: str) -> npt.NDArray[Any]:
    if name not in table.column_names:
        fix = "name a column after each class (zeros where your network does not know it), or give a list column"
        raise DataError(f"{file} has no column for the class {name!r}", fix=f"{fix} 'probabilities'")
    return _floats(file, name, table.column(name))


def _floats(file: Path, name: str, column: pa.ChunkedArray) -> npt.NDArray[Any]:
    if not pa.types.is_floating(column.type):
        what = f"the column {name!r} of {file} has {column.type} values"
        raise DataError(what, fix="give float16, float32 or float64 values")
    value_X: npt.NDArray[Any] = column.to_numpy()  # a missing value becomes NaN
    return value_X


def _require_finite(file: Path, own: OwnRows, catalogue: Catalogue) -> None:
    """Raise a DataError where a readable image has no row, or values that are not finite."""
    used = np.flatnonzero(catalogue.used_N)
    is_missing_R = own.row_N[used] < 0
    if found := _first(catalogue, used[is_missing_R]):
        fix = "give one for every image; paths are those below the image folder, as in suspicious.csv"
        raise DataError(f"{file} has no row for {found}", fix=fix)
    failing = _failing(own, used[~is_missing_R], lambda x_RD: np.isfinite(x_RD).all(axis=1))
    if found := _first(catalogue, failing):
        what = f"{file} has values that are NaN or infinite, or too large for float32, for {found}"
        raise DataError(what, fix="look for what your network failed on, and write the file again")


def _require_probabilities(file: Path, own: OwnRows, catalogue: Catalogue) -> None:
    """Raise a DataError where the values of a readable image are no probabilities."""

    def is_right(p_RK: Float32Array) -> Any:
        sums_R = np.abs(p_RK.sum(axis=1, dtype=np.float64) - 1.0) <= SUM_WITHIN
        return np.logical_and(sums_R, p_RK.min(axis=1) >= -SUM_WITHIN)

    failing = _failing(own, np.flatnonzero(catalogue.used_N & (own.row_N >= 0)), is_right)
    if found := _first(catalogue, failing):
        p_K = own.take(failing[:1])[0]
        if p_K.min() < 0 or p_K.max() > 1 + SUM_WITHIN:
            what = f"{file} has values from {p_K.min():.3g} to {p_K.max():.3g} for {found}; these look like logits"
            raise DataError(what, fix="give probabilities: apply the softmax first")
        what = f"the probabilities in {file} sum to {p_K.sum():.4g}, not to 1, for {found}"
        raise DataError(what, fix="give the probability of every class")


def _failing(own: OwnRows, used: SampleArray, is_right: Callable[[Float32Array], Any]) -> SampleArray:
    """Return the samples whose values fail a test; the file is read a part at a time."""
    parts = [used[start : start + _ROWS] for start in range(0, len(used), _ROWS)]
    return np.concatenate([used[:0], *(part[~is_right(own.take(part))] for part in parts)])


def _first(catalogue: Catalogue, failing: SampleArray) -> str:
    """Return in words the first failing sample that can be decoded, and how many fail; empty where there is none."""
    for place, sample in enumerate(failing.tolist()):
        if not isinstance(decode_sample(catalogue, sample, _TRIED), str):
            more = len(failing) - place - 1
            return repr(catalogue.paths[sample]) + (f" and {plural(more, 'more image')}" if more else "")
    return ""
