"""The verdicts as a table: cleanlab's label issues, and Croissant's table with its description."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit import __version__
from labelaudit.report.exports.base import Job
from labelaudit.run.files import write_atomically, write_json

_INTEGER, _FLOAT = (pa.int32(), "sc:Integer"), (pa.float64(), "sc:Float")
_TEXT, _BOOLEAN = (pa.string(), "sc:Text"), (pa.bool_(), "sc:Boolean")
_COLUMNS = {
    "sample": (*_INTEGER, "The sample's number: its row in the audit's table of samples."),
    "path": (*_TEXT, "The image, below the audited folder."),
    "given_label": (*_TEXT, "The label as it was given."),
    "suggested_label": (*_TEXT, "The other label that the probe believed most."),
    "p_mislabeled": (*_FLOAT, "Probability that the given label is wrong: high = suspicious."),
    "label_score": (*_FLOAT, "1 - p_mislabeled: low = suspicious."),
    "weight": (*_FLOAT, "How much the sample should count in a loss."),
    "is_suspicious": (*_BOOLEAN, "Whether the audit flagged the sample."),
    "rank": (*_INTEGER, "Place in the order of suspicion, from 1."),
    "sha256": (*_TEXT, "Of the image file's content."),
    "kind": (*_TEXT, "What is wrong with the sample."),
}
"""By name: its type in Arrow and in Croissant, and its meaning."""


def _verdicts(job: Job) -> pa.Table:
    """Return a row per sample with these columns; ``kind`` only where the audit tells kinds apart."""
    has_kinds = any(sample.kind is not None for sample in job.samples)
    schema = pa.schema({name: kind for name, (kind, *_) in _COLUMNS.items() if name != "kind" or has_kinds})
    return pa.table({name: [getattr(sample, name) for sample in job.samples] for name in schema.names}, schema=schema)


_DATALAB = ("is_label_issue", "label_score", "given_label", "predicted_label")


def write_cleanlab(job: Job) -> None:
    """Write ``label_issues.parquet``: the four columns of Datalab.get_issues("label") first, then ours."""
    ours = _verdicts(job)
    table = ours.rename_columns([{"is_suspicious": "is_label_issue"}.get(name, name) for name in ours.column_names])
    predicted = pa.array([sample.proposed_label for sample in job.samples], pa.string())
    table = table.append_column("predicted_label", predicted)
    table = table.select([*_DATALAB, *(name for name in table.column_names if name not in _DATALAB)])
    write_atomically(job.folder / "label_issues.parquet", lambda partial: pq.write_table(table, partial))


_TERMS = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty fileSet format "
    "includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
    "samplingRate separator source subField transform"
)

CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{name: f"cr:{name}" for name in _TERMS.split()},
}

_TABLE = "verdicts.parquet"


def write_croissant(job: Job) -> None:
    """Write ``verdicts.parquet``, and ``croissant.json``, which describes it in Croissant 1.1."""
    table = _verdicts(job)
    file = job.folder / _TABLE
    write_atomically(file, lambda partial: pq.write_table(table, partial))
    write_json(job.folder / "croissant.json", _description(job, table.schema, file.read_bytes()))


def _description(job: Job, schema: pa.Schema, content: bytes) -> dict[str, object]:
    file = {
        "@type": "cr:FileObject",
        "@id": _TABLE,
        "name": _TABLE,
        "description": "A row per image.",
        "contentUrl": _TABLE,
        "contentSize": f"{len(content)} B",
        "encodingFormat": "application/x-parquet",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    records = {
        "@type": "cr:RecordSet",
        "@id": "verdicts",
        "name": "verdicts",
        "description": "A row per image, in the order of the paths.",
        "key": {"@id": "verdicts/sample"},
        "field": [_field(name) for name in schema.names],
    }
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": "labelaudit-verdicts",
        "description": f"What an audit by labelaudit {__version__} says of {len(job.samples)} image labels.",
        **({"datePublished": job.created} if job.created else {}),
        "distribution": [file],
        "recordSet": [records],
    }


def _field(name: str) -> dict[str, object]:
    _, kind, meaning = _COLUMNS[name]
    return {
        "@type": "cr:Field",
        "@id": f"verdicts/{name}",
        "name": name,
        "description": meaning,
        "dataType": kind,
        "source": {"fileObject": {"@id": _TABLE}, "extract": {"column": name}},
    }
