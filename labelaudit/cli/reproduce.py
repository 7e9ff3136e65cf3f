"""``labelaudit reproduce NAME``: the papers' measurements, and some of our own, on a data folder.

A command is made of the options that its experiment takes, of training options, and of what all commands share.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_type_hints

import typer

from labelaudit import reproduce
from labelaudit.auditing.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal, is_distributed
from labelaudit.errors import UsageError
from labelaudit.reproduce import ExperimentOptions

_SETTLED = "preset probe pretrained network_weights offline members folds selector selector_parameters"
"""Training options that the experiment on prioritization settles itself."""

_FIELDS = {field.name: field for field in fields(ExperimentOptions) if field.metadata}

app = typer.Typer(
    help="Repeat the papers' measurements on your own data.",
    invoke_without_command=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(context: typer.Context) -> None:
    """Repeat the papers' measurements on your own data."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _add(
    name: str,
    meaning: str,
    taken: str,
    *examples: str,
    without: Sequence[str] = (),
    only: Sequence[str] = (),
) -> None:
    """Add the command of an experiment, with the options that it takes of its own and of a training.

    The module of its name has the function ``measure``, which takes the options and returns a page.
    """

    def told(**given: Any) -> dict[str, object]:
        return {field: _split(field, value) for field, value in given.items() if value is not None}

    def command(*, told: Mapping[str, Any], training: TrainingOptions, terminal: Terminal) -> None:
        if is_distributed():  # several processes would disturb each other
            fix = "start it in one process; several of them can share the work by their own --noise, --seeds and --out"
            raise UsageError("labelaudit reproduce does not run under torchrun", fix=fix)
        measure = importlib.import_module(f"{reproduce.__name__}.{name}").measure
        typer.echo(measure(ExperimentOptions(name=name, training=training, **told), terminal), nl=False)
        terminal.say(f"Tables: {told['out']}")

    hints, names = get_type_hints(ExperimentOptions), ("data", "out", "seeds", *taken.split())
    own = [o.parameter(field, hints[each]) for each, field in _FIELDS.items() if each in names]
    resumed = "What an earlier call finished is only read, so an interrupted experiment is resumed."
    command.__doc__ = f"{meaning}\n\n{resumed}"
    epilog = o.examples(*(f"labelaudit reproduce {name} {line}" for line in examples))
    command = o.add_parameters(command, parameters=own, name="told", build=told)
    # --seeds is the experiments' own, and embeddings or predictions are of one labeling.
    trained = o.training_options(without=("seed", "embeddings", "predictions", *without), only=only)
    app.command(name, epilog=epilog)(trained(o.screen_options(command)))


def _split(field: str, value: Any) -> Any:
    """Return the values in a text with commas, or by name; any other value as it is."""
    if field == "parameters":
        return o.given_pairs(value, "-P")
    if "," not in (_FIELDS[field].metadata["metavar"] or ""):
        return value
    values = o.parse_seeds(value) if field == "seeds" else tuple(filter(None, map(str.strip, value.split(","))))
    if not values:
        raise UsageError(f"--{field} names none", fix=f"see labelaudit {field}")
    return values


_add(
    "detection",
    "Measure how well wrong labels are found: every statistic and estimator, by noise and seed, against the truth.",
    "test noises paper_noise noisy_labels truth also_models peers",
    "--data photos --out results --noise uniform:0.2 --noise pair-flip:0.1",
    "--data photos --out results --noise one-class:0.3:cat --seeds 0,1 --peers",
)
_add(
    "prioritization",
    "Measure what Selective Backprop and variance reduction gain on clean data and lose on corrupted data.\n\n"
    "Training options replace settings of the scale. --data can hold train/ and test/. Without it, scale smoke takes\n"
    "scikit-learn's digits.",
    "test scale data_sets algorithms subset",
    "--scale smoke --out results",
    "--data fashion/train --test fashion/test --out results --seeds 0,1",
    "--data a --test b --out c --data-set clean --data-set random-labels:0.5",
    without=_SETTLED.split(),
)
_add(
    "table1",
    "Train every robust method on the same noisy labels, and put the errors beside the AUL paper's Table 1.\n\n"
    "--data can hold train/ and test/; with 100 classes the paper's are those of CIFAR-100. Without it, scale smoke "
    "takes\nscikit-learn's digits. The default rows are the paper's, labelaudit, ELR and DivideMix.",
    "test scale noises methods parameters subset",
    "--scale smoke --out results",
    "--data cifar10 --out results --noise uniform:0.4 --seeds 0,1",
    "--scale smoke --out results --methods standard,mentornet -P mentornet.percentile=0.5",
    only=("epochs", "device", "threads", "deterministic"),
)
