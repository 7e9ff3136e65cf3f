"""``labelaudit retrain``: a robust network from a noisy folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from labelaudit.audit.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal
from labelaudit.errors import UsageError

EPILOG = o.examples(
    "labelaudit retrain photos --weights audit/weights.csv --val photos-test",
    "labelaudit retrain photos --method elr --val photos-test --seeds 0,1,2",
    "labelaudit retrain photos --method co-teaching --run audit -P warm_up_epochs=5 --val photos-test",
)


@o.screen_options
@o.training_options(without=("controls", "members", "folds"))
def command(
    data: o.DataArgument,
    training: TrainingOptions,
    terminal: Terminal,
    sample_weights: Annotated[
        Path | None,
        Option("--weights", help="Sample weights: the weights.csv of an audit; any method's own are multiplied."),
    ] = None,
    method: Annotated[str, Option(help="See labelaudit methods.")] = "aul",
    pairs: Annotated[
        list[str] | None, Option("-P", metavar="NAME=VALUE", help="A parameter of the method. Repeatable.")
    ] = None,
    params: Annotated[Path | None, Option(help="Parameters of the method, as name = value in TOML.")] = None,
    audit: Annotated[
        Path | None, Option("--run", help="Run folder of an audit: the noise rate; default: the weights'.")
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
    from labelaudit.audit.model import Data, default_run
    from labelaudit.retrain.recipe import RetrainOptions, retrain_seeds
    from labelaudit.run.layout import RunFolder

    if seeds is not None and training.seed is not None:
        raise UsageError("--seed and --seeds both name seeds", fix="give one of them")
    wanted = RetrainOptions(
        method=method,
        parameters=o.given_parameters(pairs or [], params),
        weights_csv=sample_weights,
        truth_csv=truth,
        audit=audit,
        validation=val,
        training=training,
    )
    beside = RunFolder(sample_weights.parent if sample_weights is not None else audit or default_run(data))
    if out is None:
        beside.require_own_folders()
    if seeds is None:
        seed = training.seed or 0
        folders = {seed: RunFolder(out) if out is not None else beside.retraining(method, seed)}
    else:
        folders = {
            number: beside.retraining(method, number) if out is None else RunFolder(out / f"{method}-seed{number}")
            for number in o.parse_seeds(seeds)
        }
    results = retrain_seeds(Data(root=data, labels_file=labels, split=o.split_names(split)), folders, wanted, terminal)
    for folder, result in zip(folders.values(), results, strict=True):
        error = result["metrics"]["validation_error"]
        measured = "" if error is None else f", test error {error:.2%}"
        terminal.say(f"Trained with {method}{measured}. Model and metrics: {folder.root}")
    if len(results) > 1:
        terminal.say("Mean and deviation: labelaudit compare " + " ".join(str(made.root) for made in folders.values()))
