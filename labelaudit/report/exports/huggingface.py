"""Write for Hugging Face datasets: an imagefolder of links to the images, with the verdicts in metadata.jsonl."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.json

from labelaudit.errors import DataError, StorageError
from labelaudit.report.exports.base import Job, Sample, json_text
from labelaudit.run.files import storage_errors, write_lines, write_text

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


def write(job: Job) -> None:
    """Write ``README.md``, a link to every image and ``metadata.jsonl``.

    Raises a DataError for a class that datasets would take for a date, a StorageError where a link cannot be made.
    """
    _require_text(job.classes)
    write_text(job.folder / _FILES[0], _CARD)
    names = [_link_name(sample) for sample in job.samples]
    places = zip(names, job.samples, strict=True)
    _link(job.folder, {job.folder / name: job.root / sample.path for name, sample in places})
    write_lines(job.folder / _FILES[1], _lines(job, names))


def _lines(job: Job, names: Sequence[str]) -> Iterator[str]:
    # In every row and never null: datasets takes the columns and their types from the first rows alone.
    has_kinds = any(sample.kind is not None for sample in job.samples)
    fields = "suggested_label p_mislabeled label_score weight is_suspicious rank sample path sha256"
    for name, sample in zip(names, job.samples, strict=True):
        row = {"file_name": name, "label": sample.given_label, **sample.fields(fields)}
        yield json_text(row | {"kind": sample.kind or ""} if has_kinds else row) + "\n"


def _require_text(classes: Sequence[str]) -> None:
    """Refuse classes like 2024-01-01: datasets reads JSON with Arrow, which takes such texts for dates."""
    for name in classes:
        line = json_text({"label": name}).encode()
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


def _link(folder: Path, target_of: dict[Path, Path]) -> None:
    """Make these links, and delete those of an earlier export; nothing but links and empty folders is deleted."""
    with storage_errors(folder):
        for place, folders, files in os.walk(folder, topdown=False):
            for path in (Path(place, name) for name in (*files, *folders)):
                if path.is_symlink():
                    path.unlink()
            if Path(place) != folder:
                with contextlib.suppress(OSError):  # something is in it
                    Path(place).rmdir()
    for link, target in target_of.items():
        with storage_errors(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                link.symlink_to(target)
            except FileExistsError as error:
                raise StorageError(f"{link} is in the way", fix="delete it, or give another --out") from error
