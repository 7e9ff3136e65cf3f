"""``labelaudit retrain``: a robust network from a noisy folder; ``methods`` and ``selectors``: the choice."""

from __future__ import annotations

import inspect
import pkgutil
import re
import shutil
import textwrap
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from labelaudit.auditing.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal, print_table
from labelaudit.errors import UsageError
from labelaudit.methods.table import METHODS, MethodEntry, find_method
from labelaudit.selectors.table import SELECTORS, SelectorEntry, find_selector

EPILOG = o.examples(
    "labelaudit retrain photos --weights audit/weights.csv --val photos-test",
    "labelaudit retrain photos --method elr --val photos-test --seeds 0,1,2",
    "labelaudit retrain photos --method co-teaching --run audit -P warm_up_epochs=5 --val photos-test",
)
EPILOG_METHODS = o.examples("labelaudit methods", "labelaudit methods co-teaching")
EPILOG_SELECTORS = o.examples("labelaudit selectors", "labelaudit selectors variance-reduction")
_Name = Annotated[str | None, Argument(metavar="[NAME]", help="Only this one: parameters, rule and deviations.")]
_Entry = MethodEntry | SelectorEntry


@o.screen_options
@o.training_options(without=("members", "folds", "embeddings", "predictions"))
def command(
    data: o.DataArgument,
    training: TrainingOptions,
    terminal: Terminal,
    sample_weights: Annotated[Path | None, Option("--weights", help="weights.csv of an audit, or its RUN.")] = None,
    method: Annotated[str, Option(help="See labelaudit methods.")] = "aul",
    pairs: Annotated[list[str] | None, Option("-P", metavar="NAME=VALUE", help="A parameter. Repeatable.")] = None,
    audit: Annotated[
        Path | None,
        Option("--run", help="Run folder of the audit that gives the noise rate; default: that of --weights."),
    ] = None,
    val: Annotated[Path | None, Option(help="Folder with one folder per class: error after every epoch.")] = None,
    truth: Annotated[Path | None, Option(help="CSV path,label with the true labels; only oracle reads it.")] = None,
    out: Annotated[Path | None, Option(help="Result folder; default: retrain/METHOD-seedN beside the weights.")] = None,
    seeds: Annotated[str | None, Option(help="Several, as 0,1,2; in the folders METHOD-seedN of --out.")] = None,
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
        parameters=o.given_pairs(pairs or (), "-P"),
        weights_csv=sample_weights,
        truth_csv=truth,
        audit=audit,
        validation=val,
        training=training,
    )
    images = Data(root=data, labels_file=labels, split=o.split_names(split))
    beside = RunFolder(sample_weights.parent if sample_weights is not None else audit or runs_of(images))
    if out is None:
        beside.require_own_folders()
    folders = {}
    for seed in [training.seed or 0] if seeds is None else o.parse_seeds(seeds):
        inside = "" if seeds is None else f"{method}-seed{seed}"
        folders[seed] = beside.retraining(method, seed) if out is None else RunFolder(out / inside)
    results = retrain_seeds(images, folders, wanted, terminal)
    for folder, result in zip(folders.values(), results, strict=True):
        error = result["metrics"]["validation_error"]
        measured = "" if error is None else f", test error {error:.2%}"
        terminal.say(f"Trained with {method}{measured}. Model and metrics: {folder.root}")
    if len(results) > 1:
        terminal.say("Mean and deviation: labelaudit compare " + " ".join(str(made.root) for made in folders.values()))


def methods(name: _Name = None) -> None:
    """List the robust-training methods: what each does, needs, can be set, and where it is from."""
    if name is None:
        rows = [(each.name, each.summary, _needs(each), _listed(each), each.source) for each in METHODS]
        print_table(("method", "what it does", "needs", "parameters", "source"), rows, whole=("method",))
        return
    found = find_method(name)
    told = ", ".join(f"{field.replace('_', ' ')} {value}" for field, value in found.differences.items())
    _tell(found, "-P", f"  needs     {_needs(found)}", *([f"  --preset paper  {told}"] if told else []))


def selectors(name: _Name = None) -> None:
    """List the selectors that train on a part of the samples: what each does, can be set, and where it is from."""
    if name is None:
        rows = [(each.name, each.summary, _listed(each), each.source) for each in SELECTORS]
        print_table(("selector", "what it does", "parameters", "source"), rows, whole=("selector", "parameters"))
        return
    _tell(find_selector(name), "-S")


def _tell(entry: _Entry, option: str, *lines: str) -> None:
    """Print all about one method or selector, docstrings of module and factory too; ``option`` is for parameters."""
    settings = (f"  {option} {setting}  {meaning}" for setting, meaning in _parameters(entry).items())
    told = [f"{entry.name}: {entry.summary}", f"  source    {entry.source}", *lines, *settings]
    factory, width = pkgutil.resolve_name(entry.factory), min(100, shutil.get_terminal_size().columns)
    for docs in map(inspect.getdoc, (inspect.getmodule(factory), factory)):
        # A paragraph becomes one line, to be wrapped; the indented lines of formulas stay lines.
        told += ["", *re.sub(r"(?<=[^.\s])\n(?=\S)", " ", (docs or "").replace("``", "`")).splitlines()]
    for line in told:
        indent = " " * (len(line) - len(line.lstrip()))
        typer.echo(textwrap.fill(line, width, subsequent_indent=2 * indent, break_on_hyphens=False))


def _parameters(entry: _Entry) -> dict[str, str]:
    """Return what each parameter is, by ``name=default``."""
    none = "(from the audit)" if isinstance(entry, MethodEntry) else "auto"
    return {
        f"{of.name}={none if of.default is None else str(of.default).lower()}": of.metadata["what"]
        for of in fields(entry.parameters)
    }


def _listed(entry: _Entry) -> str:
    return "\n".join(_parameters(entry)) or "-"


def _needs(entry: MethodEntry) -> str:
    """Return what a method needs in words."""
    words = [need.replace("_", " ") for need in entry.needs] + ["two networks"] * (entry.networks == 2)
    return ", ".join(words) or "-"
