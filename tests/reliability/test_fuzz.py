"""Feed every reader with damaged and made-up files: it may answer or raise a LabelauditError, and nothing else.

LABELAUDIT_FUZZ_EXAMPLES=2000 python -m pytest --timeout 0 tests/reliability/test_fuzz.py     (else 10)
"""

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from labelaudit.auditing.fit import fit
from labelaudit.auditing.members import rewind_to_checkpoint
from labelaudit.auditing.model import Audit, is_trained, open_run, read_catalogue, recorded_data
from labelaudit.auditing.sample import draw_sample, sample_csv
from labelaudit.auditing.training import read_checkpoint
from labelaudit.data.labels_file import read_labels
from labelaudit.engine.pretrained import read_weights_file
from labelaudit.engine.settings import settings_from_json
from labelaudit.errors import LabelauditError
from labelaudit.report.exports.export import export
from labelaudit.report.formats import FORMATS, show_table
from labelaudit.report.gate import Limits, Report, make_report
from labelaudit.report.page.write import write_page
from labelaudit.review.answers import read_answers
from labelaudit.review.corrections import read_review
from labelaudit.review.moves import last_journal
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import read_baseline, read_weights
from labelaudit.run.metrics import read_metrics
from tests.cli.helpers import QUICK, interrupted, run, succeed, write_images

EXAMPLES = int(os.environ.get("LABELAUDIT_FUZZ_EXAMPLES", "10"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reviewed audit, beside one that is half trained; tests damage one file in it and put it back."""
    place = tmp_path_factory.mktemp("fuzz")
    root = write_images(place / "images", each=6, wrong=1)
    succeed("score", root, "--run", place / "plain", *QUICK)
    plain = RunFolder(place / "plain")
    (place / "filled.csv").write_text("".join(sample_csv(plain, 24)[0]).replace(",,,", ",keep,,"))
    succeed("fit", plain.root, "--reviewed", place / "filled.csv")
    with interrupted("labelaudit.run.losses.write_epoch", call=3):
        assert run("score", root, "--run", place / "half", *QUICK).code == 130
    return place / "plain"


# What a file may hold instead: damaged bytes, other JSON values, other cells, other columns.


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """A file with bytes changed, cut out, put in, or its end missing."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(changed) - 1, 0)))
        end = place + draw(st.sampled_from((0, 1, 8, 40, len(content))))
        changed[place:end] = draw(st.sampled_from((b"", bytes(8), b"\xff" * 8)) | st.binary(max_size=20))
    return bytes(changed)


numbers = st.sampled_from((0, -1, 1, 2**31, 2**63, 2**64, 10**30, 0.5, -0.5, 1e308, 1e-308, True))
words = st.text(max_size=8) | st.sampled_from(("", "/", "..", "\0", "\ud800", "a" * 300, "=1", "NaN", "trained"))
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=4,
)


@st.composite
def tampered(draw: st.DrawFn, content: bytes) -> bytes:
    """A JSON document that is damaged, or with some of its parts replaced or left out."""
    if not draw(st.integers(0, 2)):
        return draw(damaged(content))
    changed = json.loads(content)
    for _ in range(draw(st.integers(1, 3))):
        holder, key = changed, None
        while isinstance(holder, dict | list) and holder and (key is None or draw(st.integers(0, 3))):
            above, key = holder, draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
            holder = above[key]
        if key is not None and draw(st.integers(0, 4)):
            above[key] = draw(values)
        elif key is not None:
            del above[key]
    return json.dumps(changed, ensure_ascii=False).encode("utf-8", "surrogatepass")


NAMES = ("path", "label", "action", "weight", "sha256", "given_label", "answer")
CELLS = (*NAMES, "change", "drop", "right", "skip", "ant/000.png", "1.5", "-1", "nan")


@st.composite
def csv_files(draw: st.DrawFn, header: bytes) -> bytes:
    cells = st.sampled_from(CELLS) | st.text(max_size=6)
    rows = [header.decode().split(","), *draw(st.lists(st.lists(cells, max_size=5), max_size=6))]
    text = draw(st.sampled_from(("\n", "\r\n", "\r"))).join(map(",".join, rows[draw(st.booleans()) :]))
    content = text.encode(draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "latin-1"))), "replace")
    return draw(st.just(content) | damaged(content))


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


@st.composite
def tables(draw: st.DrawFn, content: bytes) -> bytes:
    """A table that is damaged, has other rows, or one column of other values, of another type or without values."""
    table = pq.read_table(io.BytesIO(content))
    place, rows = draw(st.integers(0, table.num_columns - 1)), len(table)
    columns = [pa.array([one] * rows) for one in (float("nan"), "../../../etc/passwd", b"\xff", True, [1])]
    columns += [pa.array([one] * rows, pa.int32()) for one in (2**31 - 1, -1)]
    columns += [pa.array([float("inf")] * rows, pa.float32()), pa.nulls(rows, table.schema.field(place).type)]
    others = (
        *(table.remove_column(place), table.rename_columns([f"x{name}" for name in table.column_names])),
        *(pa.concat_tables([table, table]), table.slice(rows // 2), table.slice(0, 0)),
        table.take(pa.array(np.random.default_rng(0).permutation(rows))),
        *(table.set_column(place, table.column_names[place], column) for column in columns),
    )
    changed = saved(partial(pq.write_table, draw(st.sampled_from(others))))
    return draw(st.just(changed) | damaged(content))


# What reads each file.


def each(*reads: Callable[[Path], object]) -> Callable[[Path], None]:
    """Call every reader; each may refuse the file."""

    def read(file: Path) -> None:
        for one in reads:
            with contextlib.suppress(LabelauditError):
                one(file)

    return read


def run_of(file: Path) -> RunFolder:
    return RunFolder(next(parent for parent in file.parents if (parent / "run.json").exists()))


def report(file: Path) -> Report:
    limits = Limits(max_noise=0.1, max_class_noise=0.1, max_suspicious=1, fail_on_warning=True)
    return make_report(Audit(run_of(file)), limits, top=5)


def page(file: Path) -> object:
    return write_page(Audit(run_of(file)), report(file).listed, file.parent / "page.html")


def show(file: Path) -> None:
    show_table(Console(file=io.StringIO()), report(file))


def fit_run(file: Path) -> None:
    if file.name != "noise.json":  # which it writes
        fit(run_of(file))


read_corrections = each(
    *(read_review, partial(read_review, accept_suggestions=True)),
    lambda file: read_answers(file, read_catalogue(run_of(file))),
)
read_sample = each(lambda file: draw_sample(run_of(file), 5), fit_run)


read_tables = each(lambda file: read_catalogue(run_of(file)), fit_run, lambda file: open_run(run_of(file).root), page)
read_everything = each(
    *(lambda file: is_trained(run_of(file)), lambda file: recorded_data(run_of(file))),
    lambda file: settings_from_json(run_of(file).read_description().get("settings"), "run.json"),
    lambda file: repr(open_run(file.parent)),
    *(lambda file, name=name: getattr(open_run(file.parent), name) for name in ("confusion", "warnings", "suspicious")),
    *(lambda file, write=write: write(report(file)) for write in FORMATS.values()),
    *(lambda file, to=to: export(run_of(file), to) for to in ("cleanlab", "cvat")),
    *(show, page, fit_run),
)
"""Whatever reads a run folder, each for itself."""


def read_half_trained(file: Path) -> None:
    kept = shutil.copytree(file.parent / "losses", file.parent.parent / "kept", dirs_exist_ok=True)
    each(read_checkpoint, lambda file: rewind_to_checkpoint(RunFolder(file.parent)))(file)
    shutil.copytree(kept, file.parent / "losses", dirs_exist_ok=True)


RESULT = {"from_name": "label", "value": {"choices": ["bee"]}, "type": "choices"}
DATA = {"image": "/data/local-files/?d=ant/000.png", "path": "ant/000.png"}
ANNOTATIONS = [{"was_cancelled": False, "result": [RESULT]}]
TASKS = json.dumps([{"data": DATA, "annotations": ANNOTATIONS, "predictions": []}]).encode()
XML = (
    b'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><image id="0" name="ant/000.png" '
    b'width="8" height="8"><tag label="bee" source="manual"><attribute name="given_label">ant</attribute></tag></image>'
    b"</annotations>"
)
METRICS = pa.table({"epoch": pa.array([0], pa.int32()), "train_loss": [0.5]})
JOURNAL = (
    b'{"labelaudit": "journal", "version": 1, "state": "moving", "began": "2026-01-01", "corrections": "c.csv", '
    b'"corrections_sha256": "", "folders": ["bee"], "moves": [["ant/1.png", "bee/1.png"]]}'
)
Contents = Callable[[bytes], st.SearchStrategy[bytes]]
CASES: dict[str, tuple[bytes | None, Contents, Callable[[Path], None]]] = {
    "labels.csv": (b"path,label", csv_files, each(read_labels)),
    "w.csv": (b"path,weight,sha256", csv_files, each(lambda file: read_weights(file, read_catalogue(run_of(file))))),
    "baseline.csv": (b"path,sha256,given_label", csv_files, each(read_baseline)),
    "corrections.csv": (b"path,action,label", csv_files, read_corrections),
    "filled.csv": (b"path,action,label,given_label,sha256", csv_files, read_corrections),
    "sample.parquet": (None, tables, read_sample),
    "answers.csv": (None, damaged, each(read_sample, read_corrections)),
    "tasks.json": (TASKS, tampered, read_corrections),
    "other.json": (b"", lambda _: tampered(b"[[]]"), read_corrections),
    "annotations.xml": (XML, damaged, read_corrections),
    ".labelaudit-relabel-1.json": (JOURNAL, tampered, each(lambda file: last_journal(file.parent))),
    "run.json": (None, tampered, read_everything),
    "noise.json": (None, tampered, read_everything),
    "losses/epoch-0001.parquet": (None, tables, read_tables),
    "samples.parquet": (None, tables, each(read_tables, read_baseline)),
    "scores.parquet": (None, tables, read_tables),
    "../half/checkpoint.pt": (None, damaged, read_half_trained),
    "probe.safetensors": (None, damaged, each(read_weights_file)),
    "weights.pt": (saved(partial(torch.save, {"a": torch.zeros(3)})), damaged, each(read_weights_file)),
    "metrics.parquet": (saved(partial(pq.write_table, METRICS)), damaged, each(read_metrics)),
}
"""By file in the run folder: its whole content, where the audit has none; what it may hold instead; what reads it."""


@contextlib.contextmanager
def replaced(file: Path, content: bytes) -> Iterator[None]:
    before = file.read_bytes() if file.exists() else None
    file.write_bytes(content)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        if before is not None:
            file.write_bytes(before)


@pytest.mark.parametrize("name", CASES)
@fuzz
@given(data=st.data())
def test_a_reader_answers_or_raises_our_error(audit: Path, name: str, data: st.DataObject) -> None:
    content, contents, read = CASES[name]
    file = audit / name
    with replaced(file, data.draw(contents(file.read_bytes() if content is None else content))):
        read(file)


WHOLE = {"member": 0, "epochs": 4, "finished_epochs": 2}
STATES: tuple[object, ...] = (
    *({}, [1, 2], torch.zeros(2)),
    *({**WHOLE, "member": member} for member in ("x", 2**70, torch.zeros(3))),
    *({**WHOLE, "finished_epochs": count} for count in (float("nan"), float("inf"))),
    {**WHOLE, "epochs": -4, "finished_epochs": -2},
    {**WHOLE, "networks": 1, "optimizers": []},
    {**WHOLE, "networks": [{"a": 1}], "optimizers": [{}]},
    {**WHOLE, "networks": [{}, {}], "optimizers": [{}]},
)


def test_checkpoints_of_other_content_are_one_line(audit: Path) -> None:
    file = audit.parent / "half/checkpoint.pt"
    for state in STATES:
        with replaced(file, saved(partial(torch.save, state))):
            assert str(file.parent) in run("score", file.parent).error
