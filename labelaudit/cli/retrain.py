"""``labelaudit retrain``: a robust network from a noisy folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from labelaudit.cli import options as o

EPILOG = o.examples(
    "labelaudit retrain photos --weights audit/weights.csv --val photos-test",
    "labelaudit retrain photos --method standard --val photos-test --seed 1",
)


def command(
    context: typer.Context,
    data: o.DataArgument,
    sample_weights: Annotated[
        Optional[Path], typer.Option("--weights", help="Sample weights: the weights.csv of an audit.")
    ] = None,
    method: Annotated[str, typer.Option("--method", help="See labelaudit methods.")] = "aul",
    val: Annotated[
        Optional[Path], typer.Option("--val", help="Folder with one folder per class: error after every epoch.")
    ] = None,
    truth: Annotated[
        Optional[Path], typer.Option("--truth", help="CSV path,label with the true labels; only oracle reads it.")
    ] = None,
    out: Annotated[
        Optional[Path],
        typer.Option("--out", help="Folder for the result; default: retrain/METHOD-seedN beside the weights."),
    ] = None,
    labels: o.Labels = None,
    probe: o.Probe = "train",
    preset: o.Preset = None,
    model: o.Model = None,
    pretrained: o.Pretrained = False,
    weights_file: Annotated[
        Optional[Path],
        typer.Option("--network-weights", help="Start from this file: safetensors or a state dict for --model."),
    ] = None,
    offline: o.Offline = False,
    image_size: o.ImageSize = None,
    fit: o.Fit = None,
    augment: o.Augment = None,
    epochs: o.Epochs = None,
    batch_size: o.BatchSize = None,
    lr: o.Rate = None,
    momentum: o.Momentum = None,
    weight_decay: o.WeightDecay = None,
    schedule: o.Schedule = None,
    precision: o.Precision = None,
    seed: o.Seed = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
    deterministic: o.Deterministic = False,
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Train a network from scratch in which suspicious labels count less."""
    from labelaudit.cli.console import Terminal
    from labelaudit.cli.start import set_deterministic, set_threads, training_options
    from labelaudit.recipes.audits import Data, default_run
    from labelaudit.recipes.retrain import RetrainOptions, retrain
    from labelaudit.run.layout import RunFolder

    set_threads(threads)
    set_deterministic(deterministic)
    terminal = Terminal(quiet=quiet, progress=not no_progress)
    beside = sample_weights.parent if sample_weights is not None else default_run(data)
    if out is None:
        RunFolder(beside).require_own_folders()
    folder = RunFolder(out) if out is not None else RunFolder(beside).retraining(method, seed or 0)
    wanted = RetrainOptions(
        method=method, weights_csv=sample_weights, truth_csv=truth, validation=val, training=training_options(context)
    )
    result = retrain(Data(root=data, labels_file=labels), folder, wanted, terminal)
    error = result["metrics"]["validation_error"]
    measured = "" if error is None else f", test error {error:.2%}"
    terminal.say(f"Trained with {method}{measured}. Model and metrics: {folder.root}")
