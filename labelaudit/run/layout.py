"""The run folder: the names of its files, its run.json, the lock for its one writer, and its number."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelaudit.errors import RunError, TrainingError
from labelaudit.run.files import held, read_json, storage_errors, write_json

SCHEMA_VERSION = 1


class _Place:
    """A path below the run folder, as an attribute of `RunFolder`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: RunFolder, owner: type[RunFolder]) -> Path:
        return folder.root / self.name


@dataclass(frozen=True)
class RunFolder:
    """The names of the files in a run folder. Nothing else in the package knows them."""

    root: Path

    description = _Place("run.json")  # settings, versions, device, seed, fingerprint of the data, status
    samples = _Place("samples.parquet")  # what every sample number means
    annotations = _Place("annotations.parquet")  # every annotator's labels, where there are several
    losses = _Place("losses")  # one Parquet file per epoch
    test_losses = _Place("test-losses")  # the same of held-out images, where an experiment measures them
    checkpoint = _Place("checkpoint.pt")  # the state after the last whole epoch
    probe = _Place("probe.safetensors")  # the trained probe
    pictures = _Place("pictures.parquet")  # statistics of every image, and of copies that were corrupted on purpose
    scores = _Place("scores.parquet")  # every sample's statistics and verdict
    noise = _Place("noise.json")  # the noise rate, the mixture, diagnostics and warnings
    findings = _Place("findings.parquet")  # what is wrong with which image: a row for each image and code
    findings_csv = _Place("findings.csv")  # the same
    near = _Place("near.parquet")  # pairs of images that are copies of each other
    annotators = _Place("annotators.json")  # how often each annotator is wrong, and where
    annotators_table = _Place("annotators.parquet")  # P(wrong) of every annotator's labels
    suspicious = _Place("suspicious.csv")  # the flagged samples, the most suspicious first
    unreadable = _Place("unreadable.csv")  # the samples whose image cannot be read, and why
    weights_csv = _Place("weights.csv")  # path, weight, sha256
    weights_npy = _Place("weights.npy")  # float64 weights in the order of samples.parquet
    design = _Place("sample.parquet")  # the order in which samples are reviewed for a noise rate, and their strata
    sample_csv = _Place("sample.csv")  # the first of them, to be answered in a spreadsheet
    answers = _Place("answers.csv")  # what a person answered about them, line by line
    decisions = _Place("decisions.csv")  # what a person decided about suspicious labels, line by line
    page = _Place("report.html")  # the findings to look at and to review
    # The folder of a retraining has, beside run.json and checkpoint.pt:
    metrics = _Place("metrics.parquet")  # one row per epoch
    seconds = _Place("seconds.parquet")  # the wall time of each epoch
    picks = _Place("picks")  # what a selector back-propagated, one Parquet file per epoch
    model = _Place("model.safetensors")  # the network
    result = _Place("result.json")  # the last figures
    verified = _Place("verified.pt")  # which labels a cross-validation believes so far

    @property
    def heads(self) -> RunFolder:
        """``heads/``: losses and checkpoint of the heads that are trained beside a network."""
        return RunFolder(self.root / "heads")

    def retraining(self, method: str, seed: int) -> RunFolder:
        """Return ``retrain/<method>-seed<seed>/``."""
        return RunFolder(self.root / "retrain" / f"{method}-seed{seed}")

    def exports(self, to: str) -> Path:
        """Return ``exports/<format>/``: the audit in another tool's format."""
        return self.root / "exports" / to

    @property
    def exists(self) -> bool:
        """True when an audit or a retraining was begun here."""
        return self.description.is_file()

    def read_description(self) -> dict[str, Any]:
        """Return the content of run.json.

        Raises a RunError if there is none, or it is damaged or of another schema.
        """
        if not self.exists:
            raise RunError(f"{self.root} is not a run folder (it has no run.json)", fix="give the folder of an audit")
        value = read_json(self.description)
        if value.get("schema_version") != SCHEMA_VERSION:
            what = f"{self.root} has schema {value.get('schema_version')!r}, this version reads {SCHEMA_VERSION}"
            raise RunError(what, fix="use the labelaudit that wrote it, or audit into a new folder")
        return value

    def write_description(self, value: Mapping[str, object]) -> None:
        """Write run.json."""
        write_json(self.description, {"schema_version": SCHEMA_VERSION, **value})

    def update_description(self, **changes: object) -> None:
        """Replace some entries of run.json."""
        self.write_description({**self.read_description(), **changes})

    @contextlib.contextmanager
    def noting_divergence(self, *, is_main: bool = True) -> Iterator[None]:
        """Record in run.json that the training in the body diverged, so that none resumes from it."""
        try:
            yield
        except TrainingError:
            if is_main:
                self.update_description(diverged=True)
            raise

    def require_own_folders(self) -> None:
        """Raise a RunError for a symbolic link in place of a folder that is written into: it may lead anywhere.

        Links in place of files do no harm: a file that is written replaces them.
        """
        parents = (self.root / "exports", self.root / "retrain")
        inner = [path for parent in parents if parent.is_dir() for path in sorted(parent.iterdir())]
        losses = self.losses, self.test_losses, self.heads.losses
        for path in (self.root / ".lock", self.heads.root, *losses, *parents, *inner):
            if path.is_symlink():
                fix = "delete the link, or audit into a new folder"
                raise RunError(f"{path} is a symbolic link, and files would be written elsewhere", fix=fix)

    @contextlib.contextmanager
    def writing(self, option: str = "") -> Iterator[None]:
        """Make the folder and lock it for one writer; ``option`` is the one that names another folder, if any.

        Another writer or links in it (`require_own_folders`) are a RunError; if it cannot be made, a StorageError.
        """
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self.require_own_folders()
        fix = f"wait for it, or give another {option}" if option else "wait for it"
        with held(self.root / ".lock", self.root, fix=fix):
            yield


# The runs of one data folder by number: labelaudit-runs/photos/1, /2 and so on; the largest is the newest.


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
