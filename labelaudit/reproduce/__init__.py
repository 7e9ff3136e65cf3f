"""The papers' tables and figures, and some of our own, measured on a data folder: a file for each experiment.

Here are their options, of which the command line is made; this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelaudit.names import PlotFormatName, ScaleName

if TYPE_CHECKING:
    from labelaudit.recipes.options import TrainingOptions

_DATA = "Folder with one folder of rightly labelled images per class."
_NETWORK = ("model", "image_size", "augment", "epochs", "batch_size", "lr", "weight_decay", "precision")
_AUDIT = ("probe", "preset", "pretrained", "weights_file", "offline", "fit", *_NETWORK, "controls", "members", "folds")


def _option(flag: str, text: str, metavar: str | None = None, *, default: Any = None, comma: bool = False) -> Any:
    """Return a field with what the command line says of it; ``comma``: several values are given as ``A,B``."""
    return field(default=default, metadata={"flag": flag, "help": text, "metavar": metavar, "comma": comma})


def _noise(default: tuple[str, ...] = ()) -> Any:
    text = "Errors to plant: uniform:0.2, pair-flip:0.1, random-labels:0.5, asymmetric:0.3:cat,dog, one-class:0.3:cat"
    shown = f"; default: {' '.join(default)}" if default else ""
    return _option("--noise", f"{text}{shown}. Repeatable.", "KIND:RATE[:CLASSES]", default=default)


def _scale() -> Any:
    text = "smoke: digits, under two minutes; small: some thousand images, a small network; paper: its own settings."
    return _option("--scale", text, default="small")


def _plots() -> Any:
    return _option("--plots", "Figures; default: svg if matplotlib is installed.")


@dataclass(frozen=True, kw_only=True)
class ExperimentOptions:
    """What every experiment is asked; ``training``'s seed is replaced by each of the seeds."""

    data: Path | None = _option("--data", _DATA)
    out: Path = _option("--out", "Gets the labels or copies, the audits, the trainings and the tables.")
    seeds: Sequence[int] = _option(
        "--seeds", "For the data, the planted errors and the trainings.", "N,N", default=(0,), comma=True
    )
    training: TrainingOptions

    @property
    def data_name(self) -> str:
        """Name of the data folder, for headings."""
        return "digits" if self.data is None else self.data.resolve().name or "root"

    @property
    def seeds_text(self) -> str:
        """The seeds, for headings."""
        return ", ".join(map(str, self.seeds))
