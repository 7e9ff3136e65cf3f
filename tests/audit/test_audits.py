"""How the epochs of a run folder are counted."""

from pathlib import Path

import pytest

from labelaudit.audit.model import pilot_course, recorded_course
from labelaudit.detect.constants import LATENESS
from labelaudit.detect.curves import Course
from labelaudit.errors import RunError
from labelaudit.run.documents import TRAINED, TRAINING
from labelaudit.run.layout import RunFolder


def run_of(root: Path, status: str = TRAINED, **settings: object) -> RunFolder:
    run = RunFolder(root)
    run.write_description(
        {
            "status": status,
            "data": {"root": "photos", "fingerprint": "0", "classes": ["ant", "bee"], "samples": 4},
            "settings": {"epochs": 5, "members": 3, "pilot_epochs": 2, "kind": "train", **settings},
        }
    )
    return run


def test_a_network_is_trained_member_by_member_and_its_late_epochs_count_more(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    assert recorded_course(run) == Course(epochs=5, members=3, lateness=LATENESS)
    assert pilot_course(run) == Course(epochs=2, members=1, lateness=LATENESS)


def test_the_epochs_of_a_head_count_alike(tmp_path: Path) -> None:
    run = run_of(tmp_path, kind="frozen")
    assert recorded_course(run).lateness == 0
    assert pilot_course(run).lateness == 0


def test_an_unfinished_training_has_no_course_yet(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"not trained to the end \(0 of 15 epochs\)"):
        recorded_course(run_of(tmp_path, TRAINING))
