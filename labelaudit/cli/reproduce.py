"""``labelaudit reproduce NAME``: the papers' measurements, and some of our own, on a data folder."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from labelaudit.cli import options as o
from labelaudit.names import PlotFormatName, ScaleName

_MEASURED = "Measured"

_NETWORK = ("model", "image_size", "augment", "epochs", "batch_size", "lr", "weight_decay", "precision")
_AUDIT = ("probe", "preset", "pretrained", "weights_file", "offline", "fit", *_NETWORK, "controls", "members", "folds")
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "probe": (o.Probe, None),
    "preset": (o.Preset, None),
    "model": (o.Model, None),
    "pretrained": (o.Pretrained, False),
    "weights_file": (o.NetworkWeights, None),
    "offline": (o.Offline, False),
    "image_size": (o.ImageSize, None),
    "fit": (o.Fit, None),
    "augment": (o.Augment, None),
    "epochs": (o.Epochs, None),
    "batch_size": (o.BatchSize, None),
    "lr": (o.Rate, None),
    "weight_decay": (o.WeightDecay, None),
    "schedule": (o.Schedule, None),
    "precision": (o.Precision, None),
    "controls": (o.Controls, None),
    "members": (o.Members, None),
    "folds": (o.Folds, None),
    "device": (o.Device, "auto"),
    "threads": (o.Threads, None),
    "quiet": (o.Quiet, False),
    "no_progress": (o.NoProgress, False),
}
"""Options that are as in other commands: annotation and default."""

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


def _own(name: str, text: str, *, metavar: str | None = None) -> Any:
    return typer.Option(name, help=text, metavar=metavar, rich_help_panel=_MEASURED)


_DATA = typer.Option("--data", help="Folder with one folder of rightly labelled images per class.")
_OUT = typer.Option("--out", help="Gets the labels or copies, the audits, the trainings and the tables.")
_SEEDS = _own("--seeds", "For the data, the planted errors and the trainings.", metavar="N,N")
_NOISE = _own(
    "--noise",
    "Errors to plant: uniform:0.2, pair-flip:0.1, random-labels:0.5, asymmetric:0.3:cat,dog, one-class:0.3:cat. "
    "Repeatable.",
    metavar="KIND:RATE[:CLASSES]",
)
_METHODS = _own("--methods", "Rows, see labelaudit methods.", metavar="NAME,NAME")
_PLOTS = _own("--plots", "Figures; default: svg if matplotlib is installed.")
_SCALE = _own(
    "--scale",
    "smoke: digits, under two minutes; small: some thousand images, a small network; paper: its own settings.",
)
_TEST = typer.Option("--test", help="Test images, one folder per class.")

Noise = Annotated[Optional[list[str]], _NOISE]
OptionalData = Annotated[Optional[Path], _DATA]
Test = Annotated[Optional[Path], _TEST]
Plots = Annotated[Optional[PlotFormatName], _PLOTS]
Scale = Annotated[ScaleName, _SCALE]


def _experiment(
    *examples: str, training: tuple[str, ...], data: Any = Annotated[Path, _DATA]
) -> Callable[[Callable[..., str]], Callable[..., None]]:
    """Make a command of a function that runs an experiment and returns its page.

    The command has the function's own options (those after its two parameters), and those that all experiments share:
    data, out, seeds, training, device, threads and screen.

    Args:
        examples: What stands after ``labelaudit reproduce NAME``.
        training: Names of the training options.
        data: Annotation of the data folder; an optional one has None as its default.
    """

    def decorate(function: Callable[..., str]) -> Callable[..., None]:
        every = inspect.signature(function, eval_str=True).parameters.values()
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in list(every)[2:]]
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for name in (*training, "device", "threads", "quiet", "no_progress")
            for annotation, default in [_OPTIONS[name]]
        ]
        required = inspect.Parameter.empty
        first = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for name, annotation, default in (
                ("context", typer.Context, required),
                ("data", data, required if data == Annotated[Path, _DATA] else None),
                ("out", Annotated[Path, _OUT], required),
                ("seeds", Annotated[str, _SEEDS], "0"),
            )
        ]

        @functools.wraps(function)
        def command(context: typer.Context, **given: Any) -> None:
            from labelaudit.cli.console import Terminal
            from labelaudit.cli.start import refuse_torchrun, set_threads, training_options
            from labelaudit.recipes.seeds import parse_seeds

            refuse_torchrun("reproduce")
            set_threads(given["threads"])
            terminal = Terminal(quiet=given["quiet"], progress=not given["no_progress"])
            common = {
                "data": given["data"],
                "out": given["out"],
                "seeds": parse_seeds(given["seeds"]),
                "training": training_options(context),
            }
            typer.echo(function(common, terminal, **{option.name: given[option.name] for option in own}), nl=False)
            terminal.say(f"Tables: {given['out']}")

        command.__signature__ = inspect.Signature([*first, *own, *shared])  # type: ignore[attr-defined]
        name = function.__name__
        app.command(name, epilog=o.examples(*(f"labelaudit reproduce {name} {line}" for line in examples)))(command)
        return command

    return decorate


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@_experiment(
    "--data photos --out results --noise uniform:0.2 --noise pair-flip:0.1",
    "--data photos --out results --noise one-class:0.3:cat --seeds 0,1 --peers",
    "--data photos --out results --noisy-labels given.csv",
    training=_AUDIT,
)
def detection(
    common: dict[str, Any],
    terminal: Any,
    noise: Noise = None,
    paper_noise: Annotated[
        bool,
        _own("--paper-noise", "The noise of the AUL paper's Figures 7 and 9: uniform 10 to 90%, pair flip 10 to 40%."),
    ] = False,
    noisy_labels: Annotated[
        Optional[list[Path]],
        _own("--noisy-labels", "CSV with the columns path,label: given labels to audit. Repeatable.", metavar="PATH"),
    ] = None,
    truth: Annotated[
        Optional[Path],
        _own("--truth", "CSV with the columns path,label: the right labels; default: the class folders."),
    ] = None,
    peers: Annotated[bool, _own("--peers", "cleanlab and AUM beside it: six more trainings an audit.")] = False,
    also_models: Annotated[
        Optional[list[str]],
        _own("--also-model", "Audit the same labels with this network too, and correlate. Repeatable.", metavar="NAME"),
    ] = None,
    plots: Plots = None,
) -> str:
    """Measure how well wrong labels are found: every statistic and estimator, by noise and seed, against the truth.

    What an earlier call finished is only read, so an interrupted experiment is resumed.
    """
    from labelaudit.reproduce.detection import DetectionOptions, detect

    asked = DetectionOptions(
        **common,
        noises=noise or (),
        paper_noise=paper_noise,
        noisy_labels=noisy_labels or (),
        truth=truth,
        peers=peers,
        also_models=also_models or (),
        plots=plots,
    )
    return detect(asked, terminal)


@_experiment(
    "--data photos --out results",
    "--data photos --out results --images 12000 --seeds 0,1 --controls",
    training=_AUDIT,
)
def kinds(
    common: dict[str, Any],
    terminal: Any,
    mislabeled: Annotated[float, _own("--mislabeled", "Share of wrong labels.")] = 0.1,
    shuffled: Annotated[float, _own("--shuffled", "Share of images with shuffled pixels.")] = 0.05,
    gaussian: Annotated[float, _own("--gaussian", "Share of images of Gaussian noise.")] = 0.05,
    images: Annotated[Optional[int], _own("--images", "Take only so many images.")] = None,
) -> str:
    """Measure how well wrong labels, corrupted images and clean samples are told apart, against the truth.

    What an earlier call finished is only read, so an interrupted experiment is resumed.
    """
    from labelaudit.reproduce.kinds import KindsOptions, measure_kinds

    asked = KindsOptions(**common, mislabeled=mislabeled, shuffled=shuffled, gaussian=gaussian, images=images)
    return measure_kinds(asked, terminal)


@_experiment(
    "--scale smoke --out results",
    "--data fashion/train --test fashion/test --out results --seeds 0,1",
    "--data a --test b --out c --data-set clean --data-set random-labels:0.5",
    training=_NETWORK,
    data=OptionalData,
)
def prioritization(
    common: dict[str, Any],
    terminal: Any,
    test: Test = None,
    scale: Scale = "small",
    data_sets: Annotated[
        Optional[list[str]],
        _own(
            "--data-set",
            "clean, or random-labels, shuffle-pixels or gaussian with :0.25 or :0.5; default: all. Repeatable.",
            metavar="NAME",
        ),
    ] = None,
    algorithms: Annotated[
        Optional[list[str]],
        _own(
            "--algorithm", "standard, sb-50, sb-33, sbe-50, vr-33 or vr-50; default: all. Repeatable.", metavar="NAME"
        ),
    ] = None,
    plots: Plots = None,
) -> str:
    """Measure what Selective Backprop and variance reduction gain on clean data and lose on corrupted data.

    What an earlier call finished is only read, so an interrupted experiment is resumed.
    """
    from labelaudit.reproduce.prioritization import PrioritizationOptions, prioritize

    asked = PrioritizationOptions(
        **common, test=test, scale=scale, data_sets=data_sets or (), algorithms=algorithms or (), plots=plots
    )
    return prioritize(asked, terminal)


@_experiment(
    "--out results",
    "--data photos --out results --noise uniform:0.1 --noise pair-flip:0.1 --rounds 2",
    training=_AUDIT,
    data=OptionalData,
)
def relabeling(
    common: dict[str, Any],
    terminal: Any,
    noise: Noise = None,
    rounds: Annotated[int, _own("--rounds", "Reviews, with an audit after each.")] = 1,
) -> str:
    """Measure what a review is worth: plant errors, audit, answer the suspicious list with the truth, relabel, audit.

    The data folder (default: the 1,797 digits of scikit-learn) stays as it is: --out gets copies of hard links. What an
    earlier call finished is only read, so an interrupted experiment is resumed.
    """
    from labelaudit.reproduce.relabeling import RelabelingOptions, relabel_and_audit

    asked = RelabelingOptions(**common, noises=noise or ("uniform:0.1",), rounds=rounds)
    return relabel_and_audit(asked, terminal)


@_experiment(
    "--data fashion/train --test fashion/test --out results --noise uniform:0.4 --seeds 0,1,2",
    "--data a --test b --out c --methods standard,aul,dividemix --epochs 50",
    training=("preset", *_NETWORK, "schedule"),
)
def retraining(
    common: dict[str, Any],
    terminal: Any,
    test: Annotated[Path, _TEST],
    noise: Noise = None,
    methods: Annotated[str, _METHODS] = "standard,aul,oracle",
    audit_epochs: Annotated[Optional[int], _own("--audit-epochs", "Of the audit; default: those of score.")] = None,
) -> str:
    """Measure the test error of networks retrained on noisy labels with the weights of an audit, by method.

    The training options are those of the retraining. What an earlier call finished is only read, so an interrupted
    experiment is resumed.
    """
    from dataclasses import replace

    from labelaudit.recipes.options import TrainingOptions
    from labelaudit.reproduce.retraining import RetrainingOptions, measure_retraining

    training = replace(common["training"], probe="train")
    audit = TrainingOptions(probe="train", epochs=audit_epochs, device=training.device)
    asked = RetrainingOptions(
        **{**common, "training": training},
        test=test,
        noises=noise or ("uniform:0.4",),
        methods=_names(methods),
        audit=audit,
    )
    return measure_retraining(asked, terminal)


@_experiment(
    "--scale smoke --out results",
    "--data cifar10 --out results --noise uniform:0.4 --seeds 0,1",
    "--data cifar10 --out results --scale paper --cost",
    training=("epochs",),
    data=Annotated[
        Optional[Path],
        typer.Option(
            "--data", help="Rightly labelled images, one folder per class; or train/ and test/ with such folders."
        ),
    ],
)
def table1(
    common: dict[str, Any],
    terminal: Any,
    test: Test = None,
    scale: Scale = "small",
    noise: Noise = None,
    methods: Annotated[
        Optional[str],
        _own(
            "--methods",
            "Rows, see labelaudit methods; default: the paper's, ELR and DivideMix.",
            metavar="NAME,NAME",
        ),
    ] = None,
    subset: Annotated[Optional[int], _own("--subset", "Training images, drawn at random for each seed.")] = None,
    cost: Annotated[bool, _own("--cost", "Only say what it would take.")] = False,
) -> str:
    """Train every robust method on the same noisy labels, and put the errors beside the AUL paper's Table 1.

    What an earlier call finished is only read, so an interrupted experiment is resumed.
    """
    from labelaudit.reproduce.table1 import METHODS, Table1Options, reproduce_table1

    asked = Table1Options(
        **common,
        test=test,
        scale=scale,
        noises=noise or (),
        methods=METHODS if methods is None else _names(methods),
        subset=subset,
        only_cost=cost,
    )
    return reproduce_table1(asked, terminal)
