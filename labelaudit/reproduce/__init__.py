"""The papers' tables and figures, and some of our own, measured on a data folder; here are the experiments' options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from labelaudit.auditing.options import TrainingOptions, option
from labelaudit.names import ScaleName

_MEASURED = "Measured"
_measured = partial(option, panel=_MEASURED)


def _several(meaning: str, *flags: str, metavar: str, **default: Any) -> Any:
    """Return a field of several values: in one text where the placeholder has a comma, else the option is repeated."""
    repeated = "" if "," in metavar else " Repeatable."
    return _measured(meaning + repeated, *flags, metavar=metavar, **(default or {"default": ()}))


@dataclass(frozen=True, kw_only=True)
class ExperimentOptions:
    """What experiments are asked; each takes some of it. Each of the seeds replaces that of ``training``."""

    name: str
    data: Path | None = option("Folder with one folder of rightly labeled images per class.", panel=None)
    out: Path = option(
        "Gets the labels or copies, the audits, the trainings and the tables.", panel=None, default=MISSING
    )
    seeds: Sequence[int] = _several("For the data, the errors and the trainings.", metavar="N,N", default=(0,))
    test: Path | None = option("Test images, one folder per class.", panel=None)
    training: TrainingOptions
    scale: ScaleName = option(
        "smoke: digits, two minutes; small: some thousand images; paper: its own settings.",
        panel=_MEASURED,
        default="small",
    )
    noises: Sequence[str] = _several(
        "Errors to plant: uniform:0.2, pair-flip:0.1, random-labels:0.5, asymmetric:0.3:cat,dog, one-class:0.3:cat.",
        "--noise",
        metavar="KIND:RATE[:CLASSES]",
    )
    paper_noise: bool = _measured(
        "The AUL paper's Figures 7 and 9: uniform 10 to 90%, pair flip 10 to 40%.", default=False
    )
    noisy_labels: Sequence[Path] = _several("CSV with the columns path,label: given labels to audit.", metavar="PATH")
    truth: Path | None = option(
        "CSV with the columns path,label: right labels; default: the class folders.", panel=_MEASURED
    )
    also_models: Sequence[str] = _several("Audit with this network too, and correlate.", "--also-model", metavar="NAME")
    peers: bool = _measured("cleanlab and AUM beside it: six more trainings an audit.", default=False)
    data_sets: Sequence[str] = _several(
        "clean, or random-labels, shuffle-pixels, gaussian with :0.25 or :0.5; default: all.",
        "--data-set",
        metavar="NAME",
    )
    algorithms: Sequence[str] = _several(
        "standard, sb-50, sb-33, sbe-50, vr-33 or vr-50; default: all.", "--algorithm", metavar="NAME"
    )
    methods: Sequence[str] = _several(
        "Rows: labelaudit methods, and labelaudit: aul by the default audit.", metavar="NAME,NAME"
    )
    parameters: Mapping[str, object] = _several(
        "A parameter of a row's method.", "-P", metavar="ROW.NAME=VALUE", default_factory=dict
    )
    subset: int | None = _measured("Training images, drawn at random for each seed.")

    @property
    def seeds_text(self) -> str:
        """The seeds, for headings."""
        return ", ".join(map(str, self.seeds))
