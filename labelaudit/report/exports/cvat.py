"""Write for CVAT (for images 1.1): annotations to upload into a task, and the labels that the task must have."""

from __future__ import annotations

from collections.abc import Iterator

from labelaudit.report.exports.base import Job, json_members, json_text, xml_attribute, xml_text
from labelaudit.run.files import write_lines

_ATTRIBUTES = ("given_label", "suggested_label", "p_mislabeled", "rank")
"""The attributes of every tag; CVAT takes only attributes that the task's labels have."""


def write(job: Job) -> None:
    """Write ``labels.json``, for the raw editor of a new task's labels, and ``annotations.xml``.

    Raises a DataError where a path or class has a character that XML cannot hold.
    """
    attributes = [
        {"name": name, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
        for name in _ATTRIBUTES
    ]
    labels = (json_text({"name": name, "attributes": attributes}) for name in job.classes)
    write_lines(job.folder / "labels.json", json_members(labels, opening="[", closing="]"))
    write_lines(job.folder / "annotations.xml", _document(job))


def _document(job: Job) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
    yield f"  <meta><task><size>{len(job.samples)}</size><mode>annotation</mode>\n    <labels>\n"
    for name in job.classes:
        yield f"      <label><name>{xml_text(name, 'the class')}</name><attributes>"
        for attribute in _ATTRIBUTES:
            yield f"<attribute><name>{attribute}</name><mutable>False</mutable><input_type>text</input_type>"
            yield "<default_value></default_value><values></values></attribute>"
        yield "</attributes></label>\n"
    yield "    </labels>\n  </task></meta>\n"
    for number, sample in enumerate(job.samples):
        values = (sample.given_label, sample.suggested_label or "", f"{sample.p_mislabeled:.6f}", str(sample.rank))
        attributes = "".join(
            f'<attribute name="{name}">{xml_text(value, "the class")}</attribute>'
            for name, value in zip(_ATTRIBUTES, values, strict=True)
        )
        name = xml_attribute(sample.path, "the path")
        label = xml_attribute(sample.proposed_label, "the class")
        yield f'  <image id="{number}" name={name} width="{sample.width}" height="{sample.height}">\n'
        yield f'    <tag label={label} source="auto">{attributes}</tag>\n  </image>\n'
    yield "</annotations>\n"
