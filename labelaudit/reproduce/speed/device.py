"""On a GPU: seconds from decoded pixels to scores, images per second, share of the bare step, cost of recording.

    python -m labelaudit.reproduce.speed device DATA --rate 0.2 --paper 3 --synthetic 8192

- For each ``--settings MODEL:EPOCHS:BATCH``: a whole audit of wrong labels that are planted at ``--rate``; its clock
  starts when the last picture is decoded and stops when the CSV is written: moving the pixels to the GPU and building
  the network are in it. A short audit comes before, untimed: it pays for loading the GPU's libraries.
- For the first of them: images per second of the epochs against the bare step with the same precision, and epochs with
  recording against epochs without.
- ``--paper``: as many epochs of the paper's preset, and how long all of them would take.
- ``--synthetic``: ResNet-50 at 224 pixels on so many made-up pictures, against the bare step.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from labelaudit.audit.model import Data
from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.plan import PAPER
from labelaudit.audit.score import score
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import scan
from labelaudit.engine.devices import choose_device, choose_precision
from labelaudit.engine.inputs import ImageInputs
from labelaudit.engine.settings import SCRATCH, TrainingSettings
from labelaudit.engine.weights import build_network
from labelaudit.errors import UsageError
from labelaudit.reproduce.detection import compare, write_noisy_labels
from labelaudit.reproduce.speed.arguments import natural, positive, share
from labelaudit.reproduce.speed.loop import OURS, own_contenders, share_of_bare_step
from labelaudit.reproduce.speed.problem import Problem, empty_folder, prepare_folder, subset
from labelaudit.reproduce.speed.recording import cost_rows
from labelaudit.reproduce.speed.stages import Stages
from labelaudit.reproduce.speed.timing import Row, take_turns
from labelaudit.run.layout import RunFolder

_DECODING, _TRAINING = "Decoding images", "Training the probe"
"""What the audit calls these stages when it reports its progress."""
_DEFAULT_SETTINGS = ["labelaudit_probe:10:512", "labelaudit_probe:30:256", "labelaudit_probe_full:30:256"]
_SYNTHETIC_CLASSES = 100


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A probe: network, epochs, batch size."""

    model: str
    epochs: int
    batch_size: int

    @classmethod
    def parse(cls, text: str) -> Setting:
        """``MODEL:EPOCHS:BATCH``.

        Raises:
            ValueError: it is something else.
        """
        model, epochs, batch_size = text.split(":")
        return cls(model=model, epochs=int(epochs), batch_size=int(batch_size))


@dataclass(frozen=True, kw_only=True)
class _Audit:
    """Seconds from the last decoded picture to the CSV, those of the training in it, and what was found."""

    seconds: float
    training_seconds: float
    auroc: float
    average_precision: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument(
        "data", type=Path, nargs="?", default=None, help="a folder with a folder of images for each class"
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (default: cuda)")
    parser.add_argument("--rate", type=share, default=0.2, help="share of planted errors (default: 0.2)")
    parser.add_argument("--seed", type=int, default=0, help="of the errors and the trainings (default: 0)")
    parser.add_argument("--limit", type=positive, default=None, help="use so many images, evenly spaced (default: all)")
    parser.add_argument(
        "--settings",
        nargs="+",
        default=_DEFAULT_SETTINGS,
        metavar="MODEL:EPOCHS:BATCH",
        help=f"audits to time (default: {' '.join(_DEFAULT_SETTINGS)})",
    )
    parser.add_argument("--rounds", type=positive, default=5, help="how often epochs are timed (default: 5)")
    parser.add_argument("--epochs-a-turn", type=positive, default=3, help="epochs that are timed together (default: 3)")
    parser.add_argument("--paper", type=natural, default=0, metavar="EPOCHS", help="time so much of --preset paper")
    parser.add_argument(
        "--synthetic", type=natural, default=0, metavar="N", help="time a large network on N made-up images"
    )
    parser.add_argument("--synthetic-model", default="resnet50", help="(default: resnet50)")
    parser.add_argument("--synthetic-size", type=positive, default=224, help="side in pixels (default: 224)")
    parser.add_argument("--synthetic-batch", type=positive, default=256, help="(default: 256)")


def measure(asked: argparse.Namespace) -> list[Row]:
    """Everything that was asked for.

    Raises:
        LabelauditError: there is no such device, or the folder cannot be audited.
    """
    device = choose_device(asked.device)
    try:
        settings = [Setting.parse(text) for text in asked.settings]
    except ValueError as error:
        raise UsageError(
            f"--settings {' '.join(asked.settings)} cannot be read", fix="MODEL:EPOCHS:BATCH each"
        ) from error
    if asked.data is None and not asked.synthetic:
        raise UsageError("there is nothing to time", fix="give DATA, or --synthetic N")
    rows = _folder_rows(asked, settings) if asked.data is not None else []
    return rows + (_synthetic_rows(asked, device) if asked.synthetic else [])


def _folder_rows(asked: argparse.Namespace, settings: list[Setting]) -> list[Row]:
    with empty_folder() as scratch:
        clean = subset(scan(asked.data), asked.limit)
        labels = scratch / "labels.csv"
        write_noisy_labels(clean, labels, kind="uniform", rate=asked.rate, seed=asked.seed)
        data = Data(root=clean.root, labels_file=labels)
        common = TrainingOptions(probe="train", seed=asked.seed, device=asked.device)
        _audit(data, clean, replace(common, model=settings[0].model, epochs=1, batch_size=settings[0].batch_size))
        rows = []
        for setting in settings:
            options = replace(common, model=setting.model, epochs=setting.epochs, batch_size=setting.batch_size)
            name = f"{setting.model}, {setting.epochs} epochs, batch {setting.batch_size}"
            rows += _audit_rows(name, _audit(data, clean, options))
        if asked.paper:
            rows += _paper_rows(_audit(data, clean, replace(common, preset="paper", epochs=asked.paper)), asked.paper)
        first = replace(common, model=settings[0].model, batch_size=settings[0].batch_size)
        problem = prepare_folder(data, first).problem
        rows += _epoch_rows(problem, scratch, rounds=asked.rounds, epochs=asked.epochs_a_turn)
        return rows + cost_rows(problem, scratch, rounds=asked.rounds, epochs=asked.epochs_a_turn)


def _audit(data: Data, clean: Catalogue, options: TrainingOptions) -> _Audit:
    stages = Stages()
    with empty_folder() as scratch:
        fitted = score(data, RunFolder(scratch / "run"), options, reporter=stages)
        ended = time.perf_counter()
    found = compare(fitted, clean)
    return _Audit(
        seconds=ended - stages.ended(_DECODING),
        training_seconds=stages.seconds(_TRAINING),
        auroc=found["auroc"],
        average_precision=found["average_precision"],
    )


def _audit_rows(name: str, audit: _Audit) -> list[Row]:
    return [
        Row(name=f"{name}: from decoded pixels to scores", value=audit.seconds, unit="s"),
        Row(name=f"{name}: AUROC", value=audit.auroc, unit=""),
        Row(name=f"{name}: AP", value=audit.average_precision, unit=""),
    ]


def _paper_rows(audit: _Audit, epochs: int) -> list[Row]:
    rows = _audit_rows(f"preset paper, {epochs} epochs", audit)
    if epochs == PAPER.epochs:
        return rows
    whole = audit.seconds + (PAPER.epochs - epochs) * audit.training_seconds / epochs
    note = f"extrapolated from {epochs} epochs"
    return [*rows, Row(name=f"preset paper, all {PAPER.epochs} epochs", value=whole, unit="s", note=note)]


def _epoch_rows(problem: Problem, scratch: Path, *, rounds: int, epochs: int) -> list[Row]:
    rates = take_turns(own_contenders(problem, scratch, epochs=epochs), rounds)
    return [
        Row(name=f"{OURS}, epochs", value=rates.of(OURS).median, unit="images/s", note=rates.of(OURS).note),
        share_of_bare_step(rates, problem),
    ]


def _synthetic_rows(asked: argparse.Namespace, device: torch.device) -> list[Row]:
    problem = _synthetic(asked, device)
    with empty_folder() as scratch:
        return _epoch_rows(problem, scratch, rounds=asked.rounds, epochs=1)


def _synthetic(asked: argparse.Namespace, device: torch.device) -> Problem:
    count, size = asked.synthetic, asked.synthetic_size
    generator = torch.Generator().manual_seed(asked.seed)
    pixels_NCHW = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)
    settings = TrainingSettings(
        kind="train",
        model=asked.synthetic_model,
        weights=SCRATCH,
        preset="fast",
        image_size=size,
        channels=3,
        resize="stretch",
        augment="crop-flip",
        crop_pad=4,
        epochs=1,
        batch_size=asked.synthetic_batch,
        lr=0.01,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        schedule="constant",
        precision=choose_precision("auto", device),
        seed=asked.seed,
    )
    return Problem(
        inputs=ImageInputs(
            pixels_NCHW, mean_C=(0.5,) * 3, std_C=(0.25,) * 3, augment=settings.augmentation, device=device
        ),
        label_R=torch.randint(0, _SYNTHETIC_CLASSES, (count,), generator=generator),
        sample_R=np.arange(count, dtype=np.int32),
        settings=settings,
        device=device,
        build=lambda: build_network(
            settings.model, weights=SCRATCH, num_classes=_SYNTHETIC_CLASSES, channels=3, seed=asked.seed
        ),
    )
