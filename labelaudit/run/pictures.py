"""pictures.parquet: what is known of the pictures of a run, so that `fit` needs none of them.

Shapes: U pictures, P of which copies were spoiled, M spoiled kinds, S statistics.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.detect.corruption import Pictures
from labelaudit.detect.pictures import PICTURE_STATISTICS
from labelaudit.errors import RunError
from labelaudit.names import SPOILED_KINDS
from labelaudit.run.files import write_atomically

_COLUMNS = pa.schema(
    [
        ("sample", pa.int32()),
        ("spoiled", pa.string()),
        ("digest", pa.string()),
        *((name, pa.float32()) for name in PICTURE_STATISTICS),
    ]
)


def write_pictures(path: Path, pictures: Pictures) -> None:
    """Write a row per picture, and then one per spoiled copy, whose ``spoiled`` says how."""
    spoiled = len(pictures.spoiled_P)
    value_XS = np.concatenate([pictures.value_US, *pictures.value_PMS.transpose(1, 0, 2)])
    copied_P = pictures.sample_U[pictures.spoiled_P]
    table = pa.table(
        {
            "sample": np.concatenate([pictures.sample_U, *([copied_P] * len(SPOILED_KINDS))]),
            "spoiled": [""] * len(pictures.sample_U) + [kind for kind in SPOILED_KINDS for _ in range(spoiled)],
            "digest": [*pictures.digest_U.tolist(), *([""] * (spoiled * len(SPOILED_KINDS)))],
            **{name: value_XS[:, number] for number, name in enumerate(PICTURE_STATISTICS)},
        },
        schema=_COLUMNS,
    )
    write_atomically(path, lambda partial: pq.write_table(table, partial, compression="zstd"))


def read_pictures(path: Path, samples: int) -> Pictures | None:
    """Read them back; None where the run has none, as those of earlier versions.

    Args:
        path: The file.
        samples: How many samples the run has.

    Raises:
        RunError: the file is damaged, or of other samples.
    """
    if not path.exists():
        return None
    fix = f"delete {path} to do without it, and run labelaudit fit {path.parent}"
    try:
        table = pq.read_table(path.absolute(), schema=_COLUMNS)
        sample_X = table.column("sample").to_numpy()
        spoiled_X = np.asarray(table.column("spoiled").to_pylist(), dtype=np.str_)
        digest_X = np.asarray(table.column("digest").to_pylist(), dtype=np.str_)
        value_XS = np.stack([table.column(name).to_numpy() for name in PICTURE_STATISTICS], axis=1)
        own_X = spoiled_X == ""
        sample_U, copied_PM = sample_X[own_X], [sample_X[spoiled_X == kind] for kind in SPOILED_KINDS]
        if len(np.unique(sample_U)) < len(sample_U) or not np.isfinite(value_XS).all():
            raise ValueError("a sample twice, or no figures")
        if len(sample_U) and not 0 <= sample_U.min() <= sample_U.max() < samples:
            raise ValueError("other samples")
        if any(not np.array_equal(copied, copied_PM[0]) for copied in copied_PM):
            raise ValueError("copies of other samples")
        spoiled_P = np.searchsorted(sample_U, copied_PM[0]).astype(np.int32)
        if not np.array_equal(sample_U[spoiled_P.clip(max=len(sample_U) - 1)], copied_PM[0]):
            raise ValueError("copies of other samples")
        return Pictures(
            sample_U=sample_U,
            value_US=value_XS[own_X],
            spoiled_P=spoiled_P,
            value_PMS=np.stack([value_XS[spoiled_X == kind] for kind in SPOILED_KINDS], axis=1),
            digest_U=digest_X[own_X],
        )
    except (OSError, pa.ArrowException, ValueError, IndexError, TypeError) as error:
        raise RunError(f"{path} is damaged ({' '.join(str(error).split())[:100]})", fix=fix) from error
