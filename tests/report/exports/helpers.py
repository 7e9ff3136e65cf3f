"""An audit of images with hostile names, made up without a training: in a run folder, as a fit leaves it."""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labelaudit.data.folder import scan
from labelaudit.run.layout import RunFolder
from tests.report.page.helpers import record

HOSTILE_CLASSES = (
    *("=cmd()", "2024", "NA", 'a,b name="label"', "cat", "test", "two\nlines", "<b>&amp;", "\u202eevil", "猫 ä"),
    *("$given_label", "__special"),
)
HOSTILE_FILES = (
    *("1.png", "a,b.png", '"quoted".png', "=1+1.png", "two\nlines.png", "return\r\nline.png"),
    *("para\u2029graph.png", "\u202ertl.png", "a b&c#d%20?e+f.png", "[glob]*.png", "col:on::.png"),
    *("dot.in.name.png", "__x.png", "train.png", "same.png", "same.jpg", "e\u0301 decomposed.png", "tab\there.png"),
)


def consumer(name: str) -> Any:
    """A module of a tool that reads exports; without it the test is skipped, or fails where the tools must be there."""
    if os.environ.get("LABELAUDIT_REQUIRE_CONSUMERS"):
        return importlib.import_module(name)
    return pytest.importorskip(name)


def hostile_folder(
    root: Path, *, classes: Sequence[str] = HOSTILE_CLASSES, files: Sequence[str] = HOSTILE_FILES
) -> Path:
    """Every file in every class; no two images are equal."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for which, file in enumerate(files):
            size = (4 + number, 3 + which)
            Image.new("RGB", size, (10 * number, 10 * which, 7)).save(root / name / file)
    return root


def made_up_audit(data: Path, run: Path, *, broken: Sequence[str] = ()) -> RunFolder:
    """A finished audit in which every fifth readable sample of ten or more is suspicious; ``broken`` cannot be read."""
    for path in broken:
        (data / path).write_bytes(b"no image")
    catalogue = scan(data)
    return record(run, catalogue, np.flatnonzero(catalogue.used_N)[::5]).run
