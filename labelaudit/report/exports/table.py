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
        files: The names of the files, the one to open last.
        ranked: True where the suspicious samples are written, in their order; False where every sample is, in the
            order of the paths.
        reads_images: True where the other tool is pointed to the image files on this machine.
        writer: ``module:function`` that takes a `Job` and writes it.
    """

    name: ExportName
    summary: str
    files: tuple[str, ...]
    ranked: bool
    reads_images: bool
    writer: str

    def load(self) -> Writer:
        """The function that writes this format."""
        module, _, function = self.writer.partition(":")
        writer: Writer = getattr(importlib.import_module(module), function)
        return writer


FORMATS = (
    ExportFormat(
        name="label-studio",
        summary="Tasks with a prediction each, and a labeling configuration with all classes.",
        files=("config.xml", "tasks.json"),
        ranked=True,
        reads_images=False,
        writer="labelaudit.report.exports.label_studio:write",
    ),
    ExportFormat(
        name="cvat",
        summary="CVAT for images 1.1: a tag per image, and the labels for the task.",
        files=("labels.json", "annotations.xml"),
        ranked=True,
        reads_images=False,
        writer="labelaudit.report.exports.cvat:write",
    ),
    ExportFormat(
        name="fiftyone",
        summary="An image classification dataset: the given labels, with the verdicts as attributes.",
        files=("data.json", "labels.json"),
        ranked=False,
        reads_images=True,
        writer="labelaudit.report.exports.fiftyone:write",
    ),
    ExportFormat(
        name="huggingface",
        summary="An imagefolder for datasets.load_dataset: links to the images, and metadata.jsonl.",
        files=("README.md", "metadata.jsonl"),
        ranked=False,
        reads_images=True,
        writer="labelaudit.report.exports.huggingface:write",
    ),
    ExportFormat(
        name="cleanlab",
        summary="The label issues as cleanlab's Datalab has them, for pandas.",
        files=("label_issues.parquet",),
        ranked=False,
        reads_images=False,
        writer="labelaudit.report.exports.cleanlab:write",
    ),
    ExportFormat(
        name="croissant",
        summary="A table of all verdicts, described in Croissant 1.1.",
        files=("verdicts.parquet", "croissant.json"),
        ranked=False,
        reads_images=False,
        writer="labelaudit.report.exports.croissant:write",
    ),
)


def find_format(name: str) -> ExportFormat:
    """The entry of this name.

    Raises:
        UsageError: there is none.
    """
    for entry in FORMATS:
        if entry.name == name:
            return entry
    raise UsageError(f"unknown format {name!r}", fix=f"there are {', '.join(get_args(ExportName))}")
