"""``labelaudit retrain``: a robust network from a noisy folder; ``compare``: errors of retrainings over seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from labelaudit.auditing.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal, print_table
from labelaudit.errors import UsageError
from labelaudit.names import TableFormatName
from labelaudit.text import csv_lines

if TYPE_CHECKING:
    from labelaudit.retraining.compare import Comparison

EPILOG = o.examples(
    "labelaudit retrain photos --weights audit/weights.csv --val photos-test",
    "labelaudit retrain photos --method elr --val photos-test --seeds 0,1,2",
    "labelaudit retrain photos --method co-teaching --run audit -P warm_up_epochs=5 --val photos-test",
)
EPILOG_COMPARE = o.examples("labelaudit compare audit/retrain", "labelaudit compare results/aul-seed* --format csv")


@o.screen_options
@o.training_options(without=("controls", "members", "folds"))
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


def compare(
    folders: Annotated[list[Path], Argument(metavar="FOLDER...", help="Retrainings, or folders that hold some.")],
    output: Annotated[TableFormatName, Option("--format", help="How to print the table.")] = "table",
) -> None:
    """Compare retrainings: test error as mean and standard deviation over the seeds, the best first."""
    from labelaudit.retraining.compare import compare

    rows = compare(folders)
    if output == "json":
        typer.echo(json.dumps([row.as_json() for row in rows], indent=2))
    elif output == "csv":
        figures = ("validation_error", "validation_error_deviation", "train_error")
        lines = []
        for row in rows:
            told = ["" if value is None else f"{value:.6g}" for value in map(row.as_json().get, figures)]
            lines.append([row.method, _differing(row), " ".join(map(str, row.seeds)), *told])
        typer.echo("".join(csv_lines(["method", "differs", "seeds", *figures], lines)), nl=False)
    else:
        columns = ["method", "test error", "disagrees with labels", "seeds", "differs"]
        cells = [
            (row.method, _error(row), f"{row.as_json()['train_error']:.2%}", str(len(row.seeds)), _differing(row))
            for row in rows
        ]
        shown = 5 if any(row.differs for row in rows) else 4
        print_table(columns[:shown], [row[:shown] for row in cells], whole=("method",))


def _error(row: Comparison) -> str:
    if row.mean is None:
        return "-"
    return f"{row.mean:.2%}" if row.deviation is None else f"{row.mean:.2%} ± {row.deviation:.2%}"


def _differing(row: Comparison) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(row.differs.items()))
