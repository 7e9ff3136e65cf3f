"""Write for FiftyOne: a FiftyOneImageClassificationDataset that leaves the images where they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from labelaudit.errors import DataError
from labelaudit.report.exports.base import Job, Sample, json_members, json_text
from labelaudit.run.files import write_lines


def write(job: Job) -> None:
    """Write ``data.json``, the place of each image, and ``labels.json``, whose keys are those without their suffix.

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
        f"{json_text(key + os.path.splitext(sample.path)[1])}: {json_text(str(job.root / sample.path))}"
        for key, sample in zip(keys, job.samples, strict=True)
    )
    write_lines(job.folder / "data.json", json_members(places, opening="{", closing="}"))
    names = "p_mislabeled label_score suggested_label weight is_suspicious rank"
    labels = (
        f"{json_text(key)}: " + json_text({"label": number_of[sample.given_label], "attributes": sample.fields(names)})
        for key, sample in zip(keys, job.samples, strict=True)
    )
    opening = f'{{"classes": {json_text(job.classes)}, "labels": {{'
    write_lines(job.folder / "labels.json", json_members(labels, opening=opening, closing="}}"))


def _keys(samples: Sequence[Sample]) -> list[str]:
    """Return paths without suffix, as FiftyOne names images; whole paths where only the suffix tells two apart."""
    stems = [os.path.splitext(sample.path)[0] for sample in samples]
    taken = Counter(stems)
    taken.update(sample.path for sample in samples)
    return [stem if taken[stem] == 1 else sample.path for stem, sample in zip(stems, samples, strict=True)]
