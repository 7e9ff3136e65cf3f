"""How the epochs of a run folder are counted."""

from pathlib import Path

import pytest

from labelaudit.auditing.model import pilot_course, recorded_course
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


@pytest.mark.parametrize(("kind", "lateness"), [("train", LATENESS), ("frozen", 0)])
def test_late_epochs_count_more_where_a_network_is_trained(tmp_path: Path, kind: str, lateness: int) -> None:
    run = run_of(tmp_path, kind=kind)
    assert recorded_course(run) == Course(epochs=5, members=3, lateness=lateness)
    assert pilot_course(run) == Course(epochs=2, members=1, lateness=lateness)


def test_an_unfinished_training_has_no_course_yet(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"not trained to the end \(0 of 15 epochs\)"):
        recorded_course(run_of(tmp_path, TRAINING))
