"""The papers' tables and figures, and some of our own, measured on a data folder: a file for each experiment.

Here are the experiments' options, of which the command line is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Optional

from labelaudit.audit.options import TrainingOptions
from labelaudit.names import PlotFormatName, ScaleName


@dataclass(frozen=True)
class Flag:
    """What the command line says of an option.

    Attributes:
        name: With its dashes.
        help: What it does.
        metavar: Its value; one with a comma stands for several values in one text.
    """

    name: str
    help: str
    metavar: str | None = None


Data = Annotated[Path, Flag("--data", "Folder with one folder of rightly labelled images per class.")]
Test = Annotated[Path, Flag("--test", "Test images, one folder per class.")]
Noises = Annotated[
    Sequence[str],
    Flag(
        "--noise",
        "Errors to plant: uniform:0.2, pair-flip:0.1, random-labels:0.5, asymmetric:0.3:cat,dog, one-class:0.3:cat. "
        "Repeatable.",
        "KIND:RATE[:CLASSES]",
    ),
]
Methods = Annotated[Sequence[str], Flag("--methods", "Rows, see labelaudit methods.", "NAME,NAME")]
Plots = Annotated[Optional[PlotFormatName], Flag("--plots", "Figures; default: svg if matplotlib is installed.")]
Scale = Annotated[
    ScaleName,
    Flag(
        "--scale",
        "smoke: digits, under two minutes; small: some thousand images, a small network; paper: its own settings.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class ExperimentOptions:
    """What every experiment is asked; each of the seeds replaces that of ``training``."""

    data: Annotated[Optional[Path], Flag("--data", "As for the others; default: 1,797 digits of scikit-learn.")] = None
    out: Annotated[Path, Flag("--out", "Gets the labels or copies, the audits, the trainings and the tables.")]
    seeds: Annotated[Sequence[int], Flag("--seeds", "For the data, the errors and the trainings.", "N,N")] = (0,)
    plots: Optional[PlotFormatName] = None
    training: TrainingOptions

    @property
    def data_name(self) -> str:
        """Name of the data folder, for headings."""
        return "digits" if self.data is None else self.data.resolve().name or "root"

    @property
    def seeds_text(self) -> str:
        """The seeds, for headings."""
        return ", ".join(map(str, self.seeds))


@dataclass(frozen=True, kw_only=True)
class DetectionOptions(ExperimentOptions):
    """Measure how well wrong labels are found: every statistic and estimator, by noise and seed, against the truth."""

    data: Data = field()
    noises: Noises = ()
    paper_noise: Annotated[
        bool,
        Flag("--paper-noise", "The noise of the AUL paper's Figures 7 and 9: uniform 10 to 90%, pair flip 10 to 40%."),
    ] = False
    noisy_labels: Annotated[
        Sequence[Path],
        Flag("--noisy-labels", "CSV with the columns path,label: given labels to audit. Repeatable.", "PATH"),
    ] = ()
    truth: Annotated[
        Optional[Path],
        Flag("--truth", "CSV with the columns path,label: right labels; default: the class folders."),
    ] = None
    peers: Annotated[bool, Flag("--peers", "cleanlab and AUM beside it: six more trainings an audit.")] = False
    also_models: Annotated[
        Sequence[str],
        Flag("--also-model", "Audit the same labels with this network too, and correlate. Repeatable.", "NAME"),
    ] = ()
    plots: Plots = None


@dataclass(frozen=True, kw_only=True)
class KindsOptions(ExperimentOptions):
    """Measure how well wrong labels, corrupted images and clean samples are told apart, against the truth."""

    data: Data = field()
    mislabeled: Annotated[float, Flag("--mislabeled", "Share of wrong labels.")] = 0.1
    shuffled: Annotated[float, Flag("--shuffled", "Share of images with shuffled pixels.")] = 0.05
    gaussian: Annotated[float, Flag("--gaussian", "Share of images of Gaussian noise.")] = 0.05
    images: Annotated[Optional[int], Flag("--images", "Take only so many images, of each class its share.")] = None


@dataclass(frozen=True, kw_only=True)
class PrioritizationOptions(ExperimentOptions):
    """Measure what Selective Backprop and variance reduction gain on clean data and lose on corrupted data.

    Training options replace settings of the scale.
    """

    test: Annotated[Optional[Path], Flag("--test", "Test images, one folder per class; goes with --data.")] = None
    scale: Scale = "small"
    data_sets: Annotated[
        Sequence[str],
        Flag(
            "--data-set",
            "clean, or random-labels, shuffle-pixels or gaussian with :0.25 or :0.5; default: all. Repeatable.",
            "NAME",
        ),
    ] = ()
    algorithms: Annotated[
        Sequence[str],
        Flag("--algorithm", "standard, sb-50, sb-33, sbe-50, vr-33 or vr-50; default: all. Repeatable.", "NAME"),
    ] = ()
    plots: Plots = None


@dataclass(frozen=True, kw_only=True)
class RelabelingOptions(ExperimentOptions):
    """Measure what a review is worth: plant errors, audit, answer the suspicious list with the truth, relabel, audit.

    The data folder stays as it is: --out gets copies of hard links.
    """

    noises: Noises = ("uniform:0.1",)
    rounds: Annotated[int, Flag("--rounds", "Reviews, with an audit after each.")] = 1


@dataclass(frozen=True, kw_only=True)
class RetrainingOptions(ExperimentOptions):
    """Measure the test error of networks retrained on noisy labels with the weights of an audit, by method.

    Training options are those of the retraining.
    """

    data: Data = field()
    test: Test = field()
    noises: Noises = ("uniform:0.4",)
    methods: Methods = ("standard", "aul", "oracle")
    audit_epochs: Annotated[Optional[int], Flag("--audit-epochs", "Of the audit; default: those of score.")] = None


@dataclass(frozen=True, kw_only=True)
class Table1Options(ExperimentOptions):
    """Train every robust method on the same noisy labels, and put the errors beside the AUL paper's Table 1."""

    data: Annotated[
        Optional[Path],
        Flag("--data", "Rightly labelled images, one folder per class; or train/ and test/ with such folders."),
    ] = None
    test: Annotated[Optional[Path], Flag("--test", "Test images, one folder per class.")] = None
    scale: Scale = "small"
    noises: Noises = ()
    methods: Annotated[
        Sequence[str], Flag("--methods", "Rows; default: the paper's, ELR and DivideMix.", "NAME,NAME")
    ] = ()
    subset: Annotated[Optional[int], Flag("--subset", "Training images, drawn at random for each seed.")] = None
    only_cost: Annotated[bool, Flag("--cost", "Only say what it would take.")] = False
