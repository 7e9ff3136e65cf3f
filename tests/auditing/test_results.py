import re
import subprocess
import sys
from unittest import mock

import pytest

import labelaudit
from labelaudit.auditing.model import read_courses
from labelaudit.detect.curves import Course
from labelaudit.errors import RunError
from labelaudit.run.documents import TRAINED, TRAINING
from labelaudit.run.files import read_json, write_json
from tests.cli.helpers import edit
from tests.report.exports.helpers import hostile_folder, made_up_audit

QUICK = {"epochs": 2, "batch_size": 4, "image_size": 8, "precision": "float32"}
WARNING = "The <b>two</b> groups overlap."


@pytest.fixture
def opened(tmp_path):
    """Makes up an audit of images with these file names in every class, and opens it."""

    def make(*files, classes=("ant", "bee")):
        data = hostile_folder(tmp_path / "data", classes=classes, files=files)
        return labelaudit.open_run(made_up_audit(data, tmp_path / "audit").root)

    return make


@pytest.fixture
def small(opened):
    """Twelve images, of which two ants and a bee are suspicious; with a warning."""
    audit = opened(*(f"{number}.png" for number in range(6)))
    edit(audit.run.noise, warnings=[WARNING])
    return labelaudit.open_run(audit.run.root)


def test_the_tables_are_typed_and_ranked(small):
    rows = small.suspicious.to_pylist()
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert {row["path"] for row in rows} == {"ant/0.png", "ant/5.png", "bee/4.png"}
    assert rows[0]["aul"] > rows[1]["aul"] > rows[2]["aul"]
    assert all(len(row["sha256"]) == 64 for row in rows)
    assert str(small.suspicious.schema.field("p_mislabeled").type) == "double"
    assert small.suspicious.column_names == ["rank", *small.scores.column_names, "sha256"]
    assert small.noise.column_names == ["class", "samples", "noise_rate", "suspicious"]
    assert small.confusion.to_pylist()[0] == {"given": "ant", "suggested": "bee", "count": 2}
    assert small.top(99).num_rows == 12


def test_an_audit_without_findings_has_empty_tables(small):
    changes = {"noise_rate": None, "suspicious": 0, "flag_above": 1.0, "confusion": [], "warnings": []}
    write_json(small.run.noise, read_json(small.run.noise) | changes)
    empty = labelaudit.open_run(small.run.root)
    assert empty.suspicious.num_rows == empty.confusion.num_rows == 0
    assert empty.suspicious.schema == small.suspicious.schema
    assert empty.noise_rate is None
    assert "0 of 12 labels are suspicious; estimated noise rate unknown" in repr(empty)


def test_a_run_is_opened_without_torch_and_images(small):
    for image in small.catalogue.root.rglob("*.png"):
        image.unlink()
    code = f"""
import sys, labelaudit
from labelaudit.cli.main import app
audit = labelaudit.open_run({str(small.run.root)!r})
repr(audit), audit.suspicious, audit.noise, audit.confusion
labelaudit.export(audit.run, "label-studio")
app(["score", str(audit.run.root), "-o", "-", "--quiet"], standalone_mode=False)
app(["report", str(audit.run.root), "--quiet"], standalone_mode=False)
print([name for name in ("torch", "torchvision", "timm", "pandas") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(small.run.suspicious.read_text())
    assert done.stdout.endswith("\n[]\n")


def test_what_goes_wrong_says_what_to_do(small, tmp_path):
    root = small.run.root
    for call, message in (
        (lambda: labelaudit.audit(root), f"read it with labelaudit.open_run({str(root)!r})"),
        (lambda: labelaudit.audit(tmp_path, epoch=3), "unknown option 'epoch'; did you mean epochs?"),
        (lambda: labelaudit.open_run(tmp_path), "not a run folder (it has no run.json); give the folder of"),
    ):
        with pytest.raises(labelaudit.LabelauditError, match=re.escape(message)):
            call()


def test_the_prompt_shows_figures_and_the_first_labels(small):
    text = repr(small)
    lines = text.splitlines()
    assert re.match(r"3 of 12 labels are suspicious; estimated noise rate 25\.\d% \(\d+\.\d% to \d+\.\d%\)", lines[0])
    assert re.search(r"^ *1 +(ant/[05].png +ant → bee|bee/4.png +bee → ant) ", text, re.MULTILINE)
    assert f"Warning: {WARNING}" in lines
    assert lines[-1] == f"Run folder: {small.run.root}"
    assert max(map(len, lines[:-1])) <= 100


def test_the_prompt_cuts_many_findings_names_unreadable_images_and_shows_no_control_characters(opened):
    audit = opened(*(f"{number}.png" for number in range(40)), classes=("ant", "\u202eevil"))
    edit(audit.run.noise, unreadable=1)
    shown = repr(labelaudit.open_run(audit.run.root))
    assert audit.flagged > 5
    assert len([line for line in shown.splitlines() if ".png" in line]) == 5
    assert "cannot be read" in shown
    assert "\u202e" not in shown


def test_in_a_notebook_nothing_is_displayed_beside_the_audit(small, monkeypatch):
    plain, display = repr(small), mock.Mock()
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", display)
    assert repr(small) == plain
    assert not display.called


def trained(root, status=TRAINED, **settings):
    data = {"root": "photos", "fingerprint": "0", "classes": ["ant", "bee"], "samples": 4}
    settings = {"epochs": 5, "members": 3, "kind": "train", **settings}
    run = labelaudit.RunFolder(root)
    run.write_description({"status": status, "data": data, "settings": settings})
    return run


@pytest.mark.parametrize(("folds", "held_out"), [(1, False), (5, True)])
def test_several_heads_record_what_they_were_not_trained_on(tmp_path, folds, held_out):
    run = trained(tmp_path, folds=folds)
    assert read_courses(run) == (Course(epochs=5, members=3, held_out=held_out), None)
    with pytest.raises(RunError, match=r"not trained to the end \(0 of 15 epochs\)"):
        read_courses(trained(tmp_path, TRAINING))
