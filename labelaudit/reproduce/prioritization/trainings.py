"""One training of the measurement, from the corrupted data to its rows.

Shapes: N samples.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labelaudit.audit.corrupt import SETTINGS_FILE, TRUTH_FILE, Corruption, CorruptOptions, corrupt
from labelaudit.audit.demo import write_digits
from labelaudit.audit.model import Data
from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.plan import agree
from labelaudit.engine.settings import settings_from_json
from labelaudit.errors import RunError
from labelaudit.progress import Reporter
from labelaudit.reproduce.prioritization.records import EpochRow
from labelaudit.reproduce.prioritization.settings import CLEAN, STANDARD, Algorithm, DataSet, Scale
from labelaudit.retrain.folder import read_metrics, read_picks, read_seconds
from labelaudit.retrain.recipe import RetrainOptions, retrain
from labelaudit.run.files import link_or_copy, read_json, storage_errors
from labelaudit.run.layout import RunFolder

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Corrupted:
    """A data set of the measurement.

    Attributes:
        root: The copy to train on.
        selected_N: Samples that the corruption was done to, in the order of the paths.
        changed_N: Those that are other than before.
    """

    root: Path
    selected_N: BoolArray
    changed_N: BoolArray


def corrupted(
    data: Path, folder: Path, data_set: DataSet, seed: int, most: int | None, reporter: Reporter
) -> Corrupted:
    """The corrupted copy, which is made unless it is there.

    Raises:
        LabelauditError: see `labelaudit.audit.corrupt.corrupt`.
        RunError: it is of other data, or its truth cannot be read.
    """
    if not folder.exists():
        kinds = () if data_set.kind is None else (Corruption(kind=data_set.kind, rate=data_set.rate),)
        corrupt(data, folder, CorruptOptions(corruptions=kinds, seed=seed, most=most), reporter)
    made = read_json(folder / SETTINGS_FILE)
    if (made.get("source"), made.get("most")) != (str(data.resolve()), most):
        raise RunError(
            f"{folder} is a copy of {made.get('source')}, at most {made.get('most')} images of it",
            fix=f"give another --out, or delete {folder.parent}",
        )
    try:
        with open(folder / TRUTH_FILE, encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        selected, changed = ([row[name] == "1" for row in rows] for name in ("selected", "changed"))
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise RunError(f"{folder / TRUTH_FILE} is missing or damaged", fix=f"delete {folder}") from error
    return Corrupted(root=folder, selected_N=np.array(selected, dtype=bool), changed_N=np.array(changed, dtype=bool))


def part_of(data: Path, folder: Path, most: int | None, reporter: Reporter) -> Path:
    """At most so many of the images, of each class its share; a copy, which is made unless it is there."""
    if most is None:
        return data
    return corrupted(data, folder, CLEAN, 0, most, reporter).root


def digits(folder: Path) -> tuple[Path, Path]:
    """The embedded digits, written unless they are there: training data, and every fifth of them to test on."""
    train, test = folder / "train", folder / "test"
    if (folder / "whole").exists():
        return train, test
    with storage_errors(folder):
        written = write_digits(folder / "written", rate=0.0, seed=0)
        for number, path in enumerate(sorted(written.images.rglob("*.png"))):
            place = (train if number % 5 else test) / path.parent.name / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                link_or_copy(path, place, folder / ".half")
        (folder / "whole").touch()
    return train, test


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What all trainings have in common.

    Attributes:
        scale: Network, schedule and sizes.
        training: What the scale does not say.
        test: The pictures to test on.
    """

    scale: Scale
    training: TrainingOptions
    test: Path


def train(
    asked: Asked,
    made: Corrupted,
    data_set: DataSet,
    algorithm: Algorithm,
    seed: int,
    out: RunFolder,
    reporter: Reporter,
) -> list[EpochRow]:
    """Train, unless that is done, and give the rows of all epochs.

    Raises:
        RunError: it was trained with other settings, or is damaged.
        LabelauditError: see `labelaudit.retrain.recipe.retrain`.
    """
    training = _options(asked, algorithm, seed)
    if out.result.exists():
        try:
            agree(settings_from_json(read_json(out.result).get("settings"), str(out.result)), training, str(out.root))
        except RunError as error:
            raise RunError(error.what, fix="give another --out") from error
    else:
        wanted = RetrainOptions(
            method="standard", validation=asked.test, training=training, presets={"paper": asked.scale.preset}
        )
        retrain(Data(root=made.root), out, wanted, reporter)
    try:
        metrics = read_metrics(out.metrics)
        seconds = {row["epoch"]: row["seconds"] for row in read_seconds(out.seconds)}
        spent = np.cumsum([(row["forwards"], row["backpropagated"], seconds[row["epoch"]]) for row in metrics], axis=0)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{out.root} is damaged", fix="delete it to train from the start") from error
    rows = []
    for row, (forwards, backpropagated, wall) in zip(metrics, spent, strict=True):
        selected, changed = _shares(out, row["epoch"], made, algorithm)
        rows.append(
            EpochRow(
                data_set=data_set.name,
                algorithm=algorithm.name,
                seed=seed,
                epoch=row["epoch"] + 1,
                test_error=row["validation_error"],
                train_loss=math.nan if row["train_loss"] is None else row["train_loss"],
                forwards=int(forwards),
                backpropagated=int(backpropagated),
                seconds=float(wall),
                selected_share=selected,
                changed_share=changed,
            )
        )
    return rows


def _options(asked: Asked, algorithm: Algorithm, seed: int) -> TrainingOptions:
    """All of them, so that a finished training can be told from another one."""
    preset = asked.scale.preset
    return replace(
        asked.training,
        model=preset.model,
        epochs=preset.epochs,
        batch_size=preset.batch_size,
        lr=preset.lr,
        momentum=preset.momentum,
        weight_decay=preset.weight_decay,
        schedule=preset.schedule,
        augment=preset.augment,
        crop_pad=preset.crop_pad,
        probe="train",
        preset="paper",
        seed=seed,
        selector=algorithm.selector,
        selector_parameters=algorithm.parameters,
    )


def _shares(out: RunFolder, epoch: int, made: Corrupted, algorithm: Algorithm) -> Sequence[float]:
    """Of corrupted samples among those back-propagated: chosen ones, and changed ones."""
    if algorithm.name == STANDARD.name:
        return [float(flag_N.mean()) for flag_N in (made.selected_N, made.changed_N)]
    sample, times = read_picks(out.picks, epoch)
    if not len(sample):
        return [math.nan, math.nan]
    return [float(np.average(flag_N[sample], weights=times)) for flag_N in (made.selected_N, made.changed_N)]
