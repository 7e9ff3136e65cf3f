"""How often each annotator is wrong: the noise transition model with a matrix for each of them.

An image of true class k has votes: the label y of annotator a, of one annotator or more. As in
`labelaudit.detect.transition` a held-out witness gives P(k | image), and the votes are independent of it and of each
other:

    P(k | image, votes) ∝ P(k | image) · Π T_a[k, y]        error rate of a = mean of 1 − P(y | image, votes)

The mean is over a's votes. The matrices T_a, with a Dirichlet prior each, and the witness's sharpness are fitted by
expectation-maximization. It is Dawid and Skene's model (1979), which has one prior for all images. CROWDLAB (Goh,
Tkachenko and Mueller 2022) weighs a classifier and the annotators too, without their confusions.

Shapes: N samples, U samples that the witness saw, V votes, A annotators, S candidates of a sample, Q cells (annotator,
true, given), K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from labelaudit.detect import FloatArray, IntArray
from labelaudit.detect import constants as c
from labelaudit.detect import transition as t
from labelaudit.detect.confident import Beliefs
from labelaudit.detect.theory import wilson


class Votes(NamedTuple):
    """Who gave which label: numbers of sample, annotator and class; a label that is no class is −1."""

    sample_V: IntArray
    annotator_V: IntArray
    label_V: IntArray


@dataclass(frozen=True, kw_only=True)
class Annotators:
    """What the model says of V votes and A annotators; NaN for votes on images without a record.

    Attributes:
        p_wrong_V: P(the vote is wrong), by the witness and all votes on the image.
        true_V: The likeliest class other than the vote's; −1 where there is none.
        rate_A, low_A, high_A: Error rate and its interval; NaN with fewer than `LEAST_OF_CLASS` votes.
    """

    p_wrong_V: FloatArray
    true_V: IntArray
    rate_A: FloatArray
    low_A: FloatArray
    high_A: FloatArray


def fit_annotators(
    votes: Votes, label_N: IntArray, witness: Beliefs, classes: int, annotators: int, sharpness: float
) -> Annotators:
    """Fit the model; ``label_N`` are the labels that the witness was trained on, ``sharpness`` is where it starts."""
    seen_N = np.isfinite(witness.given_N)
    seen_V = seen_N[votes.sample_V]
    row_N = np.cumsum(seen_N) - 1
    sample_V, label_V = row_N[votes.sample_V[seen_V]], votes.label_V[seen_V]
    # Annotators with few votes share one matrix, the last.
    few_A = np.bincount(votes.annotator_V[seen_V], minlength=annotators) < c.LEAST_OF_CLASS
    of_V = np.where(few_A, annotators, np.arange(annotators))[votes.annotator_V[seen_V]]
    named_MN = _named(votes, len(label_N))
    found, _, _ = t.candidates(label_N, [witness], classes, seen_N, named_MN)
    joint_SU, vote_SV = _fit(found, sample_V, of_V, label_V, classes, annotators + 1, sharpness)
    share_SU = np.exp(joint_SU - np.logaddexp.reduce(joint_SU, axis=0))
    is_it_SV = (found.class_SN[:, sample_V] == label_V) & (label_V >= 0)
    without_SV = joint_SU[:, sample_V] - vote_SV  # by the witness and the others' votes
    without_SV = np.exp(without_SV - np.logaddexp.reduce(without_SV, axis=0))
    p_wrong_V, doubt_V = np.full((2, len(votes.label_V)), np.nan)
    true_V = np.full(len(votes.label_V), -1, dtype=np.int32)
    p_wrong_V[seen_V] = 1.0 - (share_SU[:-1, sample_V] * is_it_SV).sum(axis=0)
    doubt_V[seen_V] = 1.0 - (without_SV[:-1] * is_it_SV).sum(axis=0)
    other_SV = np.where(is_it_SV, 0.0, share_SU[:-1, sample_V])
    best_V = other_SV.argmax(axis=0)
    true_V[seen_V] = np.where(other_SV.max(axis=0) > 0, found.class_SN[best_V, sample_V], -1)
    rate_A, low_A, high_A = np.full((3, annotators), np.nan)
    for a in np.flatnonzero(~few_A):
        mine_V = seen_V & (votes.annotator_V == a)
        rate_A[a], low_A[a], high_A[a] = _rate(p_wrong_V[mine_V], doubt_V[mine_V])
    return Annotators(p_wrong_V=p_wrong_V, true_V=true_V, rate_A=rate_A, low_A=low_A, high_A=high_A)


def _rate(p_wrong_V: FloatArray, doubt_V: FloatArray) -> tuple[float, float, float]:
    votes, rate = len(p_wrong_V), float(p_wrong_V.mean())
    doubt = max(float(doubt_V.mean()) - rate, 0.0)
    least, most = max(rate - c.OVERCOUNTED_SHARE * doubt, 0.0), min(rate + c.HIDDEN_SHARE * doubt, 1.0)
    return rate, wilson(least * votes, votes)[0], wilson(most * votes, votes)[1]


def _named(votes: Votes, samples: int) -> IntArray:
    """Return the labels that each sample has: [M, N], −1 where it has fewer."""
    order_V = np.argsort(votes.sample_V, kind="stable")
    sample_V = votes.sample_V[order_V]
    place_V = np.arange(len(sample_V)) - np.searchsorted(sample_V, sample_V)
    named_MN = np.full((int(place_V.max()) + 1, samples), -1, dtype=np.int32)
    named_MN[place_V, sample_V] = votes.label_V[order_V]
    return named_MN


def _fit(
    found: t.Candidates,
    sample_V: IntArray,
    of_V: IntArray,
    label_V: IntArray,
    classes: int,
    annotators: int,
    sharpness: float,
) -> tuple[FloatArray, FloatArray]:
    """Run expectation-maximization, and return log P(k, votes | image) and log T_a[k, y] of each candidate k."""
    class_SV = found.class_SN[:, sample_V]
    is_class_SV = (class_SV >= 0) & (label_V >= 0)
    true_SV, given_V = np.maximum(class_SV, 0).astype(np.int64), np.maximum(label_V, 0)
    cell_Q, cell_SV = np.unique((of_V * classes + true_SV) * classes + given_V, return_inverse=True)
    cell_SV = cell_SV.reshape(true_SV.shape)
    row_Q, given_Q = np.divmod(cell_Q, classes)
    of_Q, true_Q = np.divmod(row_Q, classes)
    is_error_Q = true_Q != given_Q
    cells_A = [np.flatnonzero(of_Q == a) for a in range(annotators)]
    count_A = np.bincount(of_V, minlength=annotators)
    error_A, strength_A = np.full(annotators, c.FIRST_ERROR), np.full(annotators, c.FIRST_STRENGTH)
    sharpness_W, before = np.array([sharpness]), -np.inf
    log_t_Q, log_other_A = np.zeros(len(cell_Q)), np.zeros(annotators)
    count_Q: FloatArray = np.zeros(len(cell_Q))
    for step in range(c.TRANSITION_STEPS):
        for a in np.flatnonzero(count_A):
            q = cells_A[a]
            if step and step % c.STRENGTH_EVERY == 1:
                strength_A[a] = t.strength_of(count_Q[q], true_Q[q], is_error_Q[q], classes, error_A[a])
            log_t_Q[q], log_other_A[a] = t.log_transition(
                count_Q[q], true_Q[q], is_error_Q[q], classes, strength_A[a], error_A[a]
            )
        vote_SV = np.concatenate([np.where(is_class_SV, log_t_Q[cell_SV], 0.0), log_other_A[None, of_V]])
        vote_SV[-1, label_V < 0] = 0.0
        samples = found.class_SN.shape[1]
        joint_SU = t.prior(found, sharpness_W) + [np.bincount(sample_V, vote_V, samples) for vote_V in vote_SV]
        likelihood_U = np.logaddexp.reduce(joint_SU, axis=0)
        now = float(likelihood_U.sum())
        if now - before < c.TRANSITION_TOLERANCE and step > c.STRENGTH_EVERY:
            break
        before = now
        share_SU = np.exp(joint_SU - likelihood_U)
        share_SV = share_SU[:-1, sample_V] * is_class_SV
        count_Q = np.bincount(cell_SV.ravel(), share_SV.ravel(), len(cell_Q)).astype(np.float64)
        right_V = (share_SV * (true_SV == given_V)).sum(axis=0)
        known_A = np.bincount(of_V, label_V >= 0, annotators)
        error_A = 1.0 - np.bincount(of_V, right_V, annotators) / np.maximum(known_A, 1)
        sharpness_W = t.sharpness_of(found, share_SU, sharpness_W)
    return joint_SU, vote_SV
