"""Which pictures are corrupted: those whose statistics are like those of pictures of this data that were spoiled.

Nothing is trained on the spoiled pictures and nothing of the audit depends on them. What a rough or a blank picture is
follows from the data: for each spoiled kind, a logistic regression tells its copies from the pictures as they are.

Shapes: U pictures, P of which copies were spoiled, M spoiled kinds, S statistics, X of either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from labelaudit.names import SPOILED_KINDS

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

LEAST_PICTURES = 20
"""With fewer spoiled copies nothing is said."""

_FOLDS = 2
_ROUNDS = 2
_KINDS = len(SPOILED_KINDS)
_MOST_FITTED = 10_000
_FARTHEST = 10.0
"""Statistics count up to so many deviations from the middle: one odd picture must not turn a regression around."""

_TOO_DENSE = 1.5
"""Pictures are set aside in the second round where copies are so many times as dense as they are. If two thirds of the
pictures are like the copies, or more, that is what this data looks like."""

_FIRST_SHARE, _LARGEST_SHARE, _STEPS = 0.1, 0.99, 200
_LARGEST_EXPONENT = 50.0
_LEAST_SHARE = 1e-3
"""With less, single pictures would be missed; with this, 10 of 20,000 clean ones of Fashion-MNIST are called corrupted,
and none of CIFAR-10's (docs/kinds.md)."""

_CLOSE = 1e-3
_TINY = 1e-6


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What is known of the pictures of an audit.

    Attributes:
        sample_U: Their sample numbers.
        value_US: Their statistics; see `labelaudit.detect.pictures.picture_statistics`.
        spoiled_P: Which of them (positions in ``sample_U``) have spoiled copies.
        value_PMS: The statistics of the copies, one of each of `labelaudit.names.SPOILED_KINDS`.
        digest_U: Equal where the decoded pictures are equal.
    """

    sample_U: npt.NDArray[np.int32]
    value_US: npt.NDArray[np.float32]
    spoiled_P: npt.NDArray[np.int32]
    value_PMS: npt.NDArray[np.float32]
    digest_U: npt.NDArray[np.str_]


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """Which pictures look spoiled.

    Attributes:
        p_U: P(corrupted).
        score_U: The statistic that ranks; higher = more like a spoiled picture.
        rate: The estimated share of corrupted pictures.
        p_PM: P(corrupted) that each spoiled copy would be given.
    """

    p_U: FloatArray
    score_U: FloatArray
    rate: float
    p_PM: FloatArray


def find_corrupted(pictures: Pictures, generator: np.random.Generator) -> Corruption | None:
    """Compare every picture with the spoiled copies.

    A multinomial logistic regression on the statistics, with as much weight on each spoiled kind k as on the pictures
    as they are (0), gives likelihood ratios r_k(x) = f(x | k) / f(x | 0). The shares π of the kinds among the pictures
    are those at which π_k is the mean of P(k | x) = π_k r_k(x) / Σ_j π_j r_j(x) (Saerens, Latinne and Decaestecker
    2002), but at least one in a thousand each, so that a single one is found too. P(corrupted) = 1 − P(0 | x); the
    score is its log-odds.

    The pictures as they are have corrupted ones among them, so it is done twice, the second time without those that
    the first found. Each half of the pictures is judged by the regression of the other half, copies with their picture.

    Args:
        pictures: U pictures and the copies of P.
        generator: Draws the halves.

    Returns:
        None with fewer than twenty spoiled pictures.
    """
    if len(pictures.spoiled_P) < LEAST_PICTURES:
        return None
    value_US, value_PMS = _standardised(pictures)
    fold_U = generator.permutation(len(value_US)) % _FOLDS
    fold_P = generator.permutation(len(value_PMS)) % _FOLDS
    fold_U[pictures.spoiled_P] = fold_P
    own_U = np.ones(len(value_US), dtype=bool)
    for _ in range(_ROUNDS):
        ratio_UM, ratio_PMM = np.empty((len(value_US), _KINDS)), np.empty((*value_PMS.shape[:2], _KINDS))
        for fold in range(_FOLDS):
            inside_U, inside_P = fold_U == fold, fold_P == fold
            fitted = generator.permutation(np.flatnonzero(~inside_U & own_U))[:_MOST_FITTED]
            model = _fitted(value_US[fitted], value_PMS[~inside_P])
            ratio_UM[inside_U] = _log_ratios(model, value_US[inside_U])
            ratio_PMM[inside_P] = _log_ratios(model, value_PMS[inside_P])
        # By the ratio alone: of pictures that it was fitted on, the shares above would find none corrupted.
        own_U = ratio_UM.max(axis=1) < np.log(_TOO_DENSE)
        if own_U.sum() < LEAST_PICTURES:  # nothing tells copies from these pictures
            break
    share_M = _shares(ratio_UM)
    score_U = _log_odds(ratio_UM, share_M)
    p_U = _logistic(score_U)
    return Corruption(p_U=p_U, score_U=score_U, rate=float(p_U.mean()), p_PM=_logistic(_log_odds(ratio_PMM, share_M)))


def _standardised(pictures: Pictures) -> tuple[FloatArray, FloatArray]:
    """Statistics in deviations from the middle of the pictures as they are: [U, S] and [P, M, S]."""
    value_US, value_PMS = pictures.value_US.astype(np.float64), pictures.value_PMS.astype(np.float64)
    middle_S, deviation_S = np.median(value_US, axis=0), value_US.std(axis=0) + _TINY

    def standardised(value_XS: FloatArray) -> FloatArray:
        distance_XS: FloatArray = ((value_XS - middle_S) / deviation_S).clip(-_FARTHEST, _FARTHEST)
        return distance_XS

    return standardised(value_US), standardised(value_PMS)


def _fitted(value_XS: FloatArray, value_PMS: FloatArray) -> Any:
    """The regression that tells pictures as they are (0) from copies of kind k (k + 1)."""
    from sklearn.linear_model import LogisticRegression

    kind_PM = np.broadcast_to(np.arange(1, _KINDS + 1), value_PMS.shape[:2])
    value = np.concatenate([value_XS, value_PMS.reshape(-1, value_PMS.shape[-1])])
    kind = np.concatenate([np.zeros(len(value_XS), dtype=np.int64), kind_PM.ravel()])
    return LogisticRegression(class_weight="balanced", max_iter=1000).fit(value, kind)


def _log_ratios(model: Any, value_XS: FloatArray) -> FloatArray:
    """The logarithm of r_k(x) of each kind: [X, M]."""
    logit = model.decision_function(value_XS.reshape(-1, value_XS.shape[-1]))
    ratio: FloatArray = logit[:, 1:] - logit[:, :1]
    return ratio.reshape(*value_XS.shape[:-1], _KINDS)


def _shares(ratio_UM: FloatArray) -> FloatArray:
    """The share of each kind among the pictures, one in a thousand or more: [M]."""
    ratio_UM = np.exp(ratio_UM.clip(max=_LARGEST_EXPONENT))
    share_M = np.full(_KINDS, _FIRST_SHARE / _KINDS)
    for _ in range(_STEPS):
        weight_UM = ratio_UM * share_M
        before_M, share_M = share_M, (weight_UM / (1.0 - share_M.sum() + weight_UM.sum(axis=1))[:, None]).mean(axis=0)
        share_M = np.maximum(share_M, _LEAST_SHARE)
        share_M *= min(1.0, _LARGEST_SHARE / share_M.sum())
        if np.abs(share_M - before_M).max() < _CLOSE * _LEAST_SHARE:
            break
    return share_M


def _log_odds(ratio_XM: FloatArray, share_M: FloatArray) -> FloatArray:
    """The logarithm of Σ_k π_k r_k / π_0: [X]."""
    exponent_XM = ratio_XM + np.log(np.maximum(share_M, np.finfo(np.float64).tiny))
    odds: FloatArray = np.logaddexp.reduce(exponent_XM, axis=-1) - np.log(1.0 - share_M.sum())
    return odds


def _logistic(odds: FloatArray) -> FloatArray:
    p: FloatArray = 1.0 / (1.0 + np.exp(-odds.clip(-_LARGEST_EXPONENT, _LARGEST_EXPONENT)))
    return p
