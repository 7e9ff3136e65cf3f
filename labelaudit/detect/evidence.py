"""What an audit knows of its samples before it judges them: their statistics, and controls.

Planted controls are labels made wrong on purpose, whose scores show what wrong labels look like in this training.

Shapes: N samples, A or P planted controls, U samples that are no controls, M slots, Q cells, G thresholds, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np

from labelaudit.detect import BoolArray, FloatArray, IntArray
from labelaudit.detect import constants as c
from labelaudit.detect.confident import Beliefs, ConfidentJoint
from labelaudit.detect.curves import STATISTICS, CurveAccumulator, CurveStatistics
from labelaudit.names import CONTROL_KINDS, ControlKind, StatisticName

Pairs = list[tuple[int, int]]
"""Samples, and the labels that they are taught as controls."""


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
        return self.kind_N >= 0

    def of_kind(self, kind: ControlKind) -> BoolArray:
        """Return True for the controls of this kind: [N]."""
        chosen_N: BoolArray = self.kind_N == CONTROL_KINDS.index(kind)
        return chosen_N


@dataclass(frozen=True, kw_only=True)
class TailRate:
    """A share of wrong labels and, from resampling the controls, where it lies in nine of ten cases."""

    rate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What an audit knows of its N samples.

    Attributes:
        label_N: Given labels.
        statistics: Of the losses against the given labels.
        last_wrong_N: True where the last epoch predicted another class than the given one.
        controls: Which samples were trained with another label, or None.
        taught: Statistics of the losses against the labels that were taught; None without controls.
    """

    label_N: IntArray
    statistics: CurveStatistics
    last_wrong_N: BoolArray
    controls: Controls | None = None
    taught: CurveStatistics | None = None

    @property
    def own_N(self) -> BoolArray:
        """True for samples with a record that are no controls."""
        seen_N: BoolArray = np.isfinite(self.statistics.aul_N)
        return seen_N if self.controls is None else seen_N & ~self.controls.planted_N

    def planted(self, kind: ControlKind, rank_by: StatisticName) -> FloatArray:
        """Return the suspicion of the planted wrong labels of this kind: [P]."""
        if self.controls is None or self.taught is None:
            return np.empty(0)
        suspicion_N = self.taught.suspicion(rank_by)
        return suspicion_N[self.controls.of_kind(kind) & np.isfinite(suspicion_N)]

    def tail(self, kind: ControlKind, rank_by: StatisticName) -> TailRate | None:
        """Return the `tail_rate` against the controls of this kind, None with too few."""
        return tail_rate(
            self.statistics.suspicion(rank_by)[self.own_N],
            self.planted(kind, rank_by),
            np.random.default_rng([0, CONTROL_KINDS.index(kind)]),
            classes=len(np.unique(self.label_N)) if kind == "random" else None,
        )


def gather(
    label_N: IntArray,
    curves: CurveAccumulator,
    *,
    controls: Controls | None = None,
    pilot: CurveAccumulator | None = None,
    heads: CurveAccumulator | None = None,
) -> Evidence:
    """Return the evidence of given labels, the curves of those that were taught, and the ``pilot`` that controls need.

    Held-out ``heads`` that were trained beside the network are a second witness.

    The given labels of controls are judged by the pilot, which was trained on them: a control gets the statistics of
    the sample that has its place among the others in the pilot.
    """
    statistics, last_wrong_N = curves.result(heads), curves.last_wrong_N
    if controls is None or pilot is None:
        return Evidence(label_N=label_N, statistics=statistics, last_wrong_N=last_wrong_N)
    planted_N = controls.planted_N
    return Evidence(
        label_N=label_N,
        statistics=_judged_by_pilot(statistics, pilot.result(), planted_N),
        last_wrong_N=np.where(planted_N, pilot.last_wrong_N, last_wrong_N),
        controls=controls,
        taught=statistics,
    )


def _judged_by_pilot(statistics: CurveStatistics, pilot: CurveStatistics, planted_N: BoolArray) -> CurveStatistics:
    own_N = ~planted_N & np.isfinite(statistics.aul_N)
    placed = {}
    for name in (f"{statistic}_N" for statistic in STATISTICS):
        placed[name], before_N = getattr(statistics, name).copy(), getattr(pilot, name)
        quantile_A = np.searchsorted(np.sort(before_N[own_N]), before_N[planted_N], side="right") / max(own_N.sum(), 1)
        placed[name][planted_N] = np.quantile(placed[name][own_N], quantile_A)
    chosen = {
        name: np.where(planted_N, getattr(pilot.beliefs, name), own) for name, own in vars(statistics.beliefs).items()
    }
    class_N = np.where(planted_N, pilot.joint.class_N, statistics.joint.class_N)
    true_N = np.where(planted_N, pilot.transition.true_N, statistics.transition.true_N)
    return replace(
        statistics,
        **placed,
        beliefs=Beliefs(**chosen),
        joint=replace(statistics.joint, class_N=class_N),
        transition=replace(statistics.transition, true_N=true_N),
    )


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
    """
    seen_N = np.isfinite(beliefs.given_N)
    right_N = seen_N & (joint.class_N == label_N)
    count_K = np.bincount(label_N[seen_N], minlength=joint.classes)
    drawn = {
        "random": _random(label_N, seen_N, per_kind, generator),
        "confusion": _confused(label_N, right_N, joint, per_kind, generator),
        "look-alike": _look_alike(right_N, beliefs, per_kind, generator),
    }
    kind_N, taught_N = np.full(len(label_N), -1, dtype=np.int32), label_N.astype(np.int32)
    left_K = np.floor(c.MOST_OF_A_CLASS * count_K).astype(np.int64)
    # In turns, so that no kind uses up the small classes.
    for turn in zip_longest(*(drawn[kind] for kind in CONTROL_KINDS)):
        for number, pair in enumerate(turn):
            if pair and kind_N[pair[0]] < 0 and left_K[label_N[pair[0]]] > 0:
                kind_N[pair[0]], taught_N[pair[0]] = number, pair[1]
                left_K[label_N[pair[0]]] -= 1
    return Controls(kind_N=kind_N, label_N=taught_N)


def _random(label_N: IntArray, seen_N: BoolArray, count: int, generator: np.random.Generator) -> Pairs:
    classes = np.unique(label_N[seen_N])
    samples = generator.permutation(np.flatnonzero(seen_N))[:count]
    place = np.searchsorted(classes, label_N[samples])
    step = generator.integers(1, max(len(classes), 2), size=len(samples))
    return list(zip(samples.tolist(), classes[(place + step) % len(classes)].tolist(), strict=True))


def _confused(
    label_N: IntArray, right_N: BoolArray, joint: ConfidentJoint, count: int, generator: np.random.Generator
) -> Pairs:
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


def _look_alike(right_N: BoolArray, beliefs: Beliefs, count: int, generator: np.random.Generator) -> Pairs:
    belief_MN = np.where(right_N & (beliefs.class_MN >= 0), np.nan_to_num(beliefs.other_MN), 0.0)
    total_N = belief_MN.sum(axis=0)
    possible = np.flatnonzero(total_N > 0)
    # The first of exponential waiting times: a draw without replacement in proportion to the belief.
    waiting = generator.exponential(size=len(possible)) / total_N[possible]
    samples = possible[np.argsort(waiting, kind="stable")[:count]]
    share_MP = belief_MN[:, samples].cumsum(axis=0) / total_N[samples]
    slot_P = (share_MP < generator.random(len(samples))).sum(axis=0).clip(max=len(share_MP) - 1)
    return list(zip(samples.tolist(), beliefs.class_MN[slot_P, samples].tolist(), strict=True))


def tail_rate(
    suspicion_U: FloatArray, planted_P: FloatArray, generator: np.random.Generator, *, classes: int | None = None
) -> TailRate | None:
    """Return the share of wrong labels, if they score as the controls do: P(score ≥ t) / P(control's score ≥ t).

    Below the scores of most right labels the ratio does not depend on t; further down, right labels make it larger. So
    the least ratio counts, of thresholds above which a fifth to 95% of the controls lie; each with two standard errors
    added, because high up there are few controls and the least of several rough ratios would be too small.

    A random flip of a label that was wrong before makes it right with probability 1/(K − 1), so the share is
    ratio / (1 + ratio/(K − 1)); ``classes`` is K when the controls are random flips. None with under five controls.
    """
    if len(planted_P) < c.LEAST_CONTROLS or len(suspicion_U) == 0:
        return None
    rising_U = np.sort(suspicion_U)
    picked_RP = generator.integers(0, len(planted_P), size=(c.RESAMPLES, len(planted_P)))
    rate = float(_tail_ratios(rising_U, planted_P[None], classes)[0])
    low, high = np.quantile(_tail_ratios(rising_U, planted_P[picked_RP], classes), c.RESAMPLED_INTERVAL).tolist()
    return TailRate(rate=rate, low=min(low, rate), high=max(high, rate))


def _tail_ratios(rising_U: FloatArray, planted_RP: FloatArray, classes: int | None) -> FloatArray:
    tail_G = np.linspace(c.LEAST_TAIL, c.MOST_TAIL, c.THRESHOLDS)
    threshold_GR = np.quantile(planted_RP, 1.0 - tail_G, axis=1)
    above_GR = 1.0 - np.searchsorted(rising_U, threshold_GR, side="left") / len(rising_U)
    ratio_GR = above_GR / tail_G[:, None]
    error_G = c.TAIL_ERRORS * np.sqrt((1.0 - tail_G) / (tail_G * planted_RP.shape[1]))
    best_R = (ratio_GR * (1.0 + error_G[:, None])).argmin(axis=0)
    ratio_R: FloatArray = ratio_GR[best_R, np.arange(ratio_GR.shape[1])].clip(0.0, 1.0)
    return ratio_R if classes is None or classes < 2 else ratio_R / (1.0 + ratio_R / (classes - 1))


def density_ratio_probability(suspicion_U: FloatArray, planted_P: FloatArray, rate: float) -> FloatArray:
    """Return P(mislabeled) = rate · f(score | control) / f(score), made to rise with the score: [U].

    The ratio of densities is that of an isotonic regression which tells controls from the rest.
    """
    from sklearn.isotonic import IsotonicRegression

    score = np.concatenate([suspicion_U, planted_P])
    is_planted = np.concatenate([np.zeros(len(suspicion_U)), np.ones(len(planted_P))])
    q_U = IsotonicRegression(y_min=0.0, y_max=1.0).fit(score, is_planted).predict(suspicion_U)
    odds_U = q_U / np.maximum(1.0 - q_U, 1e-12)
    p_U: FloatArray = np.clip(rate * len(suspicion_U) / len(planted_P) * odds_U, 0.0, 1.0)
    return p_U
