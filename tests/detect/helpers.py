"""Scores and statistics that the tests of `labelaudit.detect` share."""

import numpy as np

from labelaudit.detect.confident import Beliefs, confident_joint
from labelaudit.detect.curves import STATISTICS, SUSPICIOUS_WHEN_LOW, CurveStatistics
from labelaudit.detect.transition import fit_transition
from labelaudit.detect.verdicts import Verdicts


def two_groups(clean=6000, wrong=4000, *, gap=6.0, wrong_std=1.5, seed=0):
    """Scores N(0, 1) of clean samples, followed by N(gap, wrong_std²) of mislabeled ones."""
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.normal(0, 1, clean), generator.normal(gap, wrong_std, wrong)])


def beliefs_of(given, classes, other, rest=0.0):
    given_N, other_MN = np.array(given, dtype=float), np.array(other, dtype=float)
    rest_N = np.broadcast_to(rest, given_N.shape)
    return Beliefs(given_N=given_N, class_MN=np.array(classes, dtype=np.int32), other_MN=other_MN, rest_N=rest_N)


def beliefs_in(belief_KN, label_N, slots=4):
    """Beliefs with so many other classes, the rest spread evenly over those without a slot."""
    classes, row_N = len(belief_KN), np.arange(len(label_N))
    slots = min(slots, classes - 1)
    other_KN = belief_KN.copy()
    other_KN[label_N, row_N] = -1.0
    class_MN = np.argsort(-other_KN, axis=0)[:slots]
    given_N, other_MN = belief_KN[label_N, row_N], np.take_along_axis(belief_KN, class_MN, 0)
    rest_N = (1 - given_N - other_MN.sum(axis=0)).clip(min=0) / max(classes - 1 - slots, 1)
    return beliefs_of(given_N, class_MN, other_MN, rest_N)


def favorite(beliefs):
    """The most believed other class of each sample; −1 where there is none."""
    best_N = np.nan_to_num(beliefs.other_MN, nan=-1.0).argmax(axis=0)
    return beliefs.class_MN[best_N, np.arange(len(best_N))].tolist()


def certain(label_N, true_N):
    """The beliefs of a probe that knows the truth."""
    right_N = label_N == true_N
    return beliefs_of(
        np.where(right_N, 1.0, 0.0), np.where(right_N, -1, true_N)[None], np.where(right_N, 0.0, 1.0)[None]
    )


def statistics_of(aul_N, last_wrong_N=None, *, label_N=None, beliefs=None, classes=2, **others):
    """Statistics with these AULs; the rest follows from them unless it is given.

    All samples are of class 0, the beliefs in which are like the AULs' unless they are given; the last epoch was wrong
    above an AUL of 3.
    """
    aul_N = np.asarray(aul_N, dtype=np.float64)
    label_N = np.zeros(len(aul_N), dtype=np.int32) if label_N is None else label_N
    if beliefs is None:
        given_N = np.where(np.isfinite(aul_N), 1 / (1 + np.exp(np.clip(aul_N - 3, -30, 30))), np.nan)
        beliefs = beliefs_of(given_N, [1 - np.minimum(label_N, 1)], [1 - given_N])
    values = {f"{name}_N": -aul_N if name in SUSPICIOUS_WHEN_LOW else aul_N for name in STATISTICS}
    transition = fit_transition(label_N, [beliefs], classes)
    values |= {"beliefs": beliefs, "joint": confident_joint(label_N, beliefs, classes), "transition": transition}
    values |= {"log_odds_N": transition.log_odds_N, "epochs": 1, "label_N": label_N}
    values |= {"last_wrong_N": np.nan_to_num(aul_N, nan=-1.0) > 3 if last_wrong_N is None else last_wrong_N}
    return CurveStatistics(**{**values, **others})


def verdicts_with(p_N, order):
    """Verdicts with these probabilities; in this order, where they are equal."""
    p_N = np.array(p_N, dtype=np.float64)
    suspicion_N = np.full(len(p_N), np.nan)
    suspicion_N[order] = -np.arange(len(order))
    found = {"p_mislabeled_N": p_N, "raw_posterior_N": p_N, "weight_N": 1 - np.nan_to_num(p_N, nan=1.0)}
    found |= {"suspicion_N": suspicion_N, "noise_rate": 0.2, "interval": (0.1, 0.3)}
    return Verdicts(**found, estimates={}, review=(), warnings=[])
