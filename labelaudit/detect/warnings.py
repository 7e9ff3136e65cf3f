"""Where an audit's own assumptions fail, in words, each with what to do about it.

Shapes: N samples, K classes, Q cells.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from labelaudit.detect.curves import FloatArray
from labelaudit.detect.estimators import Estimate
from labelaudit.detect.evidence import Evidence
from labelaudit.detect.mixture import MIN_SCORES
from labelaudit.names import EstimatorName, StatisticName

BoolArray = npt.NDArray[np.bool_]

LOW_SEPARATION = 2.0
"""Ashman's D below which two Gaussians are not told apart."""

_FEW = 20
_WEAK = 0.5
_STRUCTURED = 0.6
_LEAST_CLASSES = 4
_LEAST_RATE = 0.01


def find_warnings(
    evidence: Evidence,
    estimate: Estimate | None,
    flagged_N: BoolArray,
    estimator: EstimatorName,
    rank_by: StatisticName,
) -> list[str]:
    """Every reason not to trust the figures.

    Args:
        evidence: Of N samples.
        estimate: The chosen estimator's, or None.
        flagged_N: The suspicious.
        estimator: Which was chosen.
        rank_by: What it ranks by.
    """
    seen_N = np.isfinite(evidence.statistics.suspicion(rank_by))
    if estimate is None:
        return [_nothing_fits(evidence, estimator, rank_by, evidence.statistics.suspicion(rank_by)[seen_N])]
    found = [
        _of_mixture(estimate, rank_by),
        _memorised(evidence.statistics.memorised_from) or _agreed(flagged_N, evidence.last_wrong_N),
        _weak(evidence, seen_N),
        _few(evidence, seen_N),
        _structured(evidence),
    ]
    return [text for text in found if text]


def _nothing_fits(evidence: Evidence, estimator: EstimatorName, rank_by: StatisticName, score: FloatArray) -> str:
    end = "There is no noise rate, and nothing is flagged."
    if estimator == "controls":
        if evidence.controls is None:
            return f"No controls were planted in this training. {end} Audit again with --controls."
        return f"Too few controls were planted. {end} Take another --estimator."
    few = len(score) < MIN_SCORES
    why = f"only {len(score)} samples have one" if few else "it has fewer than three different values"
    return f"No {estimator} fits the {rank_by}: {why}. {end}"


def _of_mixture(estimate: Estimate, rank_by: StatisticName) -> str | None:
    mixture = estimate.mixture
    if mixture is None:
        return None
    if mixture.modes == 1:
        return (
            f"The {rank_by} has one peak, not two: the mixture splits its tail off whether labels are wrong or not. "
            "The data may be clean; read the noise rate as an upper bound, or take --estimator confident-joint."
        )
    if mixture.separation < LOW_SEPARATION:
        return (
            f"The two groups overlap (separation {mixture.separation:.1f}, under {LOW_SEPARATION:.0f}): the noise rate "
            "is rough. More epochs or a stronger probe may part them."
        )
    return None


def _memorised(epoch: int | None) -> str | None:
    if epoch is None:
        return None
    return (
        f"From epoch {epoch} on the probe agrees with most of the labels that it had doubted: it learns them by "
        "heart. The default counts these epochs for little, AUM and the mixtures do not. Audit again with "
        f"--epochs {max(epoch - 1, 1)}."
    )


def _agreed(flagged_N: BoolArray, last_wrong_N: BoolArray) -> str | None:
    flagged = int(flagged_N.sum())
    if not flagged or (flagged_N & ~last_wrong_N).sum() <= 0.5 * flagged:
        return None
    return (
        "By its last epoch the probe agrees with most of the suspicious labels: either they are right but hard, "
        "or it has memorised them. Trust the ranking more than the noise rate, and look at the first rows."
    )


def _weak(evidence: Evidence, seen_N: BoolArray) -> str | None:
    wrong_rate = float(evidence.last_wrong_N[seen_N].mean())
    if wrong_rate <= _WEAK:
        return None
    return (
        f"The probe disagrees with {wrong_rate:.0%} of the labels in its last epoch: it has learned little, so "
        "hard images look like wrong labels. Train longer, or take a stronger probe (--preset, --model)."
    )


def _few(evidence: Evidence, seen_N: BoolArray) -> str | None:
    count = np.bincount(evidence.label_N[seen_N])
    few = int(((count > 0) & (count < _FEW)).sum())
    if not few:
        return None
    return (
        f"{few} of {int((count > 0).sum())} classes have fewer than {_FEW} images: the probe hardly knows them, and "
        "their labels are judged roughly. Look at them by hand, or join them to larger classes."
    )


def _structured(evidence: Evidence) -> str | None:
    """Errors that lie in a few cells: a rate measured on random flips would miss them."""
    joint = evidence.statistics.joint
    if joint.noise_rate < _LEAST_RATE or joint.classes < _LEAST_CLASSES or joint.structure <= _STRUCTURED:
        return None
    share_Q = np.sort(joint.share_Q[joint.given_Q != joint.true_Q])[::-1]
    half = int(np.searchsorted(share_Q.cumsum(), 0.5 * share_Q.sum())) + 1
    return (
        f"The errors are not spread evenly: half of them are between {half} of {joint.classes * (joint.classes - 1)} "
        "pairs of classes. Either these classes were confused when the data was labelled, or the probe cannot tell "
        "them apart: look at the most frequent pairs first."
    )
