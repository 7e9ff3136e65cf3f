"""How well images of no class are found: images of withheld classes are put into other classes, and looked for.

    python tests/benchmarks/outliers.py lookalikes14 --work DIR --shares .01,.05 --seeds 0,1
    python tests/benchmarks/outliers.py fashion/train --work DIR --shares 0 --seeds 0     # how many of none are found

A quarter of the classes is withheld, or none at share 0. P(no class) is compared with its parts and with other scores
on the same embeddings and held-out heads; cleanlab's are its two out-of-distribution scores (pip install cleanlab).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
import typer
from sklearn.metrics import average_precision_score, roc_auc_score

from labelaudit.auditing.model import open_run, read_courses, read_curves
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import plan
from labelaudit.auditing.prepare import Source, prepare
from labelaudit.auditing.score import audit
from labelaudit.detect.noclass import evenness
from labelaudit.engine.inputs import FeatureInputs
from labelaudit.progress import QUIET
from labelaudit.report.markdown import table

FloatArray = npt.NDArray[np.floating]


def plant(data: Path, out: Path, share: float, seed: int, flips: float) -> npt.NDArray[np.bool_]:
    """Link the images of three quarters of the classes, and foreign ones with a random label; return which are those.

    A share ``flips`` of the others gets another label. The order is that of the paths.
    """
    generator = np.random.default_rng(seed)
    names = sorted(path.name for path in data.iterdir() if path.is_dir())
    away = set(generator.choice(names, max(2, len(names) // 4), replace=False).tolist()) if share else set()
    kept = [name for name in names if name not in away]
    own = [(path, name) for name in kept for path in sorted((data / name).iterdir())]
    foreign = [path for name in sorted(away) for path in sorted((data / name).iterdir())]
    turned = set(generator.choice(len(own), int(flips * len(own)), replace=False).tolist())
    chosen = generator.choice(len(foreign), min(int(share * len(own)), len(foreign)), replace=False) if share else []
    places: dict[str, bool] = {}
    for number, (path, name) in enumerate(own):
        label = str(generator.choice([each for each in kept if each != name])) if number in turned else name
        places[_link(path, out / label / f"{name}-{path.name}")] = False
    for number in np.sort(chosen):
        path = foreign[number]
        places[_link(path, out / str(generator.choice(kept)) / f"{path.parent.name}-{path.name}")] = True
    return np.array([places[path] for path in sorted(places, key=lambda path: path.removeprefix(str(out)))])


def _link(path: Path, to: Path) -> str:
    to.parent.mkdir(parents=True, exist_ok=True)
    os.link(path, to)
    return str(to)


def scores_of(root: Path, run: Path) -> dict[str, FloatArray]:
    """Audit a folder, and return scores that are high for images of no class."""
    found = open_run(audit(root, run=run, probe="frozen").run.root)
    catalogue, classes = found.catalogue, len(found.catalogue.classes)
    settings = plan(catalogue, TrainingOptions(probe="frozen"), torch.device("cpu")).settings
    inputs = prepare(catalogue, settings, Source(device=torch.device("cpu")), QUIET).inputs
    assert isinstance(inputs, FeatureInputs)
    unit_ND = inputs.feature_ND / np.linalg.norm(inputs.feature_ND, axis=1, keepdims=True)
    nearest_NK = np.sort(unit_ND @ unit_ND.T, axis=1)[:, -11:-1]
    course, _ = read_courses(found.run)
    beliefs = read_curves(found.run, course, catalogue).beliefs
    images = pq.read_table(found.run.pictures).to_pylist()
    scores: dict[str, FloatArray] = {
        "P(no class)": found.column("p_no_class"),
        "distance to the nearest class": np.array([row["class_distance"] for row in images if not row["spoiled"]]),
        "entropy of the held-out heads": evenness(beliefs, classes),
        "distance to 10 neighbors": 1.0 - nearest_NK.mean(axis=1),
        "P(mislabeled)": found.column("p_mislabeled"),
    }
    try:
        from cleanlab.outlier import OutOfDistribution
    except ImportError:
        return scores
    p_NK = np.repeat(beliefs.rest_N[:, None], classes, axis=1)
    for class_N, belief_N in zip(beliefs.class_MN, beliefs.other_MN, strict=True):
        known = np.flatnonzero(class_N >= 0)
        p_NK[known, class_N[known]] = belief_N[known]
    p_NK[np.arange(len(p_NK)), catalogue.label_N] = beliefs.given_N
    p_NK /= p_NK.sum(axis=1, keepdims=True)
    given = {"features": {"features": inputs.feature_ND}, "probabilities": {"pred_probs": p_NK}}
    given["probabilities"]["labels"] = catalogue.label_N
    for name, of in given.items():
        scores[f"cleanlab, by {name}"] = 1.0 - OutOfDistribution().fit_score(verbose=False, **of)
    return scores


def main(
    data: Path, work: Path = Path("outliers"), shares: str = ".01,.05", seeds: str = "0,1", flips: float = 0.0
) -> None:
    """Print AUROC/average precision of each score, and what P(no class) > .5 finds."""
    for share in map(float, shares.split(",")):
        rows: dict[str, list[tuple[float, float]]] = {}
        found, wrongly = [], []
        for seed in map(int, seeds.split(",")):
            place = work / f"{data.name}-{share}-{seed}-{flips}"
            is_foreign_N = plant(data, place / "images", share, seed, flips)
            scores = scores_of(place / "images", place / "run")
            p_N = scores["P(no class)"]
            wrongly.append(float((p_N[~is_foreign_N] > 0.5).mean()))
            if share:
                found.append(float((p_N[is_foreign_N] > 0.5).mean()))
                for name, score_N in scores.items():
                    figures = roc_auc_score(is_foreign_N, score_N), average_precision_score(is_foreign_N, score_N)
                    rows.setdefault(name, []).append((float(figures[0]), float(figures[1])))
        lines = [[name, *(f"{value:.3f}" for value in np.mean(pairs, axis=0))] for name, pairs in rows.items()]
        said = f"found {np.mean(found):.0%}, " if found else ""
        print(f"\n{data}, {share:.0%} foreign, {flips:.0%} flipped: {said}of the others {np.mean(wrongly):.2%}\n")
        print("\n".join(table(("score", ">AUROC", ">average precision"), lines) if lines else ()), flush=True)


if __name__ == "__main__":
    typer.run(main)
