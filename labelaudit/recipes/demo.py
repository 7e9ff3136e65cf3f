"""A whole audit on sample data whose errors are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from labelaudit.data.digits import DigitsFolder, write_digits
from labelaudit.errors import DataError
from labelaudit.progress import QUIET, Reporter
from labelaudit.recipes.audits import Data
from labelaudit.recipes.fit import Fitted
from labelaudit.recipes.options import TrainingOptions
from labelaudit.recipes.score import score
from labelaudit.run.files import storage_errors
from labelaudit.run.layout import RunFolder

PLANTED_RATE = 0.1


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the audit found, against the truth.

    Attributes:
        digits: The data.
        run: The audit's run folder.
        fitted: Its verdicts.
        auroc: Probability that a planted error is ranked above a right label.
        average_precision: Area under the precision-recall curve.
        found: Planted errors among the suspicious.
    """

    digits: DigitsFolder
    run: RunFolder
    fitted: Fitted
    auroc: float
    average_precision: float
    found: int


def demo(folder: Path, *, seed: int = 0, device: str = "auto", reporter: Reporter = QUIET) -> DemoResult:
    """Write the digits with planted errors, audit them, and compare.

    Args:
        folder: Gets ``images/``, ``truth.csv`` and ``audit/``; new, empty, or that of an earlier demo.
        seed: For the planted errors and the probe.
        device: Where the probe is trained.
        reporter: Told about the progress.

    Raises:
        DataError: the folder holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "truth.csv").exists():
        raise DataError(f"{folder} holds other files", fix="give a new folder to the demo")
    with storage_errors(folder):
        digits = write_digits(folder, rate=PLANTED_RATE, seed=seed)
    reporter.say(f"Wrote 1,797 digits to {digits.images}; {len(digits.wrong)} of them lie in a wrong class folder")
    run = RunFolder(folder / "audit")
    fitted = score(Data(root=digits.images), run, TrainingOptions(seed=seed, device=device), reporter=reporter)
    wrong_N = np.array([path in digits.wrong for path in fitted.catalogue.paths])
    suspicion_N = fitted.statistics.suspicion(fitted.noise["fit"]["rank_by"])
    flagged = fitted.verdicts.order[: fitted.verdicts.flagged]
    return DemoResult(
        digits=digits,
        run=run,
        fitted=fitted,
        auroc=float(roc_auc_score(wrong_N, suspicion_N)),
        average_precision=float(average_precision_score(wrong_N, suspicion_N)),
        found=int(wrong_N[flagged].sum()),
    )
