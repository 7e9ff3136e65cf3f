"""Audit sample data whose errors are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score, roc_auc_score

from labelaudit.auditing.model import Audit
from labelaudit.auditing.score import audit
from labelaudit.data.noise import flip_labels
from labelaudit.errors import DataError
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.files import storage_errors, write_lines
from labelaudit.text import csv_lines

PLANTED_RATE = 0.1


def write_digits(folder: Path, *, rate: float, seed: int) -> frozenset[str]:
    """Write the digits as 8 × 8 PNG below ``images/``, a share ``rate`` of them into the folder of a wrong class.

    Which ones and where is drawn uniformly, written to ``truth.csv`` (``path,label,given``), and of the wrong ones the
    paths are returned. Equal arguments give equal files.
    """
    digits = load_digits()
    label_N = digits.target.astype(np.int32)
    given_N = flip_labels(label_N, classes=10, kind="uniform", rate=rate, generator=np.random.default_rng(seed))
    rows = []
    for number, (image, label, given) in enumerate(zip(digits.images, label_N, given_N, strict=True)):
        path = f"{given}/{number:04d}.png"
        _write_digit(image, folder / "images" / path)
        rows.append((path, str(label), str(given)))
    write_lines(folder / "truth.csv", csv_lines(("path", "label", "given"), sorted(rows)))
    return frozenset(path for path, label, given in rows if label != given)


def write_digits_split(folder: Path) -> tuple[Path, Path]:
    """Write the rightly labeled digits as ``train/<digit>/`` and ``test/<digit>/``, every fourth one to the latter."""
    digits = load_digits()
    folders = folder / "train", folder / "test"
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        _write_digit(image, folders[number % 4 == 3] / str(label) / f"{number:04d}.png")
    return folders


def _write_digit(image: npt.NDArray[np.float64], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(image * 16, 0, 255).astype(np.uint8)).save(file)


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """An audit compared with the truth; ``found`` is the number of ``planted`` errors among the suspicious."""

    audit: Audit
    planted: int
    auroc: float
    average_precision: float
    found: int


def demo(folder: Path, *, seed: int = 0, device: str = "auto", reporter: Reporter = QUIET) -> DemoResult:
    """Write the digits with planted errors to ``images/`` and ``truth.csv``, audit them, and compare with the truth.

    A ``folder`` that is not new, empty or of an earlier demo is a DataError.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "truth.csv").exists():
        raise DataError(f"{folder} holds other files", fix="give a new folder for the demo")
    with storage_errors(folder):
        wrong = write_digits(folder, rate=PLANTED_RATE, seed=seed)
    reporter.say(f"Wrote 1,797 digits to {folder / 'images'}; {len(wrong)} of them lie in a wrong class folder")
    found = audit(folder / "images", run=folder / "audit", seed=seed, device=device, reporter=reporter)
    wrong_N = np.array([path in wrong for path in found.catalogue.paths])
    return DemoResult(
        audit=found,
        planted=len(wrong),
        auroc=float(roc_auc_score(wrong_N, found.column("log_odds"))),
        average_precision=float(average_precision_score(wrong_N, found.column("log_odds"))),
        found=int(wrong_N[found.flagged_S].sum()),
    )
