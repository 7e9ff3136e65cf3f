"""An audit of images with hostile names, made up without a training: in a run folder, as a fit leaves it."""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import scan
from labelaudit.detect.constants import FLAG_ABOVE
from labelaudit.detect.curves import CurveStatistics
from labelaudit.detect.verdicts import Verdicts
from labelaudit.run.documents import TRAINED, Description, RecordedData, write_description
from labelaudit.run.files import write_json, write_lines
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import SUSPICIOUS_COLUMNS, ranked_lines, write_weights
from labelaudit.run.parquet import write_table
from labelaudit.run.tables import verdict_table, write_samples
from tests.detect.helpers import beliefs_of, statistics_of, verdicts_with
from tests.report.helpers import class_noise, noise_json

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
    """A finished audit in which every fifth readable sample is suspicious, and ``broken`` cannot be read."""
    for path in broken:
        (data / path).write_bytes(b"no image")
    catalogue, folder = scan(data), RunFolder(run)
    run.mkdir(parents=True)
    statistics = _statistics(catalogue)
    verdicts = _verdicts(statistics)
    write_samples(folder.samples, catalogue)
    settings, finished = {"epochs": 2, "members": 1}, "2024-05-06T07:08:09+00:00"
    recorded = RecordedData.of(catalogue)
    write_description(folder, Description(status=TRAINED, finished=finished, settings=settings, data=recorded))
    table = verdict_table(catalogue, statistics, verdicts)
    write_table(folder.scores, table)
    write_weights(folder.weights_csv, folder.weights_npy, catalogue, verdicts.weight_N)
    flagged = verdicts.order[: verdicts.flagged]
    write_lines(folder.suspicious, ranked_lines(SUSPICIOUS_COLUMNS, table, catalogue, flagged))
    noise = noise_json(
        noise_rate=0.2,
        noise_rate_interval=[0.1, 0.3],
        suspicious=verdicts.flagged,
        samples=len(catalogue),
        readable=int(catalogue.used_N.sum()),
        unreadable=len(broken),
        classes=[class_noise(name, 0.2, 5) for name in catalogue.classes],
        confusion=[{"given": catalogue.classes[0], "suggested": catalogue.classes[1], "count": 1}],
        warnings=["The <b>two</b> groups overlap."],
    )
    write_json(folder.noise, noise)
    return folder


def _statistics(catalogue: Catalogue) -> CurveStatistics:
    samples, classes = len(catalogue), len(catalogue.classes)
    generator = np.random.default_rng(0)
    unread_N = ~catalogue.used_N
    aul_N = generator.uniform(0, 5, samples) + 10 * (np.arange(samples) % 5 == 0)
    aul_N[unread_N] = np.nan
    alternative_N = ((catalogue.label_N + 1) % classes).astype(np.int32)
    alternative_N[unread_N] = -1
    beliefs = beliefs_of(np.exp(-aul_N), alternative_N[None], np.where(unread_N, np.nan, 0.25)[None])
    return statistics_of(aul_N, label_N=catalogue.label_N, beliefs=beliefs, classes=classes, epochs=2)


def _verdicts(statistics: CurveStatistics) -> Verdicts:
    # Zero for most, as a mixture gives it: the order of those is the statistic's.
    p_N = np.clip((statistics.aul_N - 4.0) / 12.0, 0.0, 1.0)
    seen = np.flatnonzero(np.isfinite(p_N))
    return verdicts_with(p_N, seen[np.argsort(-statistics.aul_N[seen], kind="stable")], int((p_N > FLAG_ABOVE).sum()))
