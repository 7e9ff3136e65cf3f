"""Every reader, fed with what somebody has damaged or made up: a LabelauditError or an answer, and nothing else.

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
from labelaudit.audit.model import is_trained, read_catalogue, recorded_data
from labelaudit.audit.options import settings_from_json
from labelaudit.audit.probe import read_state
from labelaudit.audit.results import open_run
from labelaudit.data.labels_file import read_labels_csv
from labelaudit.engine.weights import read_weights_file
from labelaudit.errors import LabelauditError
from labelaudit.report.content import read_report
from labelaudit.report.exports.export import export
from labelaudit.report.formats import FORMATS
from labelaudit.report.gate import Limits
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
    """A finished audit; tests damage one file in it and put it back."""
    place = tmp_path_factory.mktemp("fuzz")
    root = write_images(place / "pictures", each=6, wrong=1)
    succeed("score", root, "--run", place / "plain", *QUICK)
    with interrupted("labelaudit.audit.probe.write_epoch", call=3):
        assert run("score", root, "--run", place / "half", *QUICK).code == 130
    return place / "plain"


def only_our_errors(read: Callable[[], object]) -> None:
    with contextlib.suppress(LabelauditError):
        read()


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
        while True:
            keys: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
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


csv_cells = st.sampled_from(
    ("path", "label", "action", "weight", "sha256", "given_label", "change", "drop", "ant/000.png", "1.5", "-1", "nan")
) | st.text(max_size=6)


@st.composite
def csv_files(draw: st.DrawFn, *header: str) -> bytes:
    rows = [draw(st.sampled_from((list(header), draw(st.lists(csv_cells, max_size=5)))))]
    rows += draw(st.lists(st.lists(csv_cells, max_size=5), max_size=6))
    text = draw(st.sampled_from(("\n", "\r\n", "\r"))).join(",".join(row) for row in rows)
    return text.encode(draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "latin-1"))), "replace")


@fuzz
@given(content=csv_files("path", "label") | st.binary(max_size=200))
def test_a_labels_csv(audit: Path, content: bytes) -> None:
    with replaced(audit / "labels.csv", content):
        only_our_errors(lambda: read_labels_csv(audit / "labels.csv"))


@fuzz
@given(content=csv_files("path", "weight", "sha256") | st.binary(max_size=200))
def test_a_weights_csv(audit: Path, content: bytes) -> None:
    catalogue = read_catalogue(RunFolder(audit))
    with replaced(audit / "w.csv", content):
        only_our_errors(lambda: read_weights(audit / "w.csv", catalogue))


@fuzz
@given(content=csv_files("sha256", "given_label") | st.binary(max_size=200))
def test_a_baseline(audit: Path, content: bytes) -> None:
    with replaced(audit / "baseline.csv", content):
        only_our_errors(lambda: read_baseline(audit / "baseline.csv"))


@fuzz
@given(content=csv_files("path", "action", "label") | st.binary(max_size=200))
def test_a_corrections_csv(audit: Path, content: bytes) -> None:
    with replaced(audit / "corrections.csv", content):
        only_our_errors(lambda: read_review(audit / "corrections.csv"))


TASKS = [
    {
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
]


@fuzz
@given(data=st.data())
def test_corrections_of_label_studio(audit: Path, data: st.DataObject) -> None:
    content = data.draw(tampered(TASKS).map(as_json) | damaged(as_json(TASKS)) | values.map(lambda v: as_json([v])))
    with replaced(audit / "tasks.json", content):
        only_our_errors(lambda: read_review(audit / "tasks.json"))


XML = (
    b'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><image id="0" name="ant/000.png" '
    b'width="8" height="8"><tag label="bee" source="manual"><attribute name="action">drop</attribute></tag></image>'
    b"</annotations>"
)


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", content)
    return file.getvalue()


@fuzz
@given(data=st.data())
def test_corrections_of_cvat(audit: Path, data: st.DataObject) -> None:
    content = data.draw(damaged(XML) | damaged(zipped(XML)) | damaged(XML).map(zipped))
    with replaced(audit / "annotations.xml", content):
        only_our_errors(lambda: read_review(audit / "annotations.xml", accept_suggestions=data.draw(st.booleans())))


def everything(folder: Path) -> None:
    """All that reads a run folder, each for itself."""
    run = RunFolder(folder)
    only_our_errors(lambda: is_trained(run))
    only_our_errors(lambda: recorded_data(run))
    only_our_errors(lambda: settings_from_json(run.read_description().get("settings"), "run.json"))
    only_our_errors(lambda: repr(open_run(folder)))
    only_our_errors(lambda: open_run(folder)._repr_html_())
    for name in ("noise", "confusion", "warnings", "noise_rate", "suspicious"):
        only_our_errors(lambda name=name: getattr(open_run(folder), name))
    limits = Limits(max_noise=0.1, max_class_noise=0.1, max_suspicious=1, fail_on_warning=True)
    for write in FORMATS.values():
        only_our_errors(lambda write=write: write(read_report(run, limits, top=5, most=100)))
    only_our_errors(lambda: _shown(run, limits))
    only_our_errors(lambda: write_page(run, folder / "page.html"))
    for to in ("cleanlab", "cvat"):
        only_our_errors(lambda to=to: export(run, to))


def _shown(run: RunFolder, limits: Limits) -> None:
    from rich.console import Console

    from labelaudit.report.console import show_checks, show_estimators, show_summary, show_suspicious

    console = Console(file=io.StringIO())
    report = read_report(run, limits, top=5, most=5)
    show_summary(console, report.noise)
    show_estimators(console, report.noise)
    show_suspicious(console, report.shown)
    show_checks(console, report)


@settings(fuzz, max_examples=max(EXAMPLES // 2, 1))
@given(data=st.data())
def test_a_run_json(audit: Path, data: st.DataObject) -> None:
    whole = json.loads((audit / "run.json").read_text())
    content = data.draw(tampered(whole).map(as_json) | damaged(as_json(whole)))
    with replaced(audit / "run.json", content):
        everything(audit)
        only_our_errors(lambda: fit(RunFolder(audit)))


@settings(fuzz, max_examples=max(EXAMPLES // 2, 1))
@given(data=st.data())
def test_a_noise_json(audit: Path, data: st.DataObject) -> None:
    whole = json.loads((audit / "noise.json").read_text())
    content = data.draw(tampered(whole).map(as_json) | damaged(as_json(whole)))
    with replaced(audit / "noise.json", content):
        everything(audit)


@fuzz
@given(data=st.data())
def test_a_list_of_suspicious_labels(audit: Path, data: st.DataObject) -> None:
    with replaced(audit / "suspicious.csv", data.draw(damaged((audit / "suspicious.csv").read_bytes()))):
        run = RunFolder(audit)
        only_our_errors(lambda: open_run(audit))
        only_our_errors(lambda: [write(read_report(run, Limits(), top=5, most=9)) for write in FORMATS.values()])
        only_our_errors(lambda: write_page(run, audit / "page.html"))


TABLES = ("losses/epoch-0001.parquet", "samples.parquet", "scores.parquet")


@pytest.mark.parametrize("name", TABLES)
@fuzz
@given(data=st.data())
def test_a_damaged_table(audit: Path, name: str, data: st.DataObject) -> None:
    with replaced(audit / name, data.draw(damaged((audit / name).read_bytes()))):
        read_tables(audit)


def read_tables(folder: Path) -> None:
    only_our_errors(lambda: read_catalogue(RunFolder(folder)))
    only_our_errors(lambda: fit(RunFolder(folder)))
    only_our_errors(lambda: open_run(folder))
    only_our_errors(lambda: write_page(RunFolder(folder), folder / "page.html"))


@st.composite
def other_columns(draw: st.DrawFn, table: pa.Table) -> pa.Table:
    """The same table with one column of other values, of another type, without values, or none at all."""
    place = draw(st.integers(0, table.num_columns - 1))
    name, rows = table.column_names[place], len(table)
    whole = {
        "drop": lambda: table.remove_column(place),
        "rename": lambda: table.rename_columns([f"x{old}" if old == name else old for old in table.column_names]),
        "null": lambda: table.set_column(place, name, pa.nulls(rows, table.schema.field(place).type)),
        "double": lambda: pa.concat_tables([table, table]),
        "fewer": lambda: table.slice(rows // 2),
        "none": lambda: table.slice(0, 0),
        "shuffled": lambda: table.take(pa.array(np.random.default_rng(0).permutation(rows))),
    }
    change = draw(st.sampled_from((*whole, "other")))
    if change != "other":
        return whole[change]()
    column = draw(
        st.sampled_from(
            (
                pa.array([2**31 - 1] * rows, pa.int32()),
                pa.array([-1] * rows, pa.int32()),
                pa.array([float("nan")] * rows),
                pa.array([float("inf")] * rows, pa.float32()),
                pa.array(["../../../etc/passwd"] * rows),
                pa.array([b"\xff"] * rows),
                pa.array([True] * rows),
                pa.array([[1]] * rows),
            )
        )
    )
    return table.set_column(place, name, column)


@pytest.mark.parametrize("name", TABLES)
@fuzz
@given(data=st.data())
def test_a_table_of_other_values(audit: Path, name: str, data: st.DataObject) -> None:
    file = io.BytesIO()
    pq.write_table(data.draw(other_columns(pq.read_table(audit / name))), file)
    with replaced(audit / name, file.getvalue()):
        read_tables(audit)


@fuzz
@given(data=st.data())
def test_a_checkpoint(audit: Path, data: st.DataObject) -> None:
    half = audit.parent / "half"
    content = (half / "checkpoint.pt").read_bytes()
    kept = shutil.copytree(half / "losses", half.parent / "kept", dirs_exist_ok=True)
    with replaced(half / "checkpoint.pt", data.draw(damaged(content))):
        only_our_errors(lambda: read_checkpoint(half / "checkpoint.pt"))
        only_our_errors(lambda: read_state(RunFolder(half)))
    shutil.copytree(kept, half / "losses", dirs_exist_ok=True)


STATES: tuple[object, ...] = (
    {},
    {"member": "x", "epochs": 4, "finished_epochs": 2},
    {"member": 2**70, "epochs": 4, "finished_epochs": 2},
    {"member": 0, "epochs": -4, "finished_epochs": -2},
    {"member": 0, "epochs": 4, "finished_epochs": float("nan")},
    {"member": 0, "epochs": 4, "finished_epochs": float("inf")},
    {"member": torch.zeros(3), "epochs": 4, "finished_epochs": 2},
    {"member": 0, "epochs": 4, "finished_epochs": 2, "networks": 1, "optimizers": []},
    {"member": 0, "epochs": 4, "finished_epochs": 2, "networks": [{"a": 1}], "optimizers": [{}]},
    {"member": 0, "epochs": 4, "finished_epochs": 2, "networks": [{}, {}], "optimizers": [{}]},
    [1, 2],
    torch.zeros(2),
)


@pytest.mark.parametrize("number", range(len(STATES)))
def test_a_checkpoint_of_other_content(audit: Path, number: int, tmp_path: Path) -> None:
    half = Path(shutil.copytree(audit.parent / "half", tmp_path / "half"))
    torch.save(STATES[number], half / "checkpoint.pt")
    assert run("score", half).error.count(str(half)) >= 1


@fuzz
@given(data=st.data())
def test_network_weights(audit: Path, data: st.DataObject) -> None:
    for name, read in (("probe.safetensors", read_network), ("probe.safetensors", read_weights_file)):
        content = data.draw(damaged((audit / name).read_bytes()))
        with replaced(audit / name, content):
            only_our_errors(lambda name=name, read=read: read(audit / name))
    saved = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, saved)
    with replaced(audit / "weights.pt", data.draw(damaged(saved.getvalue()))):
        only_our_errors(lambda: read_weights_file(audit / "weights.pt"))


@fuzz
@given(data=st.data())
def test_a_journal_of_a_relabeling(audit: Path, data: st.DataObject) -> None:
    whole = {
        "labelaudit": "journal",
        "version": 1,
        "state": "moving",
        "corrections": "c.csv",
        "corrections_sha256": "0" * 64,
        "began": "2026-01-01",
        "folders": ["bee"],
        "moves": [["ant/1.png", "bee/1.png"]],
    }
    with replaced(
        audit / ".labelaudit-relabel-1.json", data.draw(tampered(whole).map(as_json) | damaged(as_json(whole)))
    ):
        only_our_errors(lambda: last_journal(audit))


@fuzz
@given(data=st.data())
def test_metrics_of_a_retraining(audit: Path, data: st.DataObject) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"epoch": pa.array([0], pa.int32()), "train_loss": [0.5]}), file)
    with (
        replaced(audit / "metrics.parquet", data.draw(damaged(file.getvalue()))),
        contextlib.suppress(OSError, ValueError),
    ):
        read_metrics(audit / "metrics.parquet")
