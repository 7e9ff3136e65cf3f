"""What an audit found, read from its run folder: all that a page is made of, less curves and pictures.

Shapes: N samples, S suspicious samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from labelaudit.audit.model import Audit
from labelaudit.data.catalogue import Catalogue
from labelaudit.errors import RunError
from labelaudit.run.documents import Description, Noise
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import list_suspicious, read_baseline, suspicious_rows

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What an audit found.

    Attributes:
        description: The content of run.json.
        noise: The content of noise.json.
        catalogue: The samples.
        statistic: The name of the statistic that ranks them.
        value_N: That statistic; NaN without a record.
        aul_N: The area under the loss curve; likewise.
        p_mislabeled_N: NaN without a record.
        suggested_N: Class number of the suggested label; −1 where there is none.
        kind_N: Number of the kind; −1 where there is none.
        kinds: The names of the kinds; empty when the audit tells none apart.
        suspicious_N: True for the suspicious samples.
        ranked_S: The first of them, as suspicious.csv ranks them; with a baseline, the first that it does not know.
        rank_S: Their ranks in suspicious.csv.
        new: How many suspicious samples a baseline does not know; None without a baseline.
    """

    description: Description
    noise: Noise
    catalogue: Catalogue
    statistic: str
    value_N: FloatArray
    aul_N: FloatArray
    p_mislabeled_N: FloatArray
    suggested_N: IntArray
    kind_N: IntArray
    kinds: tuple[str, ...]
    suspicious_N: npt.NDArray[np.bool_]
    ranked_S: IntArray
    rank_S: IntArray
    new: int | None


def read_findings(run: RunFolder, *, most: int, baseline: Path | None = None) -> Findings:
    """Read an audit's verdicts.

    Args:
        run: A run folder with verdicts.
        most: How many suspicious samples are ranked at most.
        baseline: Run folder or suspicious.csv; what it knows is not ranked.

    Raises:
        RunError: a file of the run is missing, damaged, or does not go with the others.
        DataError: the baseline cannot be read.
    """
    audit = Audit(run)
    known = None if baseline is None else read_baseline(baseline)
    noise, table, samples = audit.summary, audit.scores, len(audit.catalogue)
    has_kinds = "kind" in table.column_names
    kinds = tuple(sorted(set(table.column("kind").drop_null().to_pylist()))) if has_kinds else ()
    listed = list_suspicious(suspicious_rows(run.suspicious), noise.suspicious, most=most, baseline=known)
    ranked_S, rank_S = (
        np.array([int(row[name]) for row in listed.rows], dtype=np.int32) for name in ("sample", "rank")
    )
    if len(ranked_S) and ranked_S.max() >= samples:
        raise RunError(
            f"{run.suspicious} names samples that {run.samples} does not have", fix=f"run labelaudit fit {run.root}"
        )
    p_N = audit.column("p_mislabeled")
    suspicious_N = p_N > noise.flag_above
    suspicious_N[ranked_S] = True
    return Findings(
        description=audit.description,
        noise=noise,
        catalogue=audit.catalogue,
        statistic=noise.fit.rank_by,
        value_N=audit.column(noise.fit.rank_by),
        aul_N=audit.column("aul"),
        p_mislabeled_N=p_N,
        suggested_N=_positions(table, "suggested_label", audit.catalogue.classes),
        kind_N=_positions(table, "kind", kinds) if kinds else np.full(samples, -1, dtype=np.int32),
        kinds=kinds,
        suspicious_N=suspicious_N,
        ranked_S=ranked_S,
        rank_S=rank_S,
        new=listed.new,
    )


def _positions(table: pa.Table, name: str, names: Sequence[str]) -> IntArray:
    """Where each text of a column stands in ``names``: [N], −1 where nowhere."""
    position = pc.index_in(table.column(name).cast(pa.string()), value_set=pa.array(names, pa.string()))
    position_N: IntArray = pc.fill_null(position, -1).to_numpy().astype(np.int32)
    return position_N
