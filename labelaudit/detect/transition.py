"""The noise transition model: from held-out beliefs to P(mislabeled) and the noise rate.

Every sample has a true class k that nobody recorded, and a given label y. The probe, which was not trained on the
sample, believes in class k with probability b_k. The model says

    P(k | image) = softmax_k(a · log b_k)        P(y | k) = T[k, y]

so a given label has the likelihood Σ_k P(k | image) · T[k, y], and

    P(mislabeled) = 1 − P(y | image) · T[y, y] / Σ_k P(k | image) · T[k, y].

Three things are fitted to the given labels, by expectation-maximization; nothing is chosen by hand:

- **a**, how far the probe's beliefs are to be trusted. Where it contradicts labels that it is half sure of, that is the
  probe's weakness, and a falls. Where it contradicts them as often when it is sure, the labels are wrong;
- **T**, the noise transition matrix (Patrini et al. 2017): how often class k is labeled y;
- **s**, the strength of a Dirichlet prior of T's rows, whose mean has the same error rate in every cell: large where
  errors are spread evenly, small where a few pairs of classes hold them. It maximizes the evidence of the expected
  counts (Minka 2000, "Estimating a Dirichlet distribution").

It is Dawid and Skene's model (1979) with one annotator and a prior of each image's true class. Beliefs of a probe that
was trained on the labels that it judges agree with them too often, and the rate comes out too low.

Shapes: N samples, U samples that are counted, S candidates of a sample: its given label first, then the other classes
that the probe believed in; Q pairs (true, given) of classes that are candidates; K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from labelaudit.detect import FloatArray, IntArray
from labelaudit.detect import constants as c
from labelaudit.detect.confident import Beliefs

PairArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A fitted noise transition model of N samples.

    Attributes:
        sharpness: a.
        strength: s.
        log_odds_N: Log-odds of P(mislabeled); NaN for samples without a record.
        doubt_N: 1 − P(y | image): how far the probe expects another label than the given one; NaN as above.
        true_N: The likeliest class other than the given one; −1 where the probe believed in none.
        true_Q, given_Q: The pairs of classes that were counted, in order.
        count_Q: How many of the counted samples are of each pair, in the mean.
    """

    sharpness: float
    strength: float
    log_odds_N: FloatArray
    doubt_N: FloatArray
    true_N: IntArray
    true_Q: PairArray
    given_Q: PairArray
    count_Q: FloatArray

    @property
    def p_mislabeled_N(self) -> FloatArray:
        """P(mislabeled), NaN for samples without a record."""
        from scipy.special import expit

        p_N: FloatArray = expit(self.log_odds_N)
        return p_N


class _Candidates(NamedTuple):
    """The candidates of samples: classes (−1: none), log-beliefs, and the pair of each with the given label.

    The last row stands for all other classes together, each believed in with the same log-probability.
    """

    class_SN: IntArray
    log_belief_SN: FloatArray
    pair_SN: PairArray
    others_N: IntArray

    def of(self, chosen_N: npt.NDArray[np.bool_]) -> _Candidates:
        """Return those of the chosen samples."""
        return _Candidates(
            self.class_SN[:, chosen_N],
            self.log_belief_SN[:, chosen_N],
            self.pair_SN[:, chosen_N],
            self.others_N[chosen_N],
        )


class _Fit(NamedTuple):
    log_likelihood: float
    sharpness: float
    strength: float
    log_t_Q: FloatArray
    log_t_other: float
    count_Q: FloatArray


def fit_transition(
    label_N: IntArray, beliefs: Beliefs, classes: int, counted_N: npt.NDArray[np.bool_] | None = None
) -> Transition:
    """Fit the model to the counted samples (default: all), and judge every sample with a record by it."""
    seen_N = np.isfinite(beliefs.given_N)
    counted_N = seen_N if counted_N is None else seen_N & counted_N
    found, true_Q, given_Q = _candidates(label_N, beliefs, classes, seen_N)
    counted_U = counted_N[seen_N]
    of_counted = found.of(counted_U)
    is_error_Q = true_Q != given_Q
    fits = [_fit(of_counted, true_Q, is_error_Q, classes, start) for start in c.SHARPNESS_STARTS]
    best = max(fits, key=lambda fit: fit.log_likelihood)
    weight_SN = _joint(found, best.sharpness, best.log_t_Q, best.log_t_other)
    log_odds_N, doubt_N = np.full((2, len(label_N)), np.nan)
    true_N = np.full(len(label_N), -1, dtype=np.int32)
    log_odds_N[seen_N] = np.logaddexp.reduce(weight_SN[1:], axis=0) - weight_SN[0]
    doubt_N[seen_N] = 1.0 - np.exp(weight_SN[0] - best.log_t_Q[found.pair_SN[0]])
    best_N = weight_SN[1:-1].argmax(axis=0) + 1
    true_N[seen_N] = found.class_SN[best_N, np.arange(weight_SN.shape[1])]
    return Transition(
        sharpness=best.sharpness,
        strength=best.strength,
        log_odds_N=log_odds_N,
        doubt_N=doubt_N,
        true_N=true_N,
        true_Q=true_Q,
        given_Q=given_Q,
        count_Q=best.count_Q,
    )


def _candidates(
    label_N: IntArray, beliefs: Beliefs, classes: int, seen_N: npt.NDArray[np.bool_]
) -> tuple[_Candidates, PairArray, PairArray]:
    """Return the candidates of the samples with a record, and the pairs of classes among them."""
    label_U = label_N[seen_N]
    class_SU = np.concatenate([label_U[None], beliefs.class_MN[:, seen_N]])
    belief_SU = np.concatenate([beliefs.given_N[None, seen_N], beliefs.other_MN[:, seen_N]])
    rest_U = np.zeros(len(label_U)) if beliefs.rest_N is None else beliefs.rest_N[seen_N]
    is_class_SU = class_SU >= 0
    log_belief_SU = np.log(np.maximum(np.concatenate([belief_SU, rest_U[None]]), c.LEAST_BELIEF))
    log_belief_SU[:-1][~is_class_SU] = -np.inf
    key_SU = np.where(is_class_SU, class_SU, label_U).astype(np.int64) * classes + label_U
    pair_Q, pair_SU = np.unique(key_SU, return_inverse=True)
    others_U = np.maximum(classes - is_class_SU.sum(axis=0), 0)
    found = _Candidates(class_SU, log_belief_SU, pair_SU.reshape(key_SU.shape), others_U)
    return found, *np.divmod(pair_Q, classes)


def _joint(found: _Candidates, sharpness: float, log_t_Q: FloatArray, log_t_other: float) -> FloatArray:
    """Return log (P(k | image) · T[k, y]) of each candidate, and in the last row of all other classes together."""
    weight_SU = sharpness * found.log_belief_SN
    with np.errstate(divide="ignore"):
        weight_SU[-1] += np.log(found.others_N)
    weight_SU -= np.logaddexp.reduce(weight_SU, axis=0)
    weight_SU[:-1] += log_t_Q[found.pair_SN]
    weight_SU[-1] += log_t_other
    return weight_SU


def _fit(
    found: _Candidates, true_Q: PairArray, is_error_Q: npt.NDArray[np.bool_], classes: int, sharpness: float
) -> _Fit:
    """Run expectation-maximization from this sharpness to the end."""
    samples, strength, error = found.class_SN.shape[1], c.FIRST_STRENGTH, c.FIRST_ERROR
    count_Q: FloatArray = np.zeros(len(true_Q))
    before = -np.inf
    log_t_Q, log_t_other = _transition(count_Q, true_Q, is_error_Q, classes, strength, error)
    for step in range(c.TRANSITION_STEPS):
        weight_SU = _joint(found, sharpness, log_t_Q, log_t_other)
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
            strength = _strength(count_Q, true_Q, is_error_Q, classes, error)
        log_t_Q, log_t_other = _transition(count_Q, true_Q, is_error_Q, classes, strength, error)
        sharpness = _sharpness(found, share_SU, sharpness)
    return _Fit(now, sharpness, strength, log_t_Q, log_t_other, count_Q)


def _prior_mean(is_error_Q: npt.NDArray[np.bool_], classes: int, error: float) -> FloatArray:
    error = min(max(error, c.LEAST_ERROR), 1.0 - c.LEAST_ERROR)
    return np.where(is_error_Q, error / max(classes - 1, 1), 1.0 - error)


def _transition(
    count_Q: FloatArray,
    true_Q: PairArray,
    is_error_Q: npt.NDArray[np.bool_],
    classes: int,
    strength: float,
    error: float,
) -> tuple[FloatArray, float]:
    """Return log T of the pairs, the mean under the prior and these counts, and that of a pair nobody believed in."""
    mean_Q = _prior_mean(is_error_Q, classes, error)
    of_true_K = np.bincount(true_Q, weights=count_Q, minlength=classes)
    log_t_Q = np.log((count_Q + strength * mean_Q) / (of_true_K[true_Q] + strength))
    return log_t_Q, float(np.log(max(error, c.LEAST_ERROR) / max(classes - 1, 1)))


def _strength(
    count_Q: FloatArray, true_Q: PairArray, is_error_Q: npt.NDArray[np.bool_], classes: int, error: float
) -> float:
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


def _sharpness(found: _Candidates, share_SU: FloatArray, sharpness: float) -> float:
    """Return the a that fits the shares best: Newton's steps on a convex function of one number."""
    belief_SU = np.where(np.isfinite(found.log_belief_SN), found.log_belief_SN, 0.0)
    wanted = float((share_SU * belief_SU).sum())
    with np.errstate(divide="ignore"):
        others_U = np.log(found.others_N)
    for _ in range(c.SHARPNESS_STEPS):
        weight_SU = sharpness * found.log_belief_SN
        weight_SU[-1] += others_U
        p_SU = np.exp(weight_SU - np.logaddexp.reduce(weight_SU, axis=0))
        mean_U = (p_SU * belief_SU).sum(axis=0)
        curvature = float((p_SU * (belief_SU - mean_U) ** 2).sum())
        step = (wanted - float(mean_U.sum())) / max(curvature, c.LEAST_CURVATURE)
        sharpness = float(np.clip(sharpness + step, *c.SHARPNESSES))
    return sharpness
