"""What the weights are worth: test error of networks retrained on noisy labels, by method and seed.

    python -m labelaudit.reproduce.retraining TRAIN TEST --out results --rate 0.4 --methods standard aul oracle

TRAIN and TEST hold one folder per class, with right labels. Errors are planted in the training labels, an audit with
default settings gives the weights, and every method trains the same network, to which alone the options of training
apply. The outcome is a Markdown table and retraining.json; what is there already is not trained again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from labelaudit.audit.model import Data
from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.score import score
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import scan
from labelaudit.data.noise import NoiseName
from labelaudit.methods.table import find_method
from labelaudit.reproduce.detection import write_noisy_labels, write_truth
from labelaudit.retrain.recipe import RetrainOptions, retrain
from labelaudit.run.layout import RunFolder

_TRAINING: dict[str, type] = {
    "preset": str,
    "model": str,
    "epochs": int,
    "batch_size": int,
    "lr": float,
    "weight_decay": float,
    "schedule": str,
    "augment": str,
}


def retrain_all(
    clean: Catalogue,
    test: Path,
    out: Path,
    *,
    kind: NoiseName,
    rate: float,
    seed: int,
    methods: list[str],
    audit: TrainingOptions,
    retraining: TrainingOptions,
) -> dict[str, float]:
    """Plant errors, audit, retrain with every method.

    Returns:
        Test error after the last epoch, by method.
    """
    folder = out / f"{kind}-{rate:g}-seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    labels, truth = folder / "labels.csv", folder / "truth.csv"
    write_noisy_labels(clean, labels, kind=kind, rate=rate, seed=seed)
    write_truth(clean, truth)
    data, run = Data(root=clean.root, labels_file=labels), RunFolder(folder / "run")
    score(data, run, audit)
    errors = {}
    for method in methods:
        needs_weights = "weights" in find_method(method).needs
        asked = RetrainOptions(
            method=method,
            weights_csv=run.weights_csv if needs_weights else None,
            truth_csv=truth,
            audit=run.root,
            validation=test,
            training=retraining,
        )
        result = retrain(data, run.retraining(method, seed), asked)
        errors[method] = float(result["metrics"]["validation_error"])
        print(f"{kind} {rate:g} seed {seed} {method}: {errors[method]:.4f}", flush=True)
    return errors


def as_markdown(table: list[dict[str, Any]], methods: list[str]) -> str:
    """Mean and standard deviation of the test error over the seeds, a row per method."""
    lines = ["| method | test error, % | seeds |", "|---|---|---|"]
    for method in methods:
        error_S = 100 * np.array([row[method] for row in table])
        lines.append(f"| {method} | {error_S.mean():.2f} ± {error_S.std():.2f} | {len(error_S)} |")
    return "\n".join(lines)


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description="Test error of networks retrained on noisy labels")
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kind", choices=("uniform", "pair-flip"), default="uniform")
    parser.add_argument("--rate", type=float, default=0.4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=["standard", "aul", "oracle"])
    parser.add_argument("--audit-epochs", type=int, default=None)
    training = parser.add_argument_group("the retraining", "defaults: those of labelaudit retrain")
    for name, kind in _TRAINING.items():
        training.add_argument(f"--{name.replace('_', '-')}", type=kind, default=None)
    asked = parser.parse_args()
    wanted = {name: getattr(asked, name) for name in _TRAINING}
    clean = scan(asked.train)
    table = []
    for seed in asked.seeds:
        errors = retrain_all(
            clean,
            asked.test,
            asked.out,
            kind=asked.kind,
            rate=asked.rate,
            seed=seed,
            methods=asked.methods,
            audit=TrainingOptions(probe="train", epochs=asked.audit_epochs, seed=seed),
            retraining=TrainingOptions(probe="train", seed=seed, **wanted),
        )
        table.append({"seed": seed, **errors})
    print(as_markdown(table, asked.methods))
    (asked.out / "retraining.json").write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
