"""Planted controls: labels made wrong on purpose, whose scores show what wrong labels look like in this training.

Shapes: N samples, P planted controls, U samples that are no controls, M slots, Q cells, G thresholds, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labelaudit.detect.confident import Beliefs, ConfidentJoint
from labelaudit.names import CONTROL_KINDS, ControlKind

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int32]

_MOST_OF_A_CLASS = 0.1
_LEAST_TAIL, _MOST_TAIL, _THRESHOLDS = 0.2, 0.95, 16
_LEAST_CONTROLS = 5
_RESAMPLES = 400
_INTERVAL = (0.05, 0.95)


@dataclass(frozen=True, kw_only=True)
class Controls:
    """Which samples are trained with a label that is not the given one.

    Attributes:
        kind_N: Index into `labelaudit.names.CONTROL_KINDS`; −1 for a sample that is no control.
        label_N: The label that is taught: the given one, except for controls.
    """

    kind_N: IntArray
    label_N: IntArray

    @property
    def planted_N(self) -> BoolArray:
        """True for controls."""
        planted_N: BoolArray = self.kind_N >= 0
        return planted_N

    def of_kind(self, kind: ControlKind) -> BoolArray:
        """True for the controls of this kind: [N]."""
        chosen_N: BoolArray = self.kind_N == CONTROL_KINDS.index(kind)
        return chosen_N


def plant(
    label_N: IntArray, beliefs: Beliefs, joint: ConfidentJoint, *, per_kind: int, generator: np.random.Generator
) -> Controls:
    """Choose controls from what a short pilot training believes.

    - ``random``: any sample, any other class that has samples;
    - ``confusion``: a sample of which the pilot is sure that its label is right gets the label of another class, the
      classes drawn as the pilot's confident joint has them confused;
    - ``look-alike``: a sample of which the pilot is sure that its label is right gets the pilot's own other guess,
      samples and guesses drawn in proportion to the belief in them.

    At most a tenth of each class is taken. Where there is nothing to draw from, a kind has fewer controls, or none.

    Args:
        label_N: Given labels.
        beliefs: Of the pilot; samples without a record are never taken.
        joint: Of the pilot.
        per_kind: How many of each kind.
        generator: Draws.
    """
    seen_N = np.isfinite(beliefs.given_N)
    right_N = seen_N & (joint.class_N == label_N)
    count_K = np.bincount(label_N[seen_N], minlength=joint.classes)
    drawn = {
        "random": _random(label_N, seen_N, count_K, per_kind, generator),
        "confusion": _confused(label_N, right_N, joint, per_kind, generator),
        "look-alike": _look_alike(right_N, beliefs, per_kind, generator),
    }
    kind_N, taught_N = np.full(len(label_N), -1, dtype=np.int32), label_N.astype(np.int32)
    left_K = np.floor(_MOST_OF_A_CLASS * count_K).astype(np.int64)
    # In turns, so that no kind uses up the small classes.
    turns = max((len(pairs) for pairs in drawn.values()), default=0)
    for turn in range(turns):
        for kind in CONTROL_KINDS:
            if turn < len(drawn[kind]):
                sample, label = drawn[kind][turn]
                if kind_N[sample] < 0 and left_K[label_N[sample]] > 0:
                    kind_N[sample], taught_N[sample] = CONTROL_KINDS.index(kind), label
                    left_K[label_N[sample]] -= 1
    return Controls(kind_N=kind_N, label_N=taught_N)


def _random(
    label_N: IntArray, seen_N: BoolArray, count_K: npt.NDArray[np.int64], count: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    classes = np.flatnonzero(count_K)
    samples = generator.permutation(np.flatnonzero(seen_N))[:count]
    place = np.searchsorted(classes, label_N[samples])
    step = generator.integers(1, max(len(classes), 2), size=len(samples))
    return list(zip(samples.tolist(), classes[(place + step) % len(classes)].tolist(), strict=True))


def _confused(
    label_N: IntArray, right_N: BoolArray, joint: ConfidentJoint, count: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    off_Q = np.flatnonzero((joint.given_Q != joint.true_Q) & (joint.share_Q > 0))
    if len(off_Q) == 0:
        return []
    share_Q = joint.share_Q[off_Q] / joint.share_Q[off_Q].sum()
    cells = off_Q[generator.choice(len(off_Q), size=count, p=share_Q)]
    pools: dict[int, list[int]] = {}
    pairs = []
    for given, true in zip(joint.given_Q[cells].tolist(), joint.true_Q[cells].tolist(), strict=True):
        if true not in pools:
            pools[true] = generator.permutation(np.flatnonzero(right_N & (label_N == true))).tolist()
        if pools[true]:
            pairs.append((pools[true].pop(), given))
    return pairs


def _look_alike(
    right_N: BoolArray, beliefs: Beliefs, count: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    belief_MN = np.where(right_N & (beliefs.class_MN >= 0), np.nan_to_num(beliefs.other_MN), 0.0)
    total_N = belief_MN.sum(axis=0)
    possible = np.flatnonzero(total_N > 0)
    # The first of exponential waiting times: a draw without replacement in proportion to the belief.
    waiting = generator.exponential(size=len(possible)) / total_N[possible]
    samples = possible[np.argsort(waiting, kind="stable")[:count]]
    share_MP = belief_MN[:, samples].cumsum(axis=0) / total_N[samples]
    slot_P = (share_MP < generator.random(len(samples))).sum(axis=0).clip(max=len(share_MP) - 1)
    return list(zip(samples.tolist(), beliefs.class_MN[slot_P, samples].tolist(), strict=True))


@dataclass(frozen=True, kw_only=True)
class TailRate:
    """A share of wrong labels and, from resampling the controls, where it lies in nine of ten cases."""

    rate: float
    low: float
    high: float


def tail_rate(
    suspicion_U: FloatArray, planted_P: FloatArray, generator: np.random.Generator, *, classes: int | None = None
) -> TailRate | None:
    """The share of wrong labels, if they score as the controls do: P(score ≥ t) / P(control's score ≥ t).

    Below the scores of most right labels the ratio does not depend on t; further down, right labels make it larger. So
    the least ratio counts, of thresholds above which a fifth to 95% of the controls lie; each with two standard
    errors added, since high up there are few controls and the least of several rough ratios would be too small.

    A random flip of a label that was wrong before makes it right with probability 1/(K − 1), so that the share is
    ratio / (1 + ratio/(K − 1)).

    Args:
        suspicion_U: Of samples that are no controls.
        planted_P: Of the controls.
        generator: Draws the resamples.
        classes: K, when the controls are random flips.

    Returns:
        None with fewer than five controls.
    """
    if len(planted_P) < _LEAST_CONTROLS or len(suspicion_U) == 0:
        return None
    rising_U = np.sort(suspicion_U)
    picked_RP = generator.integers(0, len(planted_P), size=(_RESAMPLES, len(planted_P)))
    rate = float(_tail_ratios(rising_U, planted_P[None], classes)[0])
    low, high = np.quantile(_tail_ratios(rising_U, planted_P[picked_RP], classes), _INTERVAL).tolist()
    return TailRate(rate=rate, low=min(low, rate), high=max(high, rate))


def _tail_ratios(rising_U: FloatArray, planted_RP: FloatArray, classes: int | None) -> FloatArray:
    tail_G = np.linspace(_LEAST_TAIL, _MOST_TAIL, _THRESHOLDS)
    threshold_GR = np.quantile(planted_RP, 1.0 - tail_G, axis=1)
    above_GR = 1.0 - np.searchsorted(rising_U, threshold_GR, side="left") / len(rising_U)
    ratio_GR = above_GR / tail_G[:, None]
    error_G = 2.0 * np.sqrt((1.0 - tail_G) / (tail_G * planted_RP.shape[1]))
    best_R = (ratio_GR * (1.0 + error_G[:, None])).argmin(axis=0)
    ratio_R: FloatArray = ratio_GR[best_R, np.arange(ratio_GR.shape[1])].clip(0.0, 1.0)
    if classes is not None and classes > 1:
        ratio_R = ratio_R / (1.0 + ratio_R / (classes - 1))
    return ratio_R


def density_ratio_probability(suspicion_U: FloatArray, planted_P: FloatArray, rate: float) -> FloatArray:
    """P(mislabeled) = rate · f(score | control) / f(score), made to rise with the score: [U].

    The ratio of densities is that of an isotonic regression which tells controls from the rest.

    Args:
        suspicion_U: Of samples that are no controls.
        planted_P: Of the controls.
        rate: The share of wrong labels.
    """
    from sklearn.isotonic import IsotonicRegression

    score = np.concatenate([suspicion_U, planted_P])
    is_planted = np.concatenate([np.zeros(len(suspicion_U)), np.ones(len(planted_P))])
    q_U = IsotonicRegression(y_min=0.0, y_max=1.0).fit(score, is_planted).predict(suspicion_U)
    odds_U = q_U / np.maximum(1.0 - q_U, 1e-12)
    p_U: FloatArray = np.clip(rate * len(suspicion_U) / len(planted_P) * odds_U, 0.0, 1.0)
    return p_U


def same_place(value_A: FloatArray, from_U: FloatArray, to_U: FloatArray) -> FloatArray:
    """Carry scores from one training over to another: the value at the same quantile of the other's samples.

    Args:
        value_A: Scores in the first training.
        from_U: Scores of the samples that both have, in the first.
        to_U: In the second.
    """
    place_A = np.searchsorted(np.sort(from_U), value_A, side="right") / max(len(from_U), 1)
    carried_A: FloatArray = np.quantile(to_U, place_A.clip(0.0, 1.0))
    return carried_A
