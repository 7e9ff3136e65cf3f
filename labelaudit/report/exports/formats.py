"""The formats of other tools: the table of them, and what each has of an audit."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from labelaudit import __version__
from labelaudit.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One audited sample, with the columns of scores.parquet.

    ``sample`` is the row in samples.parquet, ``rank`` the place in the order of suspicion from 1, ``path`` is below the
    image folder. ``width`` and ``height`` are in pixels as displayed. ``kind`` is None where nothing is wrong, and
    ``suggested_label`` without another class that the probe believed in, or for an image of no class.
    """

    sample: int
    rank: int
    path: str
    given_label: str
    suggested_label: str | None
    p_mislabeled: float
    label_score: float
    weight: float
    is_suspicious: bool
    kind: str | None
    width: int
    height: int
    sha256: str

    @property
    def proposed_label(self) -> str:
        """The label that the audit proposes: the suggested one where the sample is suspicious, else the given one.

        It is the given one as well where nothing is suggested, as for an image of no class.
        """
        return (self.is_suspicious and self.suggested_label) or self.given_label

    def fields(self, names: str) -> dict[str, object]:
        """Return the fields with these names, separated by blanks, and ``kind`` where the sample has one."""
        found = {name: getattr(self, name) for name in names.split()}
        return found if self.kind is None else {**found, "kind": self.kind}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to export: samples in order, all classes sorted, and the image folder.

    ``url_prefix`` is what Label Studio finds an image's path behind; ``created`` is ISO 8601 or empty.
    """

    samples: Sequence[Sample]
    classes: tuple[str, ...]
    root: Path
    url_prefix: str
    created: str


Content = Iterable[str] | bytes | Path
"""What a file of an export is: its text in parts, its bytes, or the place that it is a link to."""


def _json(value: object) -> str:
    """Return JSON on one line; NaN and infinity raise ValueError."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _members(items: Iterable[str], *, opening: str, closing: str) -> Iterator[str]:
    """Yield the text of a JSON list or object with these members, which are JSON already, one a line."""
    yield opening
    for number, item in enumerate(items):
        yield f"{',' * (number > 0)}\n{item}"
    yield f"\n{closing}\n"


NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 (section 2.2) has no way to write, not even as a reference."""


def _legal(text: str, what: str) -> str:
    """Return text; a DataError calls it ``what`` if XML 1.0 cannot hold it."""
    if bad := NOT_IN_XML.search(text):
        raise DataError(
            f"{what} {text!r} has the character U+{ord(bad[0]):04X}, which XML cannot hold",
            fix="rename it and audit again, or export to another format",
        )
    return text


def _xml(text: str) -> str:
    """Return the name of a class as the content of an XML element."""
    return escape(_legal(text, "the class"), {"\r": "&#13;"})


def label_studio(job: Job) -> Mapping[str, Content]:
    """Return tasks with the proposed label and its probability as a prediction, and the labeling configuration."""
    choices = (f"    <Choice value={quoteattr(_legal(name, 'the class'))}/>\n" for name in job.classes)
    tasks = (_json(_task(sample, job.url_prefix)) for sample in job.samples)
    return {
        "config.xml": [_VIEW, *choices, "  </Choices>\n</View>\n"],
        "tasks.json": _members(tasks, opening="[", closing="]"),
    }


def _task(sample: Sample, url_prefix: str) -> dict[str, object]:
    fields = "path given_label suggested_label p_mislabeled label_score rank sample sha256"
    value = {"choices": [sample.proposed_label]}
    score = sample.p_mislabeled if sample.proposed_label != sample.given_label else sample.label_score
    result = {"from_name": "label", "to_name": "image", "type": "choices", "value": value}
    return {
        "data": {"image": url_prefix + quote(sample.path), **sample.fields(fields)},
        "predictions": [{"model_version": f"labelaudit-{__version__}", "score": score, "result": [result]}],
    }


_VIEW = """<View>
  <Image name="image" value="$image"/>
  <Header value="Given label"/>
  <Text name="given" value="$given_label"/>
  <Choices name="label" toName="image" choice="single" required="true">
"""


_ATTRIBUTES = ("given_label", "suggested_label", "p_mislabeled", "rank")
"""The attributes of every tag; CVAT takes only attributes that the task's labels have."""


def cvat(job: Job) -> Mapping[str, Content]:
    """Return the labels, for the raw editor of a new task, and the annotations to upload into it."""
    attributes = [
        {"name": name, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
        for name in _ATTRIBUTES
    ]
    labels = (_json({"name": name, "attributes": attributes}) for name in job.classes)
    return {"labels.json": _members(labels, opening="[", closing="]"), "annotations.xml": _annotations(job)}


def _annotations(job: Job) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
    yield f"  <meta><task><size>{len(job.samples)}</size><mode>annotation</mode>\n    <labels>\n"
    for name in job.classes:
        yield f"      <label><name>{_xml(name)}</name><attributes>"
        for attribute in _ATTRIBUTES:
            yield f"<attribute><name>{attribute}</name><mutable>False</mutable><input_type>text</input_type>"
            yield "<default_value></default_value><values></values></attribute>"
        yield "</attributes></label>\n"
    yield "    </labels>\n  </task></meta>\n"
    for number, sample in enumerate(job.samples):
        values = (sample.given_label, sample.suggested_label or "", f"{sample.p_mislabeled:.6f}", str(sample.rank))
        attributes = "".join(
            f'<attribute name="{name}">{_xml(value)}</attribute>'
            for name, value in zip(_ATTRIBUTES, values, strict=True)
        )
        name = quoteattr(_legal(sample.path, "the path"))
        label = quoteattr(_legal(sample.proposed_label, "the class"))
        yield f'  <image id="{number}" name={name} width="{sample.width}" height="{sample.height}">\n'
        yield f'    <tag label={label} source="auto">{attributes}</tag>\n  </image>\n'
    yield "</annotations>\n"


def fiftyone(job: Job) -> Mapping[str, Content]:
    """Return the place of each image, and labels, whose keys are those of the places without their suffix.

    Raises a DataError where the place of an image has a backslash, which FiftyOne turns into a slash.
    """
    for place in (str(job.root), *(sample.path for sample in job.samples)):
        if "\\" in place:
            raise DataError(
                f"FiftyOne would make a slash of the backslash in {place!r}",
                fix="rename it and audit again, or export to another format",
            )
    keys = _keys(job.samples)
    number_of = {name: number for number, name in enumerate(job.classes)}
    places = (
        f"{_json(key + os.path.splitext(sample.path)[1])}: {_json(str(job.root / sample.path))}"
        for key, sample in zip(keys, job.samples, strict=True)
    )
    names = "p_mislabeled label_score suggested_label weight is_suspicious rank"
    labels = (
        f"{_json(key)}: " + _json({"label": number_of[sample.given_label], "attributes": sample.fields(names)})
        for key, sample in zip(keys, job.samples, strict=True)
    )
    opening = f'{{"classes": {_json(job.classes)}, "labels": {{'
    return {
        "data.json": _members(places, opening="{", closing="}"),
        "labels.json": _members(labels, opening=opening, closing="}}"),
    }


def _keys(samples: Sequence[Sample]) -> list[str]:
    """Return paths without suffix, as FiftyOne names images; whole paths where only the suffix tells two apart."""
    stems = [os.path.splitext(sample.path)[0] for sample in samples]
    taken = Counter(stems)
    taken.update(sample.path for sample in samples)
    return [stem if taken[stem] == 1 else sample.path for stem, sample in zip(stems, samples, strict=True)]


_FILES = ("README.md", "metadata.jsonl")
_CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: "**"
---
The images are links to the audited folder. Columns: `label` as given, `suggested_label`, `p_mislabeled` (high =
suspicious), `label_score` (low = suspicious), `weight` in a loss, `is_suspicious`, `rank` (1 = most suspicious).
"""
# Without the card's data_files, a folder or file with "test" in its name would become a split of its own.


def huggingface(job: Job) -> Mapping[str, Content]:
    """Return a link to every image, and the verdicts; a DataError refuses a class that datasets takes for a date."""
    _require_text(job.classes)
    names = [_link_name(sample) for sample in job.samples]
    links = {name: job.root / sample.path for name, sample in zip(names, job.samples, strict=True)}
    return {_FILES[0]: [_CARD], **links, _FILES[1]: _lines(job, names)}


def _lines(job: Job, names: Sequence[str]) -> Iterator[str]:
    fields = "suggested_label p_mislabeled label_score weight is_suspicious rank sample path sha256"
    for name, sample in zip(names, job.samples, strict=True):
        row = {"file_name": name, "label": sample.given_label, **sample.fields(fields)}
        # In every row and never null: datasets takes the columns and their types from the first rows alone.
        yield _json({**row, "kind": sample.kind or ""}) + "\n"


def _require_text(classes: Sequence[str]) -> None:
    """Refuse classes like 2024-01-01: datasets reads JSON with Arrow, which takes such texts for dates."""
    for name in classes:
        line = _json({"label": name}).encode()
        if pyarrow.json.read_json(io.BytesIO(line)).schema.field("label").type != pyarrow.string():
            raise DataError(
                f"datasets would take the class {name!r} for a date",
                fix="rename it and audit again, or export to croissant or cleanlab",
            )


def _link_name(sample: Sample) -> str:
    """Return the path, or a name made of the sample's number where datasets would change or ignore the path."""
    parts = sample.path.split("/")
    special = parts[0] in _FILES or any(part.startswith((".", "__")) for part in parts)
    if sample.path.isprintable() and not special and not set(sample.path) & set("\\:*?[]#%"):
        return sample.path
    return f"images/{sample.sample:07d}{os.path.splitext(sample.path)[1]}"


_INTEGER, _FLOAT = ("int32", "sc:Integer"), ("double", "sc:Float")
_TEXT, _BOOLEAN = ("string", "sc:Text"), ("bool", "sc:Boolean")
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
    """Return a row per sample with these columns."""
    schema = pa.schema({name: kind for name, (kind, *_) in _COLUMNS.items()})
    return pa.table({name: [getattr(sample, name) for sample in job.samples] for name in schema.names}, schema=schema)


def _parquet(table: pa.Table) -> bytes:
    content = io.BytesIO()
    pq.write_table(table, content)
    return content.getvalue()


_DATALAB = ("is_label_issue", "label_score", "given_label", "predicted_label")


def cleanlab(job: Job) -> Mapping[str, Content]:
    """Return the four columns of Datalab.get_issues("label") first, then ours."""
    ours = _verdicts(job)
    table = ours.rename_columns([{"is_suspicious": "is_label_issue"}.get(name, name) for name in ours.column_names])
    predicted = table.schema.field("given_label").with_name("predicted_label")
    table = table.append_column(predicted, [[sample.proposed_label for sample in job.samples]])
    table = table.select([*_DATALAB, *(name for name in table.column_names if name not in _DATALAB)])
    return {"label_issues.parquet": _parquet(table)}


_TERMS = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty fileSet format "
    "includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
    "samplingRate separator source subField transform"
)

_CONTEXT: dict[str, object] = {
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


def croissant(job: Job) -> Mapping[str, Content]:
    """Return the verdicts, and what describes them in Croissant 1.1."""
    table = _verdicts(job)
    content = _parquet(table)
    description = json.dumps(_description(job, table.column_names, content), indent=2, ensure_ascii=False)
    return {_TABLE: content, "croissant.json": [description + "\n"]}


def _description(job: Job, columns: Sequence[str], content: bytes) -> dict[str, object]:
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
        "field": [_field(name) for name in columns],
    }
    return {
        "@context": _CONTEXT,
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


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """One format.

    It has the suspicious samples where it is ``ranked``, else every sample in the order of the paths. With
    ``reads_images`` the other tool reads the images on this machine. ``contents`` gives what each file is, by its name,
    the one to be opened last; a DataError says that the format cannot hold a name.
    """

    contents: Callable[[Job], Mapping[str, Content]]
    ranked: bool = False
    reads_images: bool = False


FORMATS: dict[str, ExportFormat] = {
    "label-studio": ExportFormat(contents=label_studio, ranked=True),
    "cvat": ExportFormat(contents=cvat, ranked=True),
    "fiftyone": ExportFormat(contents=fiftyone, reads_images=True),
    "huggingface": ExportFormat(contents=huggingface, reads_images=True),
    "cleanlab": ExportFormat(contents=cleanlab),
    "croissant": ExportFormat(contents=croissant),
}
