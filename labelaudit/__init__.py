"""labelaudit finds wrong labels in a folder of images.

    import labelaudit

    audit = labelaudit.audit("photos")
    audit.noise_rate
    audit.suspicious  # an Arrow table, the most suspicious first

Names are loaded when they are first used: importing the package does not import torch.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "audit.fit": ("Fitted", "fit"),
    "audit.model": ("Audit", "Data", "open_run"),
    "audit.options": ("TrainingOptions",),
    "audit.probe": ("train_probe",),
    "audit.score": ("audit", "score"),
    "detect.verdicts": ("FitSettings",),
    "errors": ("LabelauditError",),
    "report.exports.export": ("ExportOptions", "export"),
    "retrain.compare": ("compare",),
    "retrain.recipe": ("RetrainOptions", "retrain"),
    "run.layout": ("RunFolder",),
}
_HOME = {name: f"labelaudit.{module}" for module, names in _NAMES.items() for name in names}

if TYPE_CHECKING:
    from labelaudit.audit.fit import Fitted, fit
    from labelaudit.audit.model import Audit, Data, open_run
    from labelaudit.audit.options import TrainingOptions
    from labelaudit.audit.probe import train_probe
    from labelaudit.audit.score import audit, score
    from labelaudit.detect.verdicts import FitSettings
    from labelaudit.errors import LabelauditError
    from labelaudit.report.exports.export import ExportOptions, export
    from labelaudit.retrain.compare import compare
    from labelaudit.retrain.recipe import RetrainOptions, retrain
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


class FunctionPackage(ModuleType):
    """A package with the name of a function of the API: ``labelaudit.audit(…)``, ``labelaudit.retrain(…)``."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        name = self.__name__.rpartition(".")[2]
        return getattr(importlib.import_module(_HOME[name]), name)(*args, **options)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'labelaudit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
