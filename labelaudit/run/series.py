"""The runs of one data folder by number: ``labelaudit-runs/photos/1``, ``/2`` and so on; the largest is the newest."""

from __future__ import annotations

from pathlib import Path

from labelaudit.run.layout import RunFolder


def runs_in(home: Path) -> list[RunFolder]:
    """Return the runs in a folder that were begun, the oldest first; none where there is no such folder."""
    numbers = sorted(int(path.name) for path in home.glob("[1-9]*") if path.name.isdecimal() and path.name.isascii())
    return [run for run in (RunFolder(home / str(number)) for number in numbers) if run.exists]


def newest(path: Path, *, judged: bool = True) -> RunFolder:
    """Return the run that a path means: with ``judged`` the newest with verdicts, if there is one; else the newest.

    A folder without runs is returned as it is: it is a run, or reading it says what is wrong.
    """
    runs = runs_in(path)
    with_verdicts = [run for run in runs if run.noise.exists()] if judged else []
    return (with_verdicts or runs or [RunFolder(path)])[-1]


def next_run(home: Path) -> RunFolder:
    """Return the run of the first number above those in use."""
    return RunFolder(home / str(max((int(run.root.name) for run in runs_in(home)), default=0) + 1))


def judged_before(run: RunFolder) -> RunFolder | None:
    """Return the last of the earlier runs that has verdicts, if there is one."""
    judged = [each for each in earlier_runs(run) if each.noise.exists()]
    return judged[-1] if judged else None


def earlier_runs(run: RunFolder) -> list[RunFolder]:
    """Return the runs of the same data folder that were begun before this one; none for a run without a number."""
    if not run.root.name.isdecimal():
        return []
    return [each for each in runs_in(run.root.parent) if int(each.root.name) < int(run.root.name)]
