"""The noise transition model: from held-out beliefs to P(mislabeled) and the noise rate.

Every sample has a true class k that nobody recorded, and a given label y. A witness, which was not trained on the
sample, believes in class k with probability b_k. The model of one witness or more says

    P(k | image) = softmax_k(Σ a · log b_k)        P(y | k) = T[k, y]

so a given label has the likelihood Σ_k P(k | image) · T[k, y], and

    P(mislabeled) = 1 − P(y | image) · T[y, y] / Σ_k P(k | image) · T[k, y].

Three things are fitted to the given labels, by expectation-maximization; nothing is chosen by hand:

- **a**, how far each witness is to be trusted. Where it contradicts labels that it is half sure of, that is its own
  weakness, and a falls. Where it contradicts them as often when it is sure, the labels are wrong;
- **T**, the noise transition matrix (Patrini et al. 2017): how often class k is labeled y;
- **s**, the strength of a Dirichlet prior of T's rows, whose mean has the same error rate in every cell: large where
  errors are spread evenly, small where a few pairs of classes hold them. It maximizes the evidence of the expected
  counts (Minka 2000, "Estimating a Dirichlet distribution").

It is Dawid and Skene's model (1979) with one annotator and a prior of each image's true class. Beliefs of a probe that
was trained on the labels that it judges agree with them too often, and the rate comes out too low.

Shapes: N samples, U samples that all witnesses saw, W witnesses, S candidates of a sample: its given label first, then
the other classes that a witness believed in; Q pairs (true, given) of classes that are candidates; K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from labelaudit.detect import BoolArray, FloatArray, IntArray, LongArray
from labelaudit.detect import constants as c
from labelaudit.detect.confident import Beliefs


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A fitted noise transition model of N samples.

    Attributes:
        sharpness_W: a.
        strength: s.
        log_odds_N: Log-odds of P(mislabeled); NaN for samples without a record.
        doubt_N: 1 − P(y | image): how far the probe expects another label than the given one; NaN as above.
        true_N: The likeliest class other than the given one; −1 where the probe believed in none.
        true_Q, given_Q, count_Q: The pairs of classes in order, and how many samples are of each, in the mean.
        doubt_Q: Of the samples that the model calls right, how many the witnesses take for the pair's other class.
    """

    sharpness_W: FloatArray
    strength: float
    log_odds_N: FloatArray
    doubt_N: FloatArray
    true_N: IntArray
    true_Q: LongArray
    given_Q: LongArray
    count_Q: FloatArray
    doubt_Q: FloatArray

    @property
    def p_mislabeled_N(self) -> FloatArray:
        """P(mislabeled), NaN for samples without a record."""
        from scipy.special import expit

        p_N: FloatArray = expit(self.log_odds_N)
        return p_N


class Candidates(NamedTuple):
    """The candidates of samples: classes (−1: none), their pair with the given label, log-beliefs, log of their number.

    The last row of the beliefs stands for all other classes, each believed in alike; of a candidate that is none, the
    number is 0.
    """

    class_SN: IntArray
    pair_SN: LongArray
    log_belief_WSN: FloatArray
    log_count_SN: FloatArray


class _Fit(NamedTuple):
    log_likelihood: float
    evidence: float
    sharpness_W: FloatArray
    strength: float
    log_t_Q: FloatArray
    log_t_other: float
    count_Q: FloatArray


def fit_transition(
    label_N: IntArray, witnesses: Sequence[Beliefs], classes: int, *, held_out: bool = True, averaged: bool = False
) -> Transition:
    """Fit the model to the samples that all witnesses saw, from several starts, and judge them by it.

    The end of the largest evidence wins, by either description of T (`_complexity`, `_few_pairs`), or the likeliest of
    beliefs that are not ``held_out``: they explain the labels too well for the evidence. Beliefs that are ``averaged``
    over epochs are less sure than they should be, so together these witnesses are trusted at least as far as they trust
    themselves, Σ a ≥ 1: where most labels are wrong, T would explain them best without any witness.
    """
    from scipy.special import expit

    seen_N = np.all([np.isfinite(beliefs.given_N) for beliefs in witnesses], axis=0)
    found, true_Q, given_Q = candidates(label_N, witnesses, classes, seen_N)
    is_error_Q = true_Q != given_Q
    least = 1.0 if averaged else 0.0
    fits = [_fit(found, true_Q, is_error_Q, classes, start, least) for start in c.SHARPNESS_STARTS]
    best = max(fits, key=lambda fit: fit.log_likelihood)
    if held_out:
        best = max(fits, key=lambda fit: max(fit.evidence, _few_pairs(found, true_Q, given_Q, fit, classes)))
    weight_SN = _joint(found, best.sharpness_W, best.log_t_Q, best.log_t_other)
    log_odds_N, doubt_N = np.full((2, len(label_N)), np.nan)
    true_N = np.full(len(label_N), -1, dtype=np.int32)
    log_odds_N[seen_N] = np.logaddexp.reduce(weight_SN[1:], axis=0) - weight_SN[0]
    doubt_N[seen_N] = 1.0 - np.exp(weight_SN[0] - best.log_t_Q[found.pair_SN[0]])
    best_N = weight_SN[1:-1].argmax(axis=0) + 1
    true_N[seen_N] = found.class_SN[best_N, np.arange(weight_SN.shape[1])]
    right_U = expit(-log_odds_N[seen_N])
    doubt_SU = np.exp(prior(found, best.sharpness_W)[1:-1]) * right_U
    doubt_Q = np.bincount(found.pair_SN[1:].ravel(), doubt_SU.ravel(), len(true_Q)) * is_error_Q
    return Transition(
        sharpness_W=best.sharpness_W,
        strength=best.strength,
        log_odds_N=log_odds_N,
        doubt_N=doubt_N,
        true_N=true_N,
        true_Q=true_Q,
        given_Q=given_Q,
        count_Q=best.count_Q,
        doubt_Q=doubt_Q,
    )


def candidates(
    label_N: IntArray,
    witnesses: Sequence[Beliefs],
    classes: int,
    seen_N: BoolArray,
    named_MN: IntArray | None = None,
) -> tuple[Candidates, LongArray, LongArray]:
    """Return the candidates of the chosen samples, and the pairs of classes among them.

    ``named_MN`` are classes that are candidates too, believed in or not; −1 for none.
    """
    label_U = label_N[seen_N]
    slots = [beliefs.class_MN for beliefs in witnesses] + ([] if named_MN is None else [named_MN])
    class_SU = np.concatenate([label_U[None], *(class_MN[:, seen_N] for class_MN in slots)])
    for place in range(1, len(class_SU)):
        class_SU[place, (class_SU[:place] == class_SU[place]).any(axis=0)] = -1
    is_class_SU = class_SU >= 0
    belief_WSU = np.empty((len(witnesses), len(class_SU) + 1, len(label_U)))
    for belief_SU, beliefs in zip(belief_WSU, witnesses, strict=True):
        belief_SU[:] = beliefs.rest_N[seen_N]
        belief_SU[0] = beliefs.given_N[seen_N]
        for class_U, other_U in zip(beliefs.class_MN[:, seen_N], beliefs.other_MN[:, seen_N], strict=True):
            is_it_SU = is_class_SU & (class_SU == class_U)
            belief_SU[:-1] = np.where(is_it_SU, other_U, belief_SU[:-1])
    key_SU = np.where(is_class_SU, class_SU, label_U).astype(np.int64) * classes + label_U
    pair_Q, pair_SU = np.unique(key_SU, return_inverse=True)
    others_U = classes - is_class_SU.sum(axis=0, keepdims=True)
    with np.errstate(divide="ignore"):
        log_count_SU = np.log(np.concatenate([is_class_SU, np.maximum(others_U, 0)]))
    log_belief_WSU = np.log(np.maximum(belief_WSU, c.LEAST_BELIEF))
    found = Candidates(class_SU, pair_SU.reshape(key_SU.shape), log_belief_WSU, log_count_SU)
    return found, *np.divmod(pair_Q, classes)


def prior(found: Candidates, sharpness_W: FloatArray) -> FloatArray:
    """Return log P(k | image) of each candidate, and in the last row of all other classes together."""
    weight_SU = np.tensordot(sharpness_W, found.log_belief_WSN, 1) + found.log_count_SN
    prior_SU: FloatArray = weight_SU - np.logaddexp.reduce(weight_SU, axis=0)
    return prior_SU


def _joint(found: Candidates, sharpness_W: FloatArray, log_t_Q: FloatArray, log_t_other: float) -> FloatArray:
    """Return log (P(k | image) · T[k, y]) of each candidate, and in the last row of all other classes together."""
    weight_SU = prior(found, sharpness_W)
    weight_SU[:-1] += log_t_Q[found.pair_SN]
    weight_SU[-1] += log_t_other
    return weight_SU


def _fit(found: Candidates, true_Q: LongArray, is_error_Q: BoolArray, classes: int, start: float, least: float) -> _Fit:
    """Run expectation-maximization to the end, from a sharpness that all witnesses share evenly; Σ a ≥ ``least``."""
    sharpness_W = np.full(len(found.log_belief_WSN), start / len(found.log_belief_WSN))
    samples, strength, error = found.class_SN.shape[1], c.FIRST_STRENGTH, c.FIRST_ERROR
    count_Q: FloatArray = np.zeros(len(true_Q))
    before = -np.inf
    log_t_Q, log_t_other = log_transition(count_Q, true_Q, is_error_Q, classes, strength, error)
    for step in range(c.TRANSITION_STEPS):
        weight_SU = _joint(found, sharpness_W, log_t_Q, log_t_other)
        likelihood_U = np.logaddexp.reduce(weight_SU, axis=0)
        now = float(likelihood_U.sum())
        if now - before < c.TRANSITION_TOLERANCE and step > c.STRENGTH_EVERY:
            break
        before = now
        share_SU = np.exp(weight_SU - likelihood_U)
        weight = share_SU[:-1].ravel()
        count_Q = np.bincount(found.pair_SN.ravel(), weight, len(true_Q)).astype(np.float64)
        error = float(share_SU[1:].sum()) / max(samples, 1)
        if step % c.STRENGTH_EVERY == 0:
            strength = strength_of(count_Q, true_Q, is_error_Q, classes, error)
        log_t_Q, log_t_other = log_transition(count_Q, true_Q, is_error_Q, classes, strength, error)
        sharpness_W = sharpness_of(found, share_SU, sharpness_W, least)
    evidence = now - _complexity(count_Q, true_Q, _prior_mean(is_error_Q, classes, error), classes, strength)
    return _Fit(now, evidence, sharpness_W, strength, log_t_Q, log_t_other, count_Q)


def _complexity(count_Q: FloatArray, true_Q: LongArray, mean_Q: FloatArray, classes: int, strength: float) -> float:
    """Return how far the counts move T from its prior: the divergence of Dirichlet distributions, over all rows.

    The log-likelihood less this is the variational bound of the evidence (Bishop 2006, section 10.1): pairs of classes
    that explain a few labels better, and no more, do not pay.
    """
    from scipy.special import digamma, gammaln

    prior_Q = strength * mean_Q
    of_true_K = strength + np.bincount(true_Q, weights=count_Q, minlength=classes)
    rows_K = gammaln(of_true_K) - gammaln(strength)
    moved_Q = count_Q * (digamma(prior_Q + count_Q) - digamma(of_true_K)[true_Q])
    return float(rows_K.sum() + (gammaln(prior_Q) - gammaln(prior_Q + count_Q) + moved_Q).sum())


def _few_pairs(found: Candidates, true_Q: LongArray, given_Q: LongArray, fit: _Fit, classes: int) -> float:
    """Return the evidence where all errors are alike, but for those between a few pairs of classes.

    In the divergence from one prior each cell of T costs so much that errors between two of many classes do not pay.
    Here a cell with an error rate of its own costs ½ ln n, of its class's n samples (Schwarz 1978), each pair of
    classes its name among all pairs, and naming any at all the odds `PAIRS_ODDS`.
    """
    is_error_Q, cells = true_Q != given_Q, classes * (classes - 1)
    named = np.log(max(cells // 2, 1))
    of_true_Q = np.maximum(np.bincount(true_Q, weights=fit.count_Q, minlength=classes)[true_Q], c.LEAST_BELIEF)
    own_Q = np.maximum(fit.count_Q / of_true_Q, c.LEAST_BELIEF)
    cost_Q, few_Q = 0.5 * np.log(np.maximum(of_true_Q, 1.0)), np.zeros(len(true_Q), dtype=bool)
    for _ in range(c.CELL_STEPS):
        others = fit.count_Q[is_error_Q & ~few_Q].sum() * classes / max(cells - few_Q.sum(), 1)
        even = max(float(others) / max(fit.count_Q.sum(), 1.0), c.LEAST_BELIEF)
        gain_Q = fit.count_Q * np.log(own_Q / even) - (fit.count_Q - of_true_Q * even)
        few_Q = is_error_Q & (gain_Q > cost_Q + named / 2)
    t_Q = np.where(few_Q, own_Q, even)
    lost_K = np.bincount(true_Q, weights=np.where(few_Q, own_Q - even, 0.0), minlength=classes)
    t_Q[~is_error_Q] = np.maximum(1.0 - even * (classes - 1) - lost_K[true_Q[~is_error_Q]], c.LEAST_ERROR)
    weight_SU = _joint(found, fit.sharpness_W, np.log(t_Q), float(np.log(even)))
    pairs = np.unique(np.sort(np.stack([true_Q, given_Q])[:, few_Q], axis=0), axis=1).shape[1]
    cost = cost_Q[few_Q].sum() + named * pairs + (np.log(c.PAIRS_ODDS) if pairs else 0.0)
    return float(np.logaddexp.reduce(weight_SU, axis=0).sum() - cost)


def _prior_mean(is_error_Q: BoolArray, classes: int, error: float) -> FloatArray:
    error = min(max(error, c.LEAST_ERROR), 1.0 - c.LEAST_ERROR)
    return np.where(is_error_Q, error / max(classes - 1, 1), 1.0 - error)


def log_transition(
    count_Q: FloatArray, true_Q: LongArray, is_error_Q: BoolArray, classes: int, strength: float, error: float
) -> tuple[FloatArray, float]:
    """Return log T of the pairs, the mean under the prior and these counts, and that of a pair nobody believed in."""
    mean_Q = _prior_mean(is_error_Q, classes, error)
    of_true_K = np.bincount(true_Q, weights=count_Q, minlength=classes)
    log_t_Q = np.log((count_Q + strength * mean_Q) / (of_true_K[true_Q] + strength))
    return log_t_Q, float(np.log(max(error, c.LEAST_ERROR) / max(classes - 1, 1)))


def strength_of(count_Q: FloatArray, true_Q: LongArray, is_error_Q: BoolArray, classes: int, error: float) -> float:
    """Return the strength of the Dirichlet prior under which the counts are likeliest."""
    from scipy.optimize import minimize_scalar
    from scipy.special import gammaln

    mean_Q = _prior_mean(is_error_Q, classes, error)
    of_true_K = np.bincount(true_Q, weights=count_Q, minlength=classes)

    def lack(log_strength: float) -> float:
        strength = float(np.exp(log_strength))
        prior_Q = strength * mean_Q
        rows = gammaln(strength) - gammaln(strength + of_true_K)
        return -float(rows.sum() + (gammaln(prior_Q + count_Q) - gammaln(prior_Q)).sum())

    found = minimize_scalar(lack, bounds=np.log(c.STRENGTHS), method="bounded", options={"xatol": 0.05})
    return float(np.exp(found.x))


def sharpness_of(found: Candidates, share_SU: FloatArray, sharpness_W: FloatArray, least: float = 0.0) -> FloatArray:
    """Return the a with Σ a ≥ ``least`` that fits the shares best.

    These are Newton's steps on a convex function, cut where it is nearly straight.
    """
    witnesses, belief_WV = len(sharpness_W), found.log_belief_WSN.reshape(len(sharpness_W), -1)
    for _ in range(c.SHARPNESS_STEPS):
        p_SU = np.exp(prior(found, sharpness_W))
        centered_WSU = found.log_belief_WSN - (p_SU * found.log_belief_WSN).sum(axis=1, keepdims=True)
        centered_WV = centered_WSU.reshape(witnesses, -1)
        curvature_WW = (centered_WV * p_SU.ravel()) @ centered_WV.T + c.LEAST_CURVATURE * np.eye(witnesses)
        step_W = np.linalg.solve(curvature_WW, belief_WV @ (share_SU - p_SU).ravel())
        longest = max(c.LONGEST_STEP * sharpness_W.sum(), c.SHORT_STEP)
        sharpness_W = np.clip(sharpness_W + step_W / max(1.0, np.abs(step_W).max() / longest), *c.SHARPNESSES)
        sharpness_W += max(least - sharpness_W.sum(), 0.0) / witnesses
    return sharpness_W
