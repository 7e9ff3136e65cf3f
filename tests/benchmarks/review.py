"""Measure the interval of a reviewed sample: how often it holds the truth, and how wide it is.

    python tests/benchmarks/review.py [--reviews 1000] [RUN:TRUTH.csv ...]

Each row is a data set whose wrong labels are known: made up here, or a run folder and a CSV ``path,label`` with the
right labels (a path that is missing there has a wrong one). Every review of 200 samples is drawn and estimated by
`labelaudit.detect.sample`, with the true answers. *Plain* is a simple random sample of the same size with the interval
of Clopper and Pearson.

Shapes: N samples.
"""

import csv
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Optional

import numpy as np
import typer
from scipy.special import expit
from scipy.stats import beta

from labelaudit.detect import BoolArray, FloatArray
from labelaudit.detect.sample import NONE, draw, estimate, recalibrate
from labelaudit.detect.theory import offset
from labelaudit.reproduce.truth import calibration_error
from labelaudit.run.tables import read_scores

Case = tuple[FloatArray, BoolArray]  # P(mislabeled) and whether the label is wrong
REVIEWED = 200
CALIBRATED = 50  # reviews of which the calibration error is measured: it varies little


def binormal(samples: int, rate: float, distance: float, *, mean: float | None = None, hidden: float = 0.0) -> Case:
    """Scores of right and wrong labels, two normal distributions; P is calibrated but for its mean.

    A share ``hidden`` of the wrong labels has the scores of right ones.
    """
    generator = np.random.default_rng(0)
    wrong_N = generator.random(samples) < rate
    score_N = generator.normal(size=samples) + distance * (wrong_N & (generator.random(samples) >= hidden))
    logit_N = distance * score_N
    return expit(logit_N + offset(logit_N, rate if mean is None else mean)), wrong_N


def mixed(samples: int, rate: float, right: tuple[float, float], wrong: tuple[float, float], hidden: float) -> Case:
    """P of right and wrong labels from beta distributions; a share ``hidden`` of the wrong ones has P of right ones."""
    generator = np.random.default_rng(1)
    wrong_N = generator.random(samples) < rate
    seen_N = wrong_N & (generator.random(samples) >= hidden)
    return np.where(seen_N, generator.beta(*wrong, samples), generator.beta(*right, samples)), wrong_N


def one_class() -> Case:
    """Half of the labels of one class of ten are wrong; P only knows the class."""
    generator = np.random.default_rng(2)
    of_class_N = generator.integers(0, 10, 20_000) == 0
    p_N = np.where(of_class_N, generator.beta(0.6, 1.0, 20_000), generator.beta(0.1, 4.0, 20_000))
    return p_N, of_class_N & (generator.random(20_000) < 0.5)


MADE_UP: dict[str, Callable[[], Case]] = {
    "like aggregate, P too low": lambda: binormal(50_000, 0.09, 2.35, mean=0.065, hidden=0.02),
    "like random1, P too low": lambda: binormal(50_000, 0.172, 2.6, mean=0.131, hidden=0.02),
    "like worst, P too low": lambda: binormal(50_000, 0.40, 2.3, mean=0.34, hidden=0.03),
    "uniform 10%": lambda: binormal(50_000, 0.10, 5.0, hidden=0.01),
    "uniform 40%": lambda: binormal(50_000, 0.40, 4.2, hidden=0.01),
    "pair flip 20%": lambda: binormal(50_000, 0.20, 3.0, mean=0.19),
    "rare, 0.3%": lambda: binormal(50_000, 0.003, 3.0, mean=0.01, hidden=0.3),
    "clean, 50,000": lambda: binormal(50_000, 0.0, 4.0, mean=0.01),
    "clean, 725, look-alikes": lambda: mixed(725, 0.0, (0.06, 1.0), (1.0, 1.0), 0.0),
    "half of the errors unseen, 1,471": lambda: mixed(1_471, 0.129, (0.03, 3.0), (0.5, 1.2), 0.5),
    "all errors in one class": one_class,
    "P upside down": lambda: (1.0 - (case := binormal(50_000, 0.09, 2.35, mean=0.065))[0], case[1]),
    "P constant, 10%": lambda: (np.full(5_000, 0.1), np.random.default_rng(3).random(5_000) < 0.1),
}


def read_case(run: Path, truth: Path) -> Case:
    """Read P(mislabeled) of a run and which labels are wrong."""
    table = read_scores(run / "scores.parquet")
    with open(truth, encoding="utf-8", newline="") as handle:
        label_of = {row["path"]: row["label"] for row in csv.DictReader(handle)}
    columns = (table.column(name).to_pylist() for name in ("path", "given_label", "p_mislabeled"))
    rows = [(p, label_of.get(path) != given) for path, given, p in zip(*columns, strict=True) if p is not None]
    return np.array([p for p, _ in rows]), np.array([wrong for _, wrong in rows])


def measure(case: Case, reviews: int, seed: int) -> list[str]:
    """Return the cells of a row: rate, coverage and half-width of the sample and of a plain one, calibration error."""
    p_N, wrong_N = case
    order_S, truth = np.argsort(-p_N, kind="stable"), wrong_N.mean()
    held, width, plain_held, plain_width, error = np.zeros((5, reviews))
    for review in range(reviews):
        generator = np.random.default_rng([seed, review])
        design = draw(p_N, order_S, generator)
        answer_N = np.full(len(p_N), NONE, dtype=np.int32)
        sample = design.order_S[:REVIEWED]
        answer_N[sample] = wrong_N[sample]
        found = estimate(design, answer_N, generator)
        low, high = found.interval
        held[review], width[review] = low - 1e-9 <= truth <= high + 1e-9, (high - low) / 2
        if review < CALIBRATED:
            error[review] = calibration_error(wrong_N, recalibrate(p_N, design, answer_N, found.rate))
        k, n = wrong_N[generator.choice(len(p_N), len(sample), replace=False)].sum(), len(sample)
        low, high = (beta.ppf(0.025, k, n - k + 1) if k else 0.0), (beta.ppf(0.975, k + 1, n - k) if k < n else 1.0)
        plain_held[review], plain_width[review] = low <= truth <= high, (high - low) / 2
    figures = held.mean(), width.mean(), plain_held.mean(), plain_width.mean()
    cells = [f"{len(p_N):,}", f"{truth:.3f}", f"{figures[0]:.3f}", f"±{figures[1]:.4f}"]
    cells += [f"{figures[2]:.3f}", f"±{figures[3]:.4f}", f"{calibration_error(wrong_N, p_N):.3f}"]
    return [*cells, f"{error[:CALIBRATED].mean():.3f}"]


def main(
    runs: Annotated[Optional[list[str]], typer.Argument(metavar="RUN:TRUTH.csv")] = None, reviews: int = 1000
) -> None:
    """Print the table as Markdown."""
    cases = dict(MADE_UP)
    for text in runs or ():
        run, _, truth = text.rpartition(":")
        cases[run] = lambda run=run, truth=truth: read_case(Path(run), Path(truth))
    print("| labels | images | wrong | held | half-width | plain: held | half-width | ECE before | after |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, make in cases.items():
        row = measure(make(), reviews, zlib.crc32(name.encode()))
        print(f"| {' | '.join([name, *row])} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
