"""A few random kills of every command; `tests.reliability.kill` has the many."""

import shutil
from pathlib import Path

import pytest

from tests.reliability.jobs import JOBS, Job, outcome_of
from tests.reliability.kill import kill_often

_LATER = {"fit", "report", "relabel --undo"}
"""Left to the long run: their writes are those of the others."""


@pytest.mark.parametrize(
    "job", [pytest.param(job, id=job.name, marks=[pytest.mark.long] * (job.name in _LATER)) for job in JOBS]
)
def test_a_command_that_is_killed_and_run_again_leaves_what_the_undisturbed_one_leaves(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tally = kill_often([job], tmp_path / "work", kills=1, cold=0.0, seed=0)[job.name]
    assert tally.kills >= 1
    assert tally.rounds >= 1


def test_the_comparison_sees_a_byte_that_differs_and_what_is_left_over(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/weights.csv").write_text("1")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert outcome_of(tmp_path / "a") == outcome_of(tmp_path / "b")
    (tmp_path / "b/weights.csv").write_text("2")
    assert outcome_of(tmp_path / "a") != outcome_of(tmp_path / "b")
    (tmp_path / "b/.weights.csv.partial").touch()
    with pytest.raises(AssertionError, match="left over"):
        outcome_of(tmp_path / "b")
