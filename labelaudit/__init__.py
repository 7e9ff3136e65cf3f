"""labelaudit finds wrong labels in a folder of images.

    import labelaudit

    audit = labelaudit.audit("photos")
    audit.noise_rate
    audit.suspicious  # an Arrow table, the most suspicious first

Names are loaded when they are first used: importing the package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Audit": "labelaudit.recipes.results",
    "Data": "labelaudit.recipes.audits",
    "ExportOptions": "labelaudit.report.exports.export",
    "FitSettings": "labelaudit.detect.verdicts",
    "Fitted": "labelaudit.recipes.fit",
    "LabelauditError": "labelaudit.errors",
    "RetrainOptions": "labelaudit.recipes.retrain",
    "RunFolder": "labelaudit.run.layout",
    "TrainingOptions": "labelaudit.recipes.options",
    "audit": "labelaudit.recipes.results",
    "compare": "labelaudit.recipes.compare",
    "export": "labelaudit.report.exports.export",
    "fit": "labelaudit.recipes.fit",
    "open_run": "labelaudit.recipes.results",
    "retrain": "labelaudit.recipes.retrain",
    "score": "labelaudit.recipes.score",
    "train_probe": "labelaudit.recipes.probe",
}

if TYPE_CHECKING:
    from labelaudit.detect.verdicts import FitSettings
    from labelaudit.errors import LabelauditError
    from labelaudit.recipes.audits import Data
    from labelaudit.recipes.compare import compare
    from labelaudit.recipes.fit import Fitted, fit
    from labelaudit.recipes.options import TrainingOptions
    from labelaudit.recipes.probe import train_probe
    from labelaudit.recipes.results import Audit, audit, open_run
    from labelaudit.recipes.retrain import RetrainOptions, retrain
    from labelaudit.recipes.score import score
    from labelaudit.report.exports.export import ExportOptions, export
    from labelaudit.run.layout import RunFolder

__all__ = [
    "Audit",
    "Data",
    "ExportOptions",
    "FitSettings",
    "Fitted",
    "LabelauditError",
    "RetrainOptions",
    "RunFolder",
    "TrainingOptions",
    "__version__",
    "audit",
    "compare",
    "export",
    "fit",
    "open_run",
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
