"""Feed every reader with damaged and made-up files: it may answer or raise a LabelauditError, and nothing else.

LABELAUDIT_FUZZ_EXAMPLES=2000 python -m pytest --timeout 0 tests/reliability/test_fuzz.py     (else 10)
"""

import contextlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelaudit.audit.judge import fit
from labelaudit.audit.model import Audit, is_trained, open_run, read_catalogue, recorded_data
from labelaudit.audit.probe import read_state
from labelaudit.data.labels_file import read_labels_csv
from labelaudit.engine.settings import settings_from_json
from labelaudit.engine.weights import read_weights_file
from labelaudit.errors import LabelauditError
from labelaudit.report.exports.export import export
from labelaudit.report.formats import FORMATS
from labelaudit.report.gate import Limits, make_report
from labelaudit.report.page.write import write_page
from labelaudit.retrain.recipe import read_metrics
from labelaudit.review.corrections import read_review
from labelaudit.review.moves import last_journal
from labelaudit.run.checkpoint import read_checkpoint, read_network
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import read_baseline, read_weights
from tests.cli.helpers import QUICK, interrupted, run, succeed, write_images

EXAMPLES = int(os.environ.get("LABELAUDIT_FUZZ_EXAMPLES", "10"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished audit, beside one that is half trained; tests damage one file in it and put it back."""
    place = tmp_path_factory.mktemp("fuzz")
    root = write_images(place / "images", each=6, wrong=1)
    succeed("score", root, "--run", place / "plain", *QUICK)
    with interrupted("labelaudit.audit.probe.write_epoch", call=3):
        assert run("score", root, "--run", place / "half", *QUICK).code == 130
    return place / "plain"


# What a file may hold instead: damaged bytes, other JSON values, other cells, other columns.


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """A file with bytes changed, cut out, put in, or its end missing."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(changed) - 1, 0)))
        match draw(st.sampled_from(("flip", "cut", "insert", "end", "zeros", "ones"))):
            case "flip" if changed:
                changed[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del changed[place : place + draw(st.integers(1, 40))]
            case "insert":
                changed[place:place] = draw(st.binary(max_size=20))
            case "end":
                del changed[place:]
            case "zeros":
                changed[place : place + 8] = bytes(8)
            case "ones":
                changed[place : place + 8] = b"\xff" * 8
    return bytes(changed)


numbers = st.sampled_from((0, -1, 1, 2**31, 2**63, 2**64, 10**30, 0.5, -0.5, 1e308, 1e-308, True))
words = st.text(max_size=8) | st.sampled_from(("", "/", "..", "\0", "\ud800", "a" * 300, "=1", "NaN", "trained"))
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=4,
)


@st.composite
def tampered(draw: st.DrawFn, value: Any) -> Any:
    """A JSON document with some of its parts replaced, left out or put in."""
    changed = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        holder = changed
        while keys := list(holder) if isinstance(holder, dict) else list(range(len(holder))):
            key = draw(st.sampled_from(keys))
            if isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 3)):
                holder = holder[key]
                continue
            if draw(st.integers(0, 4)):
                holder[key] = draw(values)
            else:
                del holder[key]
            break
    return changed


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def documents(content: bytes) -> st.SearchStrategy[bytes]:
    return tampered(json.loads(content)).map(as_json) | damaged(content)


csv_cells = st.sampled_from(
    ("path", "label", "action", "weight", "sha256", "given_label", "change", "drop", "ant/000.png", "1.5", "-1", "nan")
) | st.text(max_size=6)


@st.composite
def csv_files(draw: st.DrawFn, header: bytes) -> bytes:
    if not draw(st.integers(0, 4)):
        return draw(st.binary(max_size=200))
    rows = [draw(st.sampled_from((header.decode().split(","), draw(st.lists(csv_cells, max_size=5)))))]
    rows += draw(st.lists(st.lists(csv_cells, max_size=5), max_size=6))
    text = draw(st.sampled_from(("\n", "\r\n", "\r"))).join(",".join(row) for row in rows)
    return text.encode(draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "latin-1"))), "replace")


@st.composite
def other_columns(draw: st.DrawFn, table: pa.Table) -> bytes:
    """A table with one column of other values, of another type, without values, or none at all."""
    place = draw(st.integers(0, table.num_columns - 1))
    name, rows = table.column_names[place], len(table)
    columns = (
        pa.nulls(rows, table.schema.field(place).type),
        *(pa.array([one] * rows, pa.int32()) for one in (2**31 - 1, -1)),
        *(pa.array([one] * rows) for one in (float("nan"), "../../../etc/passwd", b"\xff", True, [1])),
        pa.array([float("inf")] * rows, pa.float32()),
    )
    changed = draw(
        st.sampled_from(
            (
                table.remove_column(place),
                table.rename_columns([f"x{old}" if old == name else old for old in table.column_names]),
                pa.concat_tables([table, table]),
                table.slice(rows // 2),
                table.slice(0, 0),
                table.take(pa.array(np.random.default_rng(0).permutation(rows))),
                *(table.set_column(place, name, column) for column in columns),
            )
        )
    )
    file = io.BytesIO()
    pq.write_table(changed, file)
    return file.getvalue()


def tables(content: bytes) -> st.SearchStrategy[bytes]:
    return damaged(content) | other_columns(pq.read_table(io.BytesIO(content)))


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", content)
    return file.getvalue()


# What reads each file.


def read_all(*reads: Callable[[], object]) -> None:
    for read in reads:
        with contextlib.suppress(LabelauditError):
            read()


def read_tables(file: Path) -> None:
    folder = next(parent for parent in file.parents if (parent / "run.json").exists())
    run = RunFolder(folder)
    read_all(
        lambda: read_catalogue(run),
        lambda: fit(run),
        lambda: open_run(folder),
        lambda: write_page(run, folder / "page.html"),
    )


def read_everything(file: Path) -> None:
    """Whatever reads a run folder, each for itself."""
    from rich.console import Console

    from labelaudit.report.console import show_estimators
    from labelaudit.report.formats import show_table

    folder, run = file.parent, RunFolder(file.parent)
    limits = Limits(max_noise=0.1, max_class_noise=0.1, max_suspicious=1, fail_on_warning=True)

    def show() -> None:
        console, report = Console(file=io.StringIO()), make_report(Audit(run), limits, top=5, most=5)
        show_estimators(console, report.noise)
        show_table(console, report)

    read_all(
        lambda: is_trained(run),
        lambda: recorded_data(run),
        lambda: settings_from_json(run.read_description().get("settings"), "run.json"),
        lambda: repr(open_run(folder)),
        lambda: open_run(folder)._repr_html_(),
        *(
            lambda name=name: getattr(open_run(folder), name)
            for name in ("noise", "confusion", "warnings", "noise_rate", "suspicious")
        ),
        *(lambda write=write: write(make_report(Audit(run), limits, top=5, most=100)) for write in FORMATS.values()),
        show,
        lambda: write_page(run, folder / "page.html"),
        *(lambda to=to: export(run, to) for to in ("cleanlab", "cvat")),
    )
    if file.name == "run.json":
        read_all(lambda: fit(run))


def read_half_trained(file: Path) -> None:
    kept = shutil.copytree(file.parent / "losses", file.parent.parent / "kept", dirs_exist_ok=True)
    read_all(lambda: read_checkpoint(file), lambda: read_state(RunFolder(file.parent)))
    shutil.copytree(kept, file.parent / "losses", dirs_exist_ok=True)


def read_corrections(file: Path) -> None:
    read_all(*(lambda accept=accept: read_review(file, accept_suggestions=accept) for accept in (False, True)))


def read_metrics_or_refuse(file: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        read_metrics(file)


def saved_tensor() -> bytes:
    file = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, file)
    return file.getvalue()


def metrics() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"epoch": pa.array([0], pa.int32()), "train_loss": [0.5]}), file)
    return file.getvalue()


TASK = {
    "id": 7,
    "data": {"image": "/data/local-files/?d=ant/000.png", "path": "ant/000.png"},
    "annotations": [
        {
            "was_cancelled": False,
            "result": [{"from_name": "label", "value": {"choices": ["bee"]}, "type": "choices"}],
        }
    ],
    "predictions": [],
}
XML = (
    b'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><image id="0" name="ant/000.png" '
    b'width="8" height="8"><tag label="bee" source="manual"><attribute name="action">drop</attribute></tag></image>'
    b"</annotations>"
)
JOURNAL = {
    "labelaudit": "journal",
    "version": 1,
    "state": "moving",
    "corrections": "c.csv",
    "corrections_sha256": "0" * 64,
    "began": "2026-01-01",
    "folders": ["bee"],
    "moves": [["ant/1.png", "bee/1.png"]],
}
Contents = Callable[[bytes], st.SearchStrategy[bytes]]
CASES: dict[str, tuple[bytes | None, Contents, Callable[[Path], None]]] = {
    "labels.csv": (b"path,label", csv_files, lambda file: read_all(lambda: read_labels_csv(file))),
    "w.csv": (
        b"path,weight,sha256",
        csv_files,
        lambda file: read_all(lambda: read_weights(file, read_catalogue(RunFolder(file.parent)))),
    ),
    "baseline.csv": (b"sha256,given_label", csv_files, lambda file: read_all(lambda: read_baseline(file))),
    "corrections.csv": (b"path,action,label", csv_files, read_corrections),
    "tasks.json": (as_json([TASK]), documents, read_corrections),
    "other.json": (b"", lambda _: values.map(lambda value: as_json([value])), read_corrections),
    "annotations.xml": (
        XML,
        lambda xml: damaged(xml) | damaged(zipped(xml)) | damaged(xml).map(zipped),
        read_corrections,
    ),
    ".labelaudit-relabel-1.json": (
        as_json(JOURNAL),
        documents,
        lambda file: read_all(lambda: last_journal(file.parent)),
    ),
    "run.json": (None, documents, read_everything),
    "noise.json": (None, documents, read_everything),
    "suspicious.csv": (None, damaged, read_everything),
    "losses/epoch-0001.parquet": (None, tables, read_tables),
    "samples.parquet": (None, tables, read_tables),
    "scores.parquet": (None, tables, read_tables),
    "../half/checkpoint.pt": (None, damaged, read_half_trained),
    "probe.safetensors": (
        None,
        damaged,
        lambda file: read_all(lambda: read_network(file), lambda: read_weights_file(file)),
    ),
    "weights.pt": (saved_tensor(), damaged, lambda file: read_all(lambda: read_weights_file(file))),
    "metrics.parquet": (metrics(), damaged, read_metrics_or_refuse),
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
    {},
    [1, 2],
    torch.zeros(2),
    {**WHOLE, "member": "x"},
    {**WHOLE, "member": 2**70},
    {**WHOLE, "member": torch.zeros(3)},
    {**WHOLE, "epochs": -4, "finished_epochs": -2},
    {**WHOLE, "finished_epochs": float("nan")},
    {**WHOLE, "finished_epochs": float("inf")},
    {**WHOLE, "networks": 1, "optimizers": []},
    {**WHOLE, "networks": [{"a": 1}], "optimizers": [{}]},
    {**WHOLE, "networks": [{}, {}], "optimizers": [{}]},
)


def test_checkpoints_of_other_content_are_one_line(audit: Path) -> None:
    file = audit.parent / "half/checkpoint.pt"
    for state in STATES:
        saved = io.BytesIO()
        torch.save(state, saved)
        with replaced(file, saved.getvalue()):
            assert str(file.parent) in run("score", file.parent).error
