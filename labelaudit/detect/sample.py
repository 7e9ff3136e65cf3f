"""The noise rate from a sample that a person reviewed: right under every kind of noise, however bad P(mislabeled) is.

1. **draw**: P(mislabeled) cuts the samples into strata, and chance puts the samples of each into an order. Poor
   probabilities make the interval wider, never wrong: chance alone decides what is looked at within a stratum.
2. **estimate**: every stratum's share of wrong answers, weighted by its size, with a 95% interval.
3. **recalibrate**: P(mislabeled) is bent so that it agrees with the answers.

The strata have equal sums of √(q(1−q)), q being a less sure P(mislabeled), and get equally many reviews: Neyman's
allocation (1934) if the share of wrong labels is q. The interval is that of Fay and Feuer (1997) for weighted sums of
counts, with binomial counts of a finite number of samples in the place of Poisson's, and with half an error more
instead of a whole one as in Fay and Kim (2017). docs/reliability.md has its measured coverage.

Shapes: N samples, S samples in a design, H strata, K classes, D draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from labelaudit.detect import BoolArray, FloatArray, IntArray, LongArray
from labelaudit.detect import constants as c

NONE, RIGHT, WRONG, SKIPPED = -1, 0, 1, 2
"""Answers: a reviewer has not looked, found the given label right or wrong, or could not say."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """In which order samples are reviewed, and from which stratum each of them is; −1 for samples without a record."""

    stratum_N: IntArray
    place_N: IntArray

    @cached_property
    def order_S(self) -> LongArray:
        """The numbers of the samples in the order of the review."""
        samples = np.flatnonzero(self.place_N >= 0)
        return samples[np.argsort(self.place_N[samples])]

    @cached_property
    def size_H(self) -> LongArray:
        """How many samples each stratum has."""
        return np.bincount(self.stratum_N[self.order_S], minlength=1)

    @property
    def least(self) -> int:
        """How many samples at the beginning of the order an estimate needs."""
        return int(np.minimum(self.size_H, c.LEAST_OF_STRATUM).sum())

    def reached(self, answer_N: IntArray) -> LongArray:
        """Return the samples at the beginning of the order that count as reviewed.

        The review is the beginning with the most answers, each sample in it that was left out counting as three fewer.
        """
        gain_S = np.where(answer_N[self.order_S] != NONE, 1, -c.UNANSWERED_COSTS).cumsum()
        ends = np.flatnonzero(gain_S == gain_S.max(initial=1))
        return self.order_S[: ends[-1] + 1] if len(ends) else self.order_S[:0]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a reviewer said of each sample, and the right label where it was named (else −1)."""

    answer_N: IntArray
    label_N: IntArray

    @classmethod
    def none(cls, samples: int) -> Answers:
        """Return answers to nothing, which can be filled in."""
        return cls(**{name: np.full(samples, NONE, dtype=np.int32) for name in ("answer_N", "label_N")})

    @property
    def known_N(self) -> BoolArray:
        """True where the given label is known to be right or wrong."""
        return np.isin(self.answer_N, (RIGHT, WRONG))


@dataclass(frozen=True, kw_only=True)
class ReviewedRate:
    """What a reviewed sample says of a rate of wrong labels: estimate, 95% interval, and the numbers of answers.

    Skipped samples count as right in the interval's low end and as wrong in its high end.
    """

    rate: float
    interval: tuple[float, float]
    right: int
    wrong: int
    skipped: int


def draw(p_N: FloatArray, order_S: LongArray, generator: np.random.Generator) -> Design:
    """Draw the order in which samples are reviewed; each beginning of it has equally many samples of every stratum.

    ``order_S`` are the samples to draw from by P(mislabeled), ``p_N``, the most suspicious first.
    """
    q_S = (p_N[order_S] + c.STRATA_FLOOR) / (1 + 2 * c.STRATA_FLOOR)
    spread_S = np.sqrt(q_S * (1 - q_S))
    middle_S = (spread_S.cumsum() - spread_S / 2) / spread_S.sum()
    stratum_S = np.minimum((c.STRATA * middle_S).astype(np.int32), c.STRATA - 1)
    stratum_S = np.unique(stratum_S, return_inverse=True)[1]  # with few samples some would be empty
    round_S = np.empty(len(order_S), dtype=np.int64)
    for stratum in range(stratum_S.max(initial=-1) + 1):
        members = np.flatnonzero(stratum_S == stratum)
        round_S[members] = generator.permutation(len(members))
    stratum_N, place_N = (np.full(len(p_N), -1, dtype=np.int32) for _ in range(2))
    stratum_N[order_S] = stratum_S
    place_N[order_S[np.lexsort((generator.random(len(order_S)), round_S))]] = np.arange(len(order_S))
    return Design(stratum_N=stratum_N, place_N=place_N)


def estimate(design: Design, answer_N: IntArray, generator: np.random.Generator) -> ReviewedRate | None:
    """Return the share of wrong labels that the reviewed sample says; None where too little is reviewed.

    Answers to samples outside the sample only bound it: so many are known to be wrong, and so many to be right.
    """
    sample = design.reached(answer_N)
    if len(sample) < design.least:
        return None
    looked_H, right_H, wrong_H, skipped_H = _counts(design, answer_N, sample)
    answered_H = right_H + wrong_H
    known_H = answered_H > 0
    share_H = wrong_H[known_H] / answered_H[known_H]
    size_H = design.size_H[known_H]
    rate = float(share_H @ size_H / size_H.sum()) if known_H.any() else 0.5
    low = 1.0 - _high_end(design.size_H, looked_H, right_H + skipped_H, generator)
    high = _high_end(design.size_H, looked_H, wrong_H + skipped_H, generator)
    found = ReviewedRate(
        rate=rate,
        interval=(low, high),
        right=int(right_H.sum()),
        wrong=int(wrong_H.sum()),
        skipped=int(skipped_H.sum()),
    )
    return _bounded(found, answer_N[design.order_S])


def estimate_classes(design: Design, answer_N: IntArray, label_N: IntArray) -> dict[int, ReviewedRate]:
    """Return the same for the samples of each given label of which enough are reviewed."""
    sample = design.reached(answer_N)
    weight_H = design.size_H / np.maximum(_counts(design, answer_N, sample)[0], 1)
    label_S, weight_S, answer_S = label_N[sample], weight_H[design.stratum_N[sample]], _answers(answer_N, sample)
    found = {}
    for label in np.flatnonzero(np.bincount(label_S, minlength=1) >= c.LEAST_OF_CLASS).tolist():
        own_S, own_N = label_S == label, (label_N == label) & (design.place_N >= 0)
        found[label] = _bounded(_of_class(weight_S[own_S], answer_S[own_S]), answer_N[own_N])
    return found


def _of_class(weight_S: FloatArray, answer_S: IntArray) -> ReviewedRate:
    """Return the rate of one class, whose strata are too small for the other interval.

    Every sample counts by how many it stands for, w; the interval is Clopper and Pearson's for the effective number of
    answers, (Σw)²/Σw² (Korn and Graubard 1998).
    """
    from scipy.stats import beta

    count = weight_S.sum() ** 2 / (weight_S**2).sum()
    right, wrong, skipped = (weight_S[answer_S == each].sum() / weight_S.sum() for each in (RIGHT, WRONG, SKIPPED))
    low, high = count * wrong, count * (wrong + skipped)
    tail = (1 - c.CONFIDENCE) / 2
    return ReviewedRate(
        rate=float(wrong / (right + wrong)) if right + wrong else 0.5,
        interval=(
            float(beta.ppf(tail, low, count - low + 1)) if wrong else 0.0,
            float(beta.ppf(1 - tail, high + 1, count - high)) if right else 1.0,
        ),
        right=int((answer_S == RIGHT).sum()),
        wrong=int((answer_S == WRONG).sum()),
        skipped=int((answer_S == SKIPPED).sum()),
    )


def reviews_left(design: Design, answer_N: IntArray, half_width: float, generator: np.random.Generator) -> int | None:
    """Return how many more reviews would bring ± ``half_width`` if they go as those so far; None where none would."""
    sample = design.reached(answer_N)
    looked_H, right_H, wrong_H, skipped_H = _counts(design, answer_N, sample)

    def is_enough(rounds: int) -> bool:
        then_H = np.maximum(np.minimum(design.size_H, rounds), looked_H)
        factor_H = then_H / np.maximum(looked_H, 1)
        ends = (
            _high_end(design.size_H, then_H, factor_H * (answers_H + skipped_H), generator, draws=c.DRAWS // 5)
            for answers_H in (right_H, wrong_H)
        )
        return sum(ends) - 1.0 <= 2 * half_width

    enough, few = int(design.size_H.max()), int(looked_H.min()) - 1
    if not is_enough(enough):
        return None
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if is_enough(middle) else (middle, enough)
    return int(np.maximum(np.minimum(design.size_H, enough) - looked_H, 0).sum())


def recalibrate(p_N: FloatArray, design: Design, answer_N: IntArray, rate: float) -> FloatArray:
    """Return P(mislabeled) bent to the answers: σ(a + b · logit P), b ≥ 0; 0 and 1 where the label is known.

    a and b are those of a logistic regression on the sample, each answer counting for the samples it stands for (Platt
    1999), with weak priors at a = 0 and b = 1. Then a makes the mean over all samples ``rate``, where a wrong label was
    found at all. Samples without an answer keep their order.
    """
    from scipy.special import expit, logit

    from labelaudit.detect.theory import offset

    end = expit(c.FARTHEST_CALIBRATED)
    logit_N = logit(np.clip(p_N, 1 - end, end))
    sample = design.reached(answer_N)
    looked_H = _counts(design, answer_N, sample)[0]
    known = sample[np.isin(answer_N[sample], (RIGHT, WRONG))]
    seen_N, changed_N = design.place_N >= 0, p_N.copy()
    open_N = seen_N & ~np.isin(answer_N, (RIGHT, WRONG))
    if len(known) and open_N.any():
        weight_S = (design.size_H / np.maximum(looked_H, 1))[design.stratum_N[known]]
        a, b = _platt(logit_N[known], answer_N[known] == WRONG, weight_S / weight_S.mean())
        bent_S = a + b * logit_N[open_N]
        left = (rate * seen_N.sum() - (seen_N & (answer_N == WRONG)).sum()) / open_N.sum()
        if c.ROUNDING < left < 1.0 - c.ROUNDING:
            bent_S = bent_S + offset(bent_S, left)
        changed_N[open_N] = expit(bent_S)
    changed_N[seen_N & (answer_N == RIGHT)] = 0.0
    changed_N[seen_N & (answer_N == WRONG)] = 1.0
    return changed_N


def _platt(logit_S: FloatArray, wrong_S: BoolArray, weight_S: FloatArray) -> tuple[float, float]:
    """Return intercept and slope, at least 0, of the likeliest curve."""
    from scipy.optimize import minimize
    from scipy.special import expit

    design_S2 = np.stack([np.ones_like(logit_S), logit_S], axis=1)
    prior_2, trust_2 = np.array([0.0, 1.0]), np.array(c.CALIBRATION_PRIOR)

    def cost(found_2: FloatArray) -> tuple[float, FloatArray]:
        bent_S, away_2 = design_S2 @ found_2, found_2 - prior_2
        loss = weight_S @ (np.logaddexp(0.0, bent_S) - wrong_S * bent_S) + trust_2 @ away_2**2 / 2
        return float(loss), design_S2.T @ (weight_S * (expit(bent_S) - wrong_S)) + trust_2 * away_2

    found_2 = minimize(cost, prior_2, jac=True, method="L-BFGS-B", bounds=[(None, None), (0.0, None)]).x
    return float(found_2[0]), float(found_2[1])


def _answers(answer_N: IntArray, sample: LongArray) -> IntArray:
    """Return the answers of a sample; what was left out counts as skipped."""
    answer_S = answer_N[sample]
    return np.where(answer_S == NONE, SKIPPED, answer_S)


def _counts(design: Design, answer_N: IntArray, sample: LongArray) -> tuple[LongArray, ...]:
    """Return in each stratum how many samples were looked at, are right, are wrong, and were skipped."""
    stratum_S, answer_S = design.stratum_N[sample], _answers(answer_N, sample)
    count = [np.bincount(stratum_S[answer_S == each], minlength=len(design.size_H)) for each in (RIGHT, WRONG, SKIPPED)]
    return sum(count[1:], count[0]), count[0], count[1], count[2]


def _bounded(found: ReviewedRate, answers: IntArray) -> ReviewedRate:
    """Return the rate and its interval within what all answers, in the sample or not, leave possible."""
    least, most = (answers == WRONG).mean(), 1.0 - (answers == RIGHT).mean()
    low, high = (float(np.clip(end, least, most)) for end in found.interval)
    return replace(found, rate=float(np.clip(found.rate, low, high)), interval=(low, high))


def _high_end(
    size_H: LongArray,
    looked_H: LongArray,
    wrong_H: npt.NDArray[np.floating | np.integer],
    generator: np.random.Generator,
    draws: int = c.DRAWS,
) -> float:
    """Return the upper end of the interval of the share of wrong labels; the lower end is 1 − that of the right ones.

    In each stratum the share among the samples not looked at is Beta(f · wrong, f · right), with f = (n − 2) / n so
    that its variance is the unbiased p(1−p)/(n−1), and their number of wrong labels binomial. Half a wrong label is
    added to the stratum that moves the end most, as one without a wrong label would have none for sure.
    """
    looked_H1, wrong_H1 = looked_H[:, None], wrong_H[:, None]
    factor_H1 = np.maximum(looked_H1 - 2, 0) / np.maximum(looked_H1, 1)
    rest_H1 = np.maximum(size_H - looked_H, 0).round().astype(np.int64)[:, None]

    def draw_wrong(more: float) -> FloatArray:
        shape = (len(size_H), draws)
        gamma_HD = generator.standard_gamma(np.broadcast_to(factor_H1 * wrong_H1 + more, shape))
        other_HD = generator.standard_gamma(np.broadcast_to(factor_H1 * np.maximum(looked_H1 - wrong_H1, 0), shape))
        sum_HD = gamma_HD + other_HD
        share_HD = np.divide(gamma_HD, sum_HD, out=np.ones(shape), where=sum_HD > 0)
        return generator.binomial(rest_H1, share_HD).astype(np.float64)

    usual_HD, more_HD = draw_wrong(0.0), draw_wrong(c.HALF_AN_ERROR)
    total_HD = usual_HD.sum(axis=0) - usual_HD + more_HD
    end = np.quantile(total_HD, (1 + c.CONFIDENCE) / 2, axis=1).max()
    return float((wrong_H.sum() + end) / size_H.sum())
