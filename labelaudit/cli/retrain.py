"""``labelaudit retrain``: a robust network from a noisy folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from labelaudit.cli import options as o

EPILOG = o.examples(
    "labelaudit retrain photos --weights audit/weights.csv --val photos-test",
    "labelaudit retrain photos --method elr --val photos-test --seeds 0,1,2",
    "labelaudit retrain photos --method co-teaching --run audit -P warm_up_epochs=5 --val photos-test",
)


def command(
    context: typer.Context,
    data: o.DataArgument,
    sample_weights: Annotated[
        Optional[Path],
        typer.Option(
            "--weights", help="Sample weights: the weights.csv of an audit; with any method, whose own they multiply."
        ),
    ] = None,
    method: Annotated[str, typer.Option("--method", help="See labelaudit methods.")] = "aul",
    pairs: Annotated[
        Optional[list[str]],
        typer.Option("-P", metavar="NAME=VALUE", help="A parameter of the method; may be given several times."),
    ] = None,
    params: Annotated[
        Optional[Path], typer.Option("--params", help="Parameters of the method, as name = value in TOML.")
    ] = None,
    audit: Annotated[
        Optional[Path],
        typer.Option("--run", help="Run folder of an audit: the noise rate; default: that of the weights."),
    ] = None,
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
    seeds: Annotated[
        Optional[str],
        typer.Option("--seeds", help="Several trainings, as 0,1,2; with --out FOLDER in FOLDER/METHOD-seedN."),
    ] = None,
    labels: o.Labels = None,
    split: o.Split = None,
    probe: o.Probe = None,
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
    optimizer: o.Optimizer = None,
    precision: o.Precision = None,
    selector: o.Selector = None,
    selector_pairs: o.SelectorPairs = None,
    seed: o.Seed = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
    deterministic: o.Deterministic = False,
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Train a fresh network, or a head on a frozen backbone, in which suspicious labels count less."""
    from labelaudit.audit.model import Data, default_run
    from labelaudit.cli.console import Terminal
    from labelaudit.cli.options import given_parameters, set_deterministic, set_threads, training_options
    from labelaudit.errors import UsageError
    from labelaudit.retrain.recipe import RetrainOptions, parse_seeds, retrain_seeds
    from labelaudit.run.layout import RunFolder

    set_threads(threads)
    set_deterministic(deterministic)
    if seeds is not None and seed is not None:
        raise UsageError("--seed and --seeds both name seeds", fix="give one of them")
    terminal = Terminal(quiet=quiet, progress=not no_progress)
    wanted = RetrainOptions(
        method=method,
        parameters=given_parameters(pairs or [], params),
        weights_csv=sample_weights,
        truth_csv=truth,
        audit=audit,
        validation=val,
        training=training_options(context),
    )
    beside = RunFolder(sample_weights.parent if sample_weights is not None else audit or default_run(data))
    if out is None:
        beside.require_own_folders()
    if seeds is None:
        folders = {seed or 0: RunFolder(out) if out is not None else beside.retraining(method, seed or 0)}
    else:
        folders = {
            number: beside.retraining(method, number) if out is None else RunFolder(out / f"{method}-seed{number}")
            for number in parse_seeds(seeds)
        }
    results = retrain_seeds(Data(root=data, labels_file=labels, split=o.split_names(split)), folders, wanted, terminal)
    for folder, result in zip(folders.values(), results, strict=True):
        error = result["metrics"]["validation_error"]
        measured = "" if error is None else f", test error {error:.2%}"
        terminal.say(f"Trained with {method}{measured}. Model and metrics: {folder.root}")
    if len(results) > 1:
        terminal.say("Mean and deviation: labelaudit compare " + " ".join(str(made.root) for made in folders.values()))
