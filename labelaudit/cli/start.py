"""What a command does before its work starts."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import TYPE_CHECKING

import typer

from labelaudit.cli.parameters import given_pairs
from labelaudit.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from labelaudit.progress import Reporter
    from labelaudit.recipes.options import TrainingOptions
    from labelaudit.run.layout import RunFolder


def is_helper() -> bool:
    """True in a process that torchrun started beside the first one: it trains along, and writes and says nothing."""
    return "MASTER_ADDR" in os.environ and os.environ.get("RANK", "0") != "0"


def refuse_torchrun(command: str) -> None:
    """Refuse to do in several processes what would get into each other's way there.

    Raises:
        UsageError: torchrun started this process.
    """
    if "MASTER_ADDR" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError(
            f"labelaudit {command} does not run under torchrun",
            fix="start it in one process; several of them can share the work by their own --noise, --seed and --out",
        )


def set_threads(threads: int | None) -> None:
    """Use this many processor threads for arithmetic.

    Args:
        threads: None for torch's choice, but no more than a container's quota leaves to this process; where a variable
            of the environment names a number, as under torchrun, torch's choice is that.

    Raises:
        UsageError: fewer than one.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"--threads {threads} is too few", fix="give at least 1")
    if threads is None and {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & set(os.environ):
        return
    import torch

    if threads is None:
        import joblib

        threads = min(torch.get_num_threads(), joblib.cpu_count())
    torch.set_num_threads(threads)


def set_deterministic(wanted: bool) -> None:
    """Have the same bits come out each time on a GPU too."""
    if wanted:
        from labelaudit.engine.devices import compute_deterministically

        compute_deterministically()


def run_folder(run: Path | None, data: Path, terminal: Reporter) -> RunFolder:
    """Where an audit of ``data`` goes: where it is said, or the default."""
    from labelaudit.recipes.audits import default_run
    from labelaudit.run.layout import RunFolder

    if run is not None:
        return RunFolder(run)
    place = default_run(data)
    if place.is_absolute():
        terminal.say(f"The run folder is {place}: nothing is written into the folder of the images")
    return RunFolder(place)


def training_options(context: typer.Context) -> TrainingOptions:
    """The training options among a command's parameters, which have the same names."""
    from labelaudit.recipes.options import TrainingOptions

    names = {field.name for field in fields(TrainingOptions)}
    given = {name: value for name, value in context.params.items() if name in names}
    pairs = given_pairs(context.params.get("selector_pairs") or (), "-S")
    return TrainingOptions(**given, selector_parameters=pairs)
