"""``labelaudit retrain``: a robust network from a noisy folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from labelaudit.auditing.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal
from labelaudit.errors import UsageError

EPILOG = o.examples(
    "labelaudit retrain photos --weights audit/weights.csv --val photos-test",
    "labelaudit retrain photos --method elr --val photos-test --seeds 0,1,2",
    "labelaudit retrain photos --method co-teaching --run audit -P warm_up_epochs=5 --val photos-test",
)


@o.screen_options
@o.training_options(without=("members", "folds", "embeddings", "predictions"))
def command(
    data: o.DataArgument,
    training: TrainingOptions,
    terminal: Terminal,
    sample_weights: Annotated[
        Path | None,
        Option(
            "--weights",
            help="Sample weights: weights.csv of an audit, or its RUN; a method's own weights are multiplied by them.",
        ),
    ] = None,
    method: Annotated[str, Option(help="See labelaudit methods.")] = "aul",
    pairs: Annotated[
        list[str] | None, Option("-P", metavar="NAME=VALUE", help="A parameter of the method. Repeatable.")
    ] = None,
    params: Annotated[Path | None, Option(help="Parameters of the method, as name = value in TOML.")] = None,
    audit: Annotated[
        Path | None,
        Option("--run", help="Run folder of the audit that gives the noise rate; default: that of --weights."),
    ] = None,
    val: Annotated[Path | None, Option(help="Folder with one folder per class: error after every epoch.")] = None,
    truth: Annotated[Path | None, Option(help="CSV path,label with the true labels; only oracle reads it.")] = None,
    out: Annotated[Path | None, Option(help="Result folder; default: retrain/METHOD-seedN beside the weights.")] = None,
    seeds: Annotated[
        str | None, Option(help="Several trainings, as 0,1,2; with --out FOLDER in FOLDER/METHOD-seedN.")
    ] = None,
    labels: o.Labels = None,
    split: o.Split = None,
) -> None:
    """Train a fresh network, or a head on a frozen backbone, in which suspicious labels count less."""
    with terminal.loading():
        from labelaudit.auditing.model import Data, runs_of
        from labelaudit.retraining.recipe import RetrainOptions, retrain_seeds
        from labelaudit.run.layout import RunFolder

    if seeds is not None and training.seed is not None:
        raise UsageError("--seed and --seeds both name seeds", fix="give one of them")
    if audit is not None:
        audit = o.newest_run(audit)
    if sample_weights is not None and sample_weights.is_dir():
        sample_weights = RunFolder(o.newest_run(sample_weights)).weights_csv
    wanted = RetrainOptions(
        method=method,
        parameters=o.given_parameters(pairs or [], params),
        weights_csv=sample_weights,
        truth_csv=truth,
        audit=audit,
        validation=val,
        training=training,
    )
    beside = RunFolder(sample_weights.parent if sample_weights is not None else audit or runs_of(data))
    if out is None:
        beside.require_own_folders()
    folders = {}
    for seed in [training.seed or 0] if seeds is None else o.parse_seeds(seeds):
        inside = "" if seeds is None else f"{method}-seed{seed}"
        folders[seed] = beside.retraining(method, seed) if out is None else RunFolder(out / inside)
    results = retrain_seeds(Data(root=data, labels_file=labels, split=o.split_names(split)), folders, wanted, terminal)
    for folder, result in zip(folders.values(), results, strict=True):
        error = result["metrics"]["validation_error"]
        measured = "" if error is None else f", test error {error:.2%}"
        terminal.say(f"Trained with {method}{measured}. Model and metrics: {folder.root}")
    if len(results) > 1:
        terminal.say("Mean and deviation: labelaudit compare " + " ".join(str(made.root) for made in folders.values()))
