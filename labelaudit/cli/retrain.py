"""``labelaudit retrain``: a robust network from a noisy folder; ``methods`` and ``selectors``: the choice."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
from labelaudit.names import PlanFormatName
from labelaudit.selectors.table import SELECTORS, SelectorEntry, find_selector

EPILOG = o.examples(
    "labelaudit retrain photos --weights audit/weights.csv --val photos-test",
    "labelaudit retrain photos --method elr --val photos-test --seeds 0,1,2",
    "labelaudit retrain photos --method co-teaching --run audit -P warm_up_epochs=5 --val photos-test",
)
EPILOG_METHODS = o.examples("labelaudit methods", "labelaudit methods co-teaching", "labelaudit methods --format json")
EPILOG_SELECTORS = o.examples("labelaudit selectors", "labelaudit selectors variance-reduction")
_Name = Annotated[str | None, Argument(metavar="[NAME]", help="Only this one, with its parameters.")]
_Format = Annotated[PlanFormatName, Option("--format", help="How to print them.")]
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


def methods(name: _Name = None, output: _Format = "table") -> None:
    """List the robust-training methods: what each does, needs, can be set, and where it is from."""
    _show(find_method(name) if name is not None else None, METHODS, output)


def selectors(name: _Name = None, output: _Format = "table") -> None:
    """List the selectors that train on a part of the samples: what each does, can be set, and where it is from."""
    _show(find_selector(name) if name is not None else None, SELECTORS, output)


def _show(one: _Entry | None, entries: Sequence[_Entry], output: PlanFormatName) -> None:
    if output == "json":
        typer.echo(json.dumps(_as_json(one) if one else [_as_json(entry) for entry in entries], indent=2))
    elif one:
        lines = [f"{one.name}: {one.summary}", f"  source    {one.source}"]
        lines += [f"  needs     {needs}" for needs in _needs(one)]
        option = "-P" if isinstance(one, MethodEntry) else "-S"
        lines += [f"  {option} {setting}  {meaning}" for setting, meaning in _parameters(one).items()]
        if isinstance(one, MethodEntry) and (differing := one.differences):
            told = (f"{name.replace('_', ' ')} {value}" for name, value in differing.items())
            lines.append(f"  --preset paper  {', '.join(told)}")
        typer.echo("\n".join(lines))
    else:
        whole = ("method",) if entries is METHODS else ("selector", "parameters")
        columns = (whole[0], "what it does", *["needs"] * (entries is METHODS), "parameters", "source")
        rows = [(e.name, e.summary, *_needs(e), "\n".join(_parameters(e)) or "-", e.source) for e in entries]
        print_table(columns, rows, whole=whole)


def _as_json(entry: _Entry) -> dict[str, object]:
    told: dict[str, object] = {"name": entry.name, "summary": entry.summary, "source": entry.source}
    told["parameters"] = [{"name": of.name, "default": of.default, **of.metadata} for of in fields(entry.parameters)]
    if isinstance(entry, MethodEntry):
        told |= {"needs": entry.needs, "networks": entry.networks, "published": entry.differences}
    return told


def _parameters(entry: _Entry) -> dict[str, str]:
    """Return what each parameter is, by ``name=default``."""
    none = "(from the audit)" if isinstance(entry, MethodEntry) else "auto"
    return {
        f"{of.name}={none if of.default is None else str(of.default).lower()}": of.metadata["what"]
        for of in fields(entry.parameters)
    }


def _needs(entry: _Entry) -> list[str]:
    """Return what a method needs in words; nothing for a selector."""
    if isinstance(entry, SelectorEntry):
        return []
    words = [need.replace("_", " ") for need in entry.needs] + ["two networks"] * (entry.networks == 2)
    return [", ".join(words) or "-"]
