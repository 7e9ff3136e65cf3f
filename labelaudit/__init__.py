"""labelaudit finds wrong labels in a folder of images.

    from pathlib import Path
    import labelaudit

    fitted = labelaudit.score(labelaudit.Data(root=Path("photos")), labelaudit.RunFolder(Path("audit")))
    fitted.noise["noise_rate"]
    print(fitted.csv(top=10))

Names are loaded when they are first used: importing the package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Data": "labelaudit.recipes.audits",
    "FitSettings": "labelaudit.detect.verdicts",
    "Fitted": "labelaudit.recipes.fit",
    "LabelauditError": "labelaudit.errors",
    "RetrainOptions": "labelaudit.recipes.retrain",
    "RunFolder": "labelaudit.run.layout",
    "TrainingOptions": "labelaudit.recipes.options",
    "fit": "labelaudit.recipes.fit",
    "retrain": "labelaudit.recipes.retrain",
    "score": "labelaudit.recipes.score",
    "train_probe": "labelaudit.recipes.probe",
}

if TYPE_CHECKING:
    from labelaudit.detect.verdicts import FitSettings
    from labelaudit.errors import LabelauditError
    from labelaudit.recipes.audits import Data
    from labelaudit.recipes.fit import Fitted, fit
    from labelaudit.recipes.options import TrainingOptions
    from labelaudit.recipes.probe import train_probe
    from labelaudit.recipes.retrain import RetrainOptions, retrain
    from labelaudit.recipes.score import score
    from labelaudit.run.layout import RunFolder

__all__ = [
    "Data",
    "FitSettings",
    "Fitted",
    "LabelauditError",
    "RetrainOptions",
    "RunFolder",
    "TrainingOptions",
    "__version__",
    "fit",
    "retrain",
    "score",
    "train_probe",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'labelaudit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
