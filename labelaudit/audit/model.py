"""What the run folder of an audit says of itself: its data, its epochs, and whether its probe is trained.

A fit needs no more than this of a training: neither this module nor what it imports loads torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from labelaudit.audit.advise import PriorityWatch
from labelaudit.data.catalogue import Catalogue, LeftOut
from labelaudit.data.folder import scan
from labelaudit.data.rendering import PLAIN, Rendering
from labelaudit.detect.constants import LATENESS
from labelaudit.detect.curves import Course, CurveAccumulator
from labelaudit.errors import RunError
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import read_epochs, recorded_epochs
from labelaudit.run.shape import Shape, count, either, list_of, misfits, nothing, one_of, record, text
from labelaudit.run.tables import read_samples

TRAINED = "trained"
TRAINING = "training"
_RUNS = "labelaudit-runs"


def _path(value: object) -> bool:
    return text(value) and "\0" not in str(value)


def _rendering(value: object) -> bool:
    try:
        Rendering.from_json(value)
    except (KeyError, TypeError, ValueError):
        return False
    return True


LEFT_OUT = record(reason=text, suffix=text, files=count, example=text)
_LEFT_OUT_NAMES = ("reason", "suffix", "files", "example")

_AUDIT: dict[str, Shape] = {
    "status": one_of((TRAINED, TRAINING)),
    "data": record(
        root=_path,
        fingerprint=text,
        classes=list_of(text),
        samples=count,
        maybe_labels_file=either(nothing, _path),
        maybe_rendering=_rendering,
        maybe_split=list_of(text),
        maybe_left_out=list_of(LEFT_OUT),
        maybe_remarks=list_of(text),
    ),
    "settings": lambda value: isinstance(value, dict),
}


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which images.

    Attributes:
        root: The folder.
        labels_file: CSV with the labels, where the folder has no class folders.
        split: Folders below ``root`` that hold the class folders; empty: ``root`` holds them.
    """

    root: Path
    labels_file: Path | None = None
    split: tuple[str, ...] = ()

    def scan(self, reporter: Reporter = QUIET) -> Catalogue:
        """What is in it; see `labelaudit.data.folder.scan`."""
        return scan(self.root, labels_file=self.labels_file, split=self.split, reporter=reporter)


def default_run(root: Path) -> Path:
    """Where an audit of ``root`` goes when nothing else is said: below the current folder, or beside ``root`` in it."""
    data, here = root.resolve(), Path.cwd()
    runs = data.parent / _RUNS if data in (here, *here.parents) else Path(_RUNS)
    return runs / (data.name or "root")


def is_trained(run: RunFolder) -> bool:
    """True when the run's probe is trained to the end."""
    return bool(read_audit(run)["status"] == TRAINED)


def is_bound(run: RunFolder) -> bool:
    """True when the settings of a run hold: an epoch is recorded, and the training has not diverged."""
    return not read_audit(run).get("diverged") and (
        is_trained(run) or run.checkpoint.exists() or bool(recorded_epochs(run.pilot.losses))
    )


def recorded_data(run: RunFolder) -> Data:
    """The data that a run was begun on."""
    data = read_audit(run)["data"]
    labels_file = data.get("labels_file")
    return Data(
        root=Path(data["root"]),
        labels_file=Path(labels_file) if labels_file else None,
        split=tuple(data.get("split", ())),
    )


def recorded_course(run: RunFolder) -> Course:
    """How the epochs that a run recorded follow each other.

    Raises:
        RunError: there is no run, or its probe is not trained to the end.
    """
    description = read_audit(run)
    settings = description["settings"]
    course = Course(
        epochs=_count(run, settings, "epochs"), members=_count(run, settings, "members"), lateness=_lateness(settings)
    )
    if description["status"] != TRAINED:
        raise RunError(
            f"the probe in {run.root} is not trained to the end "
            f"({len(recorded_epochs(run.losses))} of {course.recorded} epochs)",
            fix="run labelaudit train-probe or score on the same data again: it goes on where it stopped",
        )
    return course


def pilot_course(run: RunFolder) -> Course:
    """The same of the pilot of a run with controls.

    Raises:
        RunError: there is no run, or it is of another version.
    """
    settings = read_audit(run)["settings"]
    return Course(epochs=_count(run, settings, "pilot_epochs"), lateness=_lateness(settings))


def _lateness(settings: dict[str, Any]) -> int:
    return 0 if settings.get("kind") == "frozen" else LATENESS


def _count(run: RunFolder, settings: dict[str, Any], name: str) -> int:
    value = settings.get(name)
    if not isinstance(value, int) or not count(value):
        raise RunError(f"{run.description} has settings that this version does not read", fix="audit into a new folder")
    return value


def read_audit(run: RunFolder) -> dict[str, Any]:
    """The content of the run.json of an audit.

    Raises:
        RunError: there is none, or it lacks something that every audit writes there.
    """
    description = run.read_description()
    if misfits(description, _AUDIT):
        raise RunError(
            f"{run.description} is not of an audit, or damaged",
            fix=f"give the --run of an audit, or delete {run.root} and audit again",
        )
    return description


def read_curves(
    run: RunFolder,
    course: Course,
    label_N: npt.NDArray[np.int32],
    classes: int,
    *,
    counted_N: npt.NDArray[np.bool_] | None = None,
    watch: PriorityWatch | None = None,
    reporter: Reporter = QUIET,
) -> CurveAccumulator:
    """The recorded losses of a run, epoch by epoch, in memory that does not grow with their number.

    Args:
        run: Where they lie.
        course: Which epochs there have to be.
        label_N: See `labelaudit.detect.curves.CurveAccumulator`.
        classes: Likewise.
        counted_N: Likewise.
        watch: Shown every epoch too.
        reporter: Told about the progress.

    Raises:
        RunError: they are damaged, or not all there.
    """
    fix = f"delete {run.root} and audit again"
    if len(recorded_epochs(run.losses)) != course.recorded:
        raise RunError(f"{run.losses} does not hold {course.recorded} epochs", fix=fix)
    curves = CurveAccumulator(label_N, classes, counted_N=counted_N, course=course)
    with reporter.bar("Reading losses", course.recorded, "epochs") as advance:
        for epoch in read_epochs(run.losses):
            if len(epoch.alternative_R) and not 0 <= epoch.alternative_R.min() <= epoch.alternative_R.max() < classes:
                raise RunError(f"{run.losses} has classes that there are not in epoch {epoch.epoch}", fix=fix)
            if not (np.isfinite(epoch.loss_R).all() and np.isfinite(epoch.margin_R).all()):
                raise RunError(f"{run.losses} has losses that are no numbers in epoch {epoch.epoch}", fix=fix)
            try:
                curves.add(epoch.sample_R, epoch.loss_R, epoch.margin_R, epoch.alternative_R)
                if watch is not None:
                    watch.add(epoch.sample_R, epoch.loss_R, epoch.margin_R)
            except ValueError as error:
                raise RunError(f"{run.losses} is damaged in epoch {epoch.epoch}: {error}", fix=fix) from error
            advance(1)
    return curves


def read_catalogue(run: RunFolder) -> Catalogue:
    """The samples of a run.

    Raises:
        RunError: samples.parquet is missing, damaged, or not the one that run.json describes.
    """
    data = read_audit(run)["data"]
    catalogue = read_samples(run.samples, root=Path(data["root"]), classes=data["classes"])
    if catalogue.fingerprint != data["fingerprint"]:
        raise RunError(f"{run.samples} and {run.description} are of different data", fix="audit into a new folder")
    return replace(
        catalogue,
        rendering=Rendering.from_json(data["rendering"]) if "rendering" in data else PLAIN,
        left_out=tuple(
            LeftOut(**{name: entry[name] for name in _LEFT_OUT_NAMES}) for entry in data.get("left_out", ())
        ),
        remarks=tuple(data.get("remarks", ())),
        split=tuple(data.get("split", ())),
    )
