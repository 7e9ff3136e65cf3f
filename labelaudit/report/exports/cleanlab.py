"""cleanlab: the table of label issues that Datalab.get_issues("label") gives."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.report.exports.base import Job, verdicts_table
from labelaudit.run.files import write_atomically

_DATALAB = ("is_label_issue", "label_score", "given_label", "predicted_label")


def write(job: Job) -> None:
    """Write ``label_issues.parquet``: Datalab's four columns first, then ours.

    ``predicted_label`` is the label that the audit would give: where there is an issue the suggested one, else the
    given one.
    """
    ours = verdicts_table(job.samples)
    table = ours.rename_columns([{"is_suspicious": "is_label_issue"}.get(name, name) for name in ours.column_names])
    predicted = pa.array([sample.proposed_label for sample in job.samples], pa.string())
    table = table.append_column("predicted_label", predicted)
    table = table.select([*_DATALAB, *(name for name in table.column_names if name not in _DATALAB)])
    write_atomically(job.folder / "label_issues.parquet", lambda partial: pq.write_table(table, partial))
