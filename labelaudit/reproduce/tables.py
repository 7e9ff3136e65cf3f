"""Long tables of measurements: a record is a row, a field a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, get_type_hints

import pyarrow as pa

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def to_table(kind: type[Any], rows: Sequence[Any]) -> Any:
    """A pyarrow table with a column for each field of a dataclass, also when there are no rows."""
    hints = get_type_hints(kind)
    schema = pa.schema([(field.name, _TYPES[hints[field.name]]) for field in fields(kind)])
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=schema)
