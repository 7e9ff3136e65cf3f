"""How well an audit finds planted label errors: noise kind × rate × seed on a folder whose labels are right.

    python -m labelaudit.reproduce.detection DATA --out results --kind uniform --rates 0.05 0.2 0.4 --seeds 0 1

The images stay where they are: each setting is a labels file and a run folder below the output folder. A setting whose
run is finished is only read, so an interrupted table goes on where it stopped. The outcome is printed as a Markdown
table and written to detection.json.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from labelaudit.cells import csv_lines
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import scan
from labelaudit.data.noise import LabelArray, NoiseName, flip_labels
from labelaudit.detect.verdicts import FitSettings
from labelaudit.recipes.audits import Data
from labelaudit.recipes.fit import Fitted
from labelaudit.recipes.options import TrainingOptions
from labelaudit.recipes.score import score
from labelaudit.run.layout import RunFolder


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One audit against the truth.

    Attributes:
        noise, rate, seed: The setting; ``rate`` as realised.
        auroc: Probability that a planted error is ranked above a right label.
        average_precision: Area under the precision-recall curve.
        estimate: The audit's noise rate.
        precision: Share of planted errors among the suspicious.
        recall: Share of planted errors that are suspicious.
        suggestion: Share of planted errors whose suggested label is the true one.
        seconds: Wall time of the audit; 0 when it was only read.
    """

    noise: str
    rate: float
    seed: int
    auroc: float
    average_precision: float
    estimate: float
    precision: float
    recall: float
    suggestion: float
    seconds: float


def write_noisy_labels(
    catalogue: Catalogue, file: Path, *, kind: NoiseName, rate: float, seed: int, among: tuple[int, int] = (0, 1)
) -> None:
    """Write ``path,label`` with planted errors; equal arguments give equal files."""
    generator = np.random.default_rng([seed, round(rate * 1_000_000)])
    classes = len(catalogue.classes)
    given_N = flip_labels(catalogue.label_N, classes=classes, kind=kind, rate=rate, generator=generator, among=among)
    _write_labels(catalogue, given_N, file)


def write_truth(catalogue: Catalogue, file: Path) -> None:
    """Write ``path,label`` as the catalogue has them."""
    _write_labels(catalogue, catalogue.label_N, file)


def compare(fitted: Fitted, clean: Catalogue) -> dict[str, float]:
    """The figures of `Outcome` that come from the verdicts.

    Args:
        fitted: An audit of noisy labels.
        clean: The same images with their true labels.
    """
    noisy = fitted.catalogue
    true_N = clean.label_N
    used_N = np.isfinite(fitted.verdicts.p_mislabeled_N)
    wrong_N = (noisy.label_N != true_N)[used_N]
    suspicion_N = fitted.statistics.suspicion(fitted.noise["fit"]["rank_by"])[used_N]
    flagged_N = fitted.verdicts.p_mislabeled_N[used_N] > fitted.noise["flag_above"]
    hits = float((flagged_N & wrong_N).sum())
    suggested_N = (fitted.statistics.beliefs.alternative_N == true_N)[used_N]
    mixed = 0 < wrong_N.sum() < len(wrong_N)
    return {
        "rate": float(wrong_N.mean()),
        "auroc": float(roc_auc_score(wrong_N, suspicion_N)) if mixed else float("nan"),
        "average_precision": float(average_precision_score(wrong_N, suspicion_N)) if mixed else float("nan"),
        "estimate": float("nan") if fitted.noise["noise_rate"] is None else fitted.noise["noise_rate"],
        "precision": hits / max(1, int(flagged_N.sum())),
        "recall": hits / max(1, int(wrong_N.sum())),
        "suggestion": float(suggested_N[wrong_N].mean()) if mixed else float("nan"),
    }


def measure(
    clean: Catalogue,
    out: Path,
    *,
    kind: NoiseName,
    rate: float,
    seed: int,
    options: TrainingOptions,
    fit_settings: FitSettings,
    among: tuple[int, int] = (0, 1),
) -> Outcome:
    """Plant errors, audit, compare."""
    folder = out / f"{kind}-{rate:g}-seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    labels = folder / "labels.csv"
    if not labels.exists():
        write_noisy_labels(clean, labels, kind=kind, rate=rate, seed=seed, among=among)
    run = RunFolder(folder / "run")
    new = not run.noise.exists()
    began = time.perf_counter()
    fitted = score(Data(root=clean.root, labels_file=labels), run, options, fit_settings)
    seconds = time.perf_counter() - began if new else 0.0
    return Outcome(noise=kind, seed=seed, seconds=seconds, **compare(fitted, clean))


def as_markdown(outcomes: list[Outcome]) -> str:
    """A row per outcome."""
    names = [field.name for field in fields(Outcome)]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for outcome in outcomes:
        cells = [f"{value:.4f}" if isinstance(value, float) else str(value) for value in asdict(outcome).values()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _write_labels(catalogue: Catalogue, label_N: LabelArray, file: Path) -> None:
    with open(file, "w", encoding="utf-8", newline="") as handle:
        labels = (catalogue.classes[label] for label in label_N)
        handle.writelines(csv_lines(("path", "label"), zip(catalogue.paths, labels, strict=True)))


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description="How well an audit finds planted label errors")
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kind", choices=("uniform", "pair-flip"), default="uniform")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.05, 0.2, 0.4])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--preset", default=None)
    parser.add_argument("--probe", default=None)
    parser.add_argument("--model", default=None)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--rank-by", default="aul")
    parser.add_argument("--fit", default=None)
    parser.add_argument("--offline", action="store_true")
    asked = parser.parse_args()
    clean = scan(asked.data)
    outcomes = []
    for seed in asked.seeds:
        for rate in asked.rates:
            options = TrainingOptions(
                preset=asked.preset,
                probe=asked.probe,
                model=asked.model,
                epochs=asked.epochs,
                fit=asked.fit,
                offline=asked.offline,
                seed=seed,
            )
            outcomes.append(
                measure(
                    clean,
                    asked.out,
                    kind=asked.kind,
                    rate=rate,
                    seed=seed,
                    options=options,
                    fit_settings=FitSettings(rank_by=asked.rank_by),
                )
            )
            print(as_markdown(outcomes[-1:]).splitlines()[-1], flush=True)
    print(as_markdown(outcomes))
    (asked.out / "detection.json").write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=2) + "\n")


if __name__ == "__main__":
    main()
