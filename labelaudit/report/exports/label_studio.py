"""Write for Label Studio: tasks with a prediction each, and the labeling configuration that they belong to."""

from __future__ import annotations

from urllib.parse import quote

from labelaudit import __version__
from labelaudit.report.exports.base import Job, Sample, json_members, json_text, xml_attribute
from labelaudit.run.files import write_lines


def write(job: Job) -> None:
    """Write ``config.xml``, and ``tasks.json`` with the proposed label and its probability as a prediction."""
    choices = (f"    <Choice value={xml_attribute(name, 'the class')}/>\n" for name in job.classes)
    write_lines(job.folder / "config.xml", [_VIEW, *choices, "  </Choices>\n</View>\n"])
    tasks = (json_text(_task(sample, job.url_prefix)) for sample in job.samples)
    write_lines(job.folder / "tasks.json", json_members(tasks, opening="[", closing="]"))


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
