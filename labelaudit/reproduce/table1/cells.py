"""One training of one method, and what is kept of it."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from labelaudit.audit.options import TrainingOptions
from labelaudit.engine.devices import choose_device
from labelaudit.errors import RunError, TrainingError
from labelaudit.methods.table import find_method
from labelaudit.progress import Reporter
from labelaudit.reproduce.table1.data import NoisyData
from labelaudit.reproduce.table1.records import DIVERGED, TRAINED, Run, as_plain, from_plain
from labelaudit.retrain.recipe import RetrainOptions, read_metrics, retrain
from labelaudit.run.files import read_json, write_json
from labelaudit.run.layout import RunFolder

_BOTH_NETWORKS = ("dividemix",)
"""Published with the mean belief of both networks as its prediction; the others with that of one."""


class Stopwatch:
    """How long the parts of a training take, without measuring the error.

    On the CPU, the time that the processor worked for this process: others on the machine do not count. Elsewhere, the
    time that passed.
    """

    def __init__(self, device: str) -> None:
        on_cpu = choose_device(device).type == "cpu"
        self._now = time.process_time if on_cpu else time.perf_counter
        self._last = self._now()
        self._before = 0.0
        self._epochs: list[float] = []

    def __call__(self, where: str) -> None:
        """Take note; see `labelaudit.retrain.recipe.Mark`."""
        now = self._now()
        if where == "begun":
            self._before = now - self._last
        if where == "trained":
            self._epochs.append(now - self._last)
        self._last = now

    @property
    def epoch_seconds(self) -> float:
        """Mean of the epochs that were trained here; NaN when none was."""
        return sum(self._epochs) / len(self._epochs) if self._epochs else math.nan

    def seconds(self, epochs: int) -> float:
        """Of what comes before the first epoch, and so many epochs."""
        return self._before + epochs * self.epoch_seconds


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be trained.

    Attributes:
        noise: Name of the column.
        seed: Of everything.
        method: Which.
        parameters: The method's own.
        training: Network and budget.
        noisy: The data.
        test: Folder of the test images.
        audit: Whose weights and noise rate the method gets where it needs them.
        measure_every: The test error, after so many epochs and the last.
    """

    noise: str
    seed: int
    method: str
    parameters: Mapping[str, object]
    training: TrainingOptions
    noisy: NoisyData
    test: Path
    audit: RunFolder | None
    measure_every: int = 1


def train_cell(task: Task, folder: Path, reporter: Reporter) -> Run:
    """Train, or read what an earlier call finished; a training that diverges is a result too.

    Args:
        task: What.
        folder: Gets ``<method>/`` and ``<method>.json``.
        reporter: Told about the progress.

    Raises:
        RunError: the folder holds a training with other settings.
        LabelauditError: see `labelaudit.retrain.recipe.retrain`.
    """
    kept, asked = folder / f"{task.method}.json", _asked(task)
    if kept.exists():
        content = read_json(kept)
        if content.get("asked") != asked:
            raise RunError(f"{kept} was trained with other settings", fix=f"delete {folder}, or give another --out")
        try:
            run: Run = from_plain(Run, content["run"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{kept} is damaged", fix="delete it to train again") from error
        return run
    run = _train(task, RunFolder(folder / task.method), reporter)
    write_json(kept, {"asked": asked, "run": as_plain(run)})
    return run


def _train(task: Task, out: RunFolder, reporter: Reporter) -> Run:
    entry, audit = find_method(task.method), task.audit
    options = RetrainOptions(
        method=task.method,
        parameters=task.parameters,
        weights_csv=audit.weights_csv if audit is not None and "weights" in entry.needs else None,
        truth_csv=task.noisy.truth_csv if "truth" in entry.needs else None,
        audit=audit.root if audit is not None and "noise_rate" in entry.needs else None,
        validation=task.test,
        measure_every=task.measure_every,
        training=replace(task.training, seed=task.seed),
    )
    watch = Stopwatch(task.training.device)
    common: dict[str, Any] = {
        "noise": task.noise,
        "rate": task.noisy.rate,
        "seed": task.seed,
        "method": task.method,
    }
    try:
        result = retrain(task.noisy.data, out, options, reporter, mark=watch)
    except TrainingError as error:
        reporter.warn(f"{task.method} at {task.noise}, seed {task.seed}: {error.what}")
        return Run(
            **common,
            status=DIVERGED,
            error=math.nan,
            best_error=math.nan,
            train_error=math.nan,
            epochs=0,
            epoch_seconds=watch.epoch_seconds,
            seconds=math.nan,
            noise_rate=math.nan,
        )
    metrics = read_metrics(out.metrics)
    both = task.method in _BOTH_NETWORKS
    known = {**result["parameters"], **result.get("found", {})}.get("noise_rate")
    return Run(
        **common,
        status=TRAINED,
        error=float(result["validation_error_of_all_networks"] if both else result["metrics"]["validation_error"]),
        best_error=min(row["validation_error"] for row in metrics if row["validation_error"] is not None),
        train_error=float(metrics[-1]["train_error"]),
        epochs=len(metrics),
        epoch_seconds=watch.epoch_seconds,
        seconds=watch.seconds(len(metrics)),
        noise_rate=math.nan if known is None else float(known),
    )


def _asked(task: Task) -> dict[str, Any]:
    """All that decides the outcome, in plain values."""
    training = {name: value for name, value in asdict(task.training).items() if name != "device" and value is not None}
    labels = task.noisy.data.labels_file
    return {
        "seed": task.seed,
        "labels": "" if labels is None else hashlib.sha256(labels.read_bytes()).hexdigest(),
        "test": str(task.test.resolve()),
        "parameters": dict(task.parameters),
        "training": {name: str(value) if isinstance(value, Path) else value for name, value in training.items()},
    }
