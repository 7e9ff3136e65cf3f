"""The table of export formats, readable without importing anything heavy."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from labelaudit.errors import UsageError
from labelaudit.names import ExportName

if TYPE_CHECKING:
    from labelaudit.report.exports.base import Writer


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """One format.

    Attributes:
        name: As the user writes it.
        summary: What is written, in a line.
        files: The names of the files; the last one is to be opened.
        ranked: True: the suspicious samples in their order; False: every sample in the order of the paths.
        reads_images: True where the other tool reads the image files on this machine.
        writer: ``module:function`` below this package; the function takes a `Job`.
    """

    name: ExportName
    summary: str
    files: tuple[str, ...]
    ranked: bool = False
    reads_images: bool = False
    writer: str

    def load(self) -> Writer:
        """Import and return the function that writes this format."""
        module, _, function = self.writer.partition(":")
        writer: Writer = getattr(importlib.import_module(f"labelaudit.report.exports.{module}"), function)
        return writer


FORMATS = (
    ExportFormat(
        name="label-studio",
        summary="Tasks with a prediction each, and a labeling configuration with all classes.",
        files=("config.xml", "tasks.json"),
        ranked=True,
        writer="label_studio:write",
    ),
    ExportFormat(
        name="cvat",
        summary="CVAT for images 1.1: a tag per image, and the labels for the task.",
        files=("labels.json", "annotations.xml"),
        ranked=True,
        writer="cvat:write",
    ),
    ExportFormat(
        name="fiftyone",
        summary="An image classification dataset: the given labels, with the verdicts as attributes.",
        files=("data.json", "labels.json"),
        reads_images=True,
        writer="fiftyone:write",
    ),
    ExportFormat(
        name="huggingface",
        summary="An imagefolder for datasets.load_dataset: links to the images, and metadata.jsonl.",
        files=("README.md", "metadata.jsonl"),
        reads_images=True,
        writer="huggingface:write",
    ),
    ExportFormat(
        name="cleanlab",
        summary="The label issues as cleanlab's Datalab has them, for pandas.",
        files=("label_issues.parquet",),
        writer="parquet:write_cleanlab",
    ),
    ExportFormat(
        name="croissant",
        summary="A table of all verdicts, described in Croissant 1.1.",
        files=("verdicts.parquet", "croissant.json"),
        writer="parquet:write_croissant",
    ),
)


def find_format(name: str) -> ExportFormat:
    """Return the format of this name.

    Raises:
        UsageError: there is none.
    """
    for entry in FORMATS:
        if entry.name == name:
            return entry
    raise UsageError(f"unknown format {name!r}", fix=f"there are {', '.join(get_args(ExportName))}")
