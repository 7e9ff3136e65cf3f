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

__version__ = "0.2.0"

_NAMES = {
    "auditing.fit": ("Fitted", "fit"),
    "auditing.model": ("Audit", "Data", "open_run"),
    "auditing.options": ("TrainingOptions",),
    "auditing.probe": ("train_probe",),
    "auditing.score": ("audit",),
    "detect.verdicts": ("FitSettings",),
    "errors": ("LabelauditError",),
    "report.exports.export": ("ExportOptions", "export"),
    "retraining.compare": ("compare",),
    "retraining.recipe": ("RetrainOptions", "retrain"),
    "run.layout": ("RunFolder",),
}
_HOME = {name: f"labelaudit.{module}" for module, names in _NAMES.items() for name in names}

if TYPE_CHECKING:
    from labelaudit.auditing.fit import Fitted, fit
    from labelaudit.auditing.model import Audit, Data, open_run
    from labelaudit.auditing.options import TrainingOptions
    from labelaudit.auditing.probe import train_probe
    from labelaudit.auditing.score import audit
    from labelaudit.detect.verdicts import FitSettings
    from labelaudit.errors import LabelauditError
    from labelaudit.report.exports.export import ExportOptions, export
    from labelaudit.retraining.compare import compare
    from labelaudit.retraining.recipe import RetrainOptions, retrain
    from labelaudit.run.layout import RunFolder

__all__ = ["Audit", "Data", "ExportOptions", "FitSettings", "Fitted", "LabelauditError", "RetrainOptions", "RunFolder"]
__all__ += ["TrainingOptions", "__version__", "audit", "compare", "export", "fit", "open_run", "retrain", "train_probe"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'labelaudit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
