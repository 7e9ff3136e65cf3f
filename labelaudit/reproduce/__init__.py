"""The papers' tables and figures, and some of our own, measured on a data folder: a file for each experiment.

Here are the experiments' options, of which the command line is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labelaudit.auditing.options import TrainingOptions
from labelaudit.names import PlotFormatName, ScaleName

_NOISE = (
    "Errors to plant: uniform:0.2, pair-flip:0.1, random-labels:0.5, asymmetric:0.3:cat,dog, one-class:0.3:cat. "
    "Repeatable."
)

FLAGS: dict[str, tuple[str, str, str | None]] = {
    "data": ("--data", "Folder with one folder of rightly labeled images per class.", None),
    "test": ("--test", "Test images, one folder per class.", None),
    "out": ("--out", "Gets the labels or copies, the audits, the trainings and the tables.", None),
    "seeds": ("--seeds", "For the data, the errors and the trainings.", "N,N"),
    "noises": ("--noise", _NOISE, "KIND:RATE[:CLASSES]"),
    "noisy_labels": ("--noisy-labels", "CSV with the columns path,label: given labels to audit. Repeatable.", "PATH"),
    "truth": ("--truth", "CSV with the columns path,label: right labels; default: the class folders.", None),
    "peers": ("--peers", "cleanlab and AUM beside it: six more trainings an audit.", None),
    "mislabeled": ("--mislabeled", "Share of wrong labels.", None),
    "shuffled": ("--shuffled", "Share of images with shuffled pixels.", None),
    "gaussian": ("--gaussian", "Share of images of Gaussian noise.", None),
    "images": ("--images", "Take only so many images, of each class its share.", None),
    "scale": ("--scale", "smoke: digits, two minutes; small: some thousand images; paper: its own settings.", None),
    "data_sets": (
        "--data-set",
        "clean, or random-labels, shuffle-pixels, gaussian with :0.25 or :0.5; default: all. Repeatable.",
        "NAME",
    ),
    "algorithms": ("--algorithm", "standard, sb-50, sb-33, sbe-50, vr-33 or vr-50; default: all. Repeatable.", "NAME"),
    "rounds": ("--rounds", "Reviews, with an audit after each.", None),
    "methods": ("--methods", "Rows: labelaudit methods, and labelaudit: aul by the default audit.", "NAME,NAME"),
    "parameters": ("-P", "A parameter of a row's method. Repeatable.", "ROW.NAME=VALUE"),
    "audit_epochs": ("--audit-epochs", "Of the audit; default: those of score.", None),
    "paper_noise": ("--paper-noise", "The AUL paper's Figures 7 and 9: uniform 10 to 90%, pair flip 10 to 40%.", None),
    "also_models": ("--also-model", "Audit with this network too, and correlate. Repeatable.", "NAME"),
    "plots": ("--plots", "Figures; default: svg if matplotlib is installed.", None),
    "subset": ("--subset", "Training images, drawn at random for each seed.", None),
}
"""Flag, meaning and placeholder of each option; a placeholder with a comma stands for several values in one text."""


@dataclass(frozen=True, kw_only=True)
class ExperimentOptions:
    """What every experiment is asked; each of the seeds replaces that of ``training``."""

    data: Path | None = None
    out: Path
    seeds: Sequence[int] = (0,)
    training: TrainingOptions

    @property
    def seeds_text(self) -> str:
        """The seeds, for headings."""
        return ", ".join(map(str, self.seeds))


@dataclass(frozen=True, kw_only=True)
class FigureOptions(ExperimentOptions):
    """What an experiment with figures is asked."""

    plots: PlotFormatName | None = None


@dataclass(frozen=True, kw_only=True)
class DetectionOptions(FigureOptions):
    """Measure how well wrong labels are found: every statistic and estimator, by noise and seed, against the truth."""

    data: Path = field()
    noises: Sequence[str] = ()
    paper_noise: bool = False
    noisy_labels: Sequence[Path] = ()
    truth: Path | None = None
    test: Path | None = None
    also_models: Sequence[str] = ()
    peers: bool = False


@dataclass(frozen=True, kw_only=True)
class KindsOptions(ExperimentOptions):
    """Measure how well wrong labels, corrupted images and clean samples are told apart, against the truth."""

    data: Path = field()
    mislabeled: float = 0.1
    shuffled: float = 0.05
    gaussian: float = 0.05
    images: int | None = None


@dataclass(frozen=True, kw_only=True)
class PrioritizationOptions(FigureOptions):
    """Measure what Selective Backprop and variance reduction gain on clean data and lose on corrupted data.

    Training options replace settings of the scale. --data can hold train/ and test/. Without it, scale smoke takes
    scikit-learn's digits.
    """

    test: Path | None = None
    scale: ScaleName = "small"
    data_sets: Sequence[str] = ()
    algorithms: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class RelabelingOptions(ExperimentOptions):
    """Measure what a review is worth: plant errors, audit, answer the suspicious list with the truth, relabel, audit.

    The data folder (default: scikit-learn's digits) stays as it is: --out gets copies of hard links.
    """

    noises: Sequence[str] = ("uniform:0.1",)
    rounds: int = 1


@dataclass(frozen=True, kw_only=True)
class RetrainingOptions(ExperimentOptions):
    """Measure the test error of networks retrained on noisy labels with the weights of an audit, by method.

    Training options are those of the retraining.
    """

    data: Path = field()
    test: Path = field()
    noises: Sequence[str] = ("uniform:0.4",)
    methods: Sequence[str] = ("standard", "labelaudit", "oracle")
    audit_epochs: int | None = None


@dataclass(frozen=True, kw_only=True)
class Table1Options(ExperimentOptions):
    """Train every robust method on the same noisy labels, and put the errors beside the AUL paper's Table 1.

    --data can hold train/ and test/; with 100 classes the paper's are those of CIFAR-100. Without it, scale smoke takes
    scikit-learn's digits. The default rows are the paper's, labelaudit, ELR and DivideMix.
    """

    test: Path | None = None
    scale: ScaleName = "small"
    noises: Sequence[str] = ()
    methods: Sequence[str] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    subset: int | None = None
