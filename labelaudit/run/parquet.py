"""Write and read Parquet files: whole ones, or an error that says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.errors import RunError, brief
from labelaudit.run.files import require_regular, write_atomically


def columns(text: str) -> pa.Schema:
    """Return the columns given as ``name:type``, or ``name`` for float64; the types are named as Arrow names them."""
    pairs = (column.partition(":")[::2] for column in text.split())
    return pa.schema([(name, pa.type_for_alias(kind or "double")) for name, kind in pairs])


def write_table(path: Path, table: pa.Table, *, compression: str = "zstd", **options: Any) -> None:
    """Write a table atomically; the options are those of `pyarrow.parquet.write_table`."""
    write_atomically(path, lambda partial: pq.write_table(table, partial, compression=compression, **options))


def read_table(path: Path, schema: pa.Schema | None, fix: str) -> pa.Table:
    """Read a table, all columns or those of a schema; raise a RunError where the file is missing or damaged."""
    try:
        table = pq.read_table(require_regular(path).absolute(), schema=schema)
        table.validate(full=True)  # texts that are not UTF-8 would fail where they are first read
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing", fix=fix) from error
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise RunError(f"{path} is damaged ({brief(error)})", fix=fix) from error
    return table
