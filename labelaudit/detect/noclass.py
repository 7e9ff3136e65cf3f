"""Images that belong to none of the classes: told by what the images of each class look like without their class.

An image of no class is far from every class among the embeddings, and the held-out heads do not know what to believe.
So is a hard image of a class, and how hard images are differs from data set to data set. Therefore every image is
compared with itself as it would be *without its class*: its distance to the nearest other class, and the beliefs in the
other classes. A logistic regression tells one from the other. In addition a label that the heads believe in speaks
against an image of no class, whose label is nobody's guess.

Shapes: N samples, R images with embeddings, D features, K classes, M slots, F figures of an image.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from labelaudit.detect import BoolArray, Float32Array, FloatArray, IntArray, NumberArray
from labelaudit.detect import constants as c
from labelaudit.detect.confident import Beliefs
from labelaudit.detect.logistic import fit_logistic, logits


def class_distances(feature_RD: Float32Array, label_R: NumberArray, classes: int) -> Float32Array:
    """Return 1 − cosine to the nearest class, and to the nearest other class without the given one: [R, 2], in [0, 2].

    A class is the mean μ of its images, of its own an image x is left out. Angles are those around the mean of all
    images, which is 0 as the embeddings are standardized; and without class k around that of the others, which is
    −a μ_k with a = n_k / (R − n_k). (Around 0 the classes are on opposite sides, if they are few, and an image without
    its own would be farther from the others than one of no class.)
    """
    from scipy.sparse import csr_array

    rows, count_K = len(feature_RD), np.bincount(label_R, minlength=classes).astype(np.float32)
    share_R = 1.0 / count_K[label_R]
    mean_KD = csr_array((share_R, (label_R, np.arange(rows))), shape=(classes, rows), dtype=np.float32) @ feature_RD
    square_K = np.einsum("kd,kd->k", mean_KD, mean_KD)
    away_K = count_K / np.maximum(rows - count_K, 1.0)
    distance_R2 = np.empty((rows, 2), dtype=np.float32)
    step = max(1, c.COSINES_AT_ONCE // max(mean_KD.shape))
    for first in range(0, rows, step):
        part = slice(first, first + step)
        x_BD, label_B = feature_RD[part], label_R[part]
        own_B = (np.arange(len(label_B)), label_B)
        dot_BK, square_B = x_BD @ mean_KD.T, np.einsum("bd,bd->b", x_BD, x_BD)
        cosine_BK = _cosine(dot_BK, square_B[:, None], square_K)
        count_B, mean_B, dot_B = count_K[label_B], square_K[label_B], dot_BK[own_B]
        rest_B = count_B**2 * mean_B - 2.0 * count_B * dot_B + square_B
        cosine_BK[:, count_K == 0] = -1.0
        cosine_BK[own_B] = _cosine(count_B * dot_B - square_B, square_B, rest_B)
        nearest_B = cosine_BK.max(axis=1)
        away_B = away_K[label_B]
        to_x_B, to_center_B = away_B * dot_B, away_B**2 * mean_B
        to_mean_BK = away_B[:, None] * (mean_KD[label_B] @ mean_KD.T)
        cosine_BK = _cosine(
            dot_BK + to_mean_BK + (to_x_B + to_center_B)[:, None],
            (square_B + 2.0 * to_x_B + to_center_B)[:, None],
            square_K + 2.0 * to_mean_BK + to_center_B[:, None],
        )
        cosine_BK[own_B], cosine_BK[:, count_K == 0] = -1.0, -1.0
        distance_R2[part] = 1.0 - np.stack([nearest_B, cosine_BK.max(axis=1)], axis=1)
    return distance_R2


def _cosine(dot: Float32Array, square: Float32Array, other_square: Float32Array) -> Float32Array:
    """Return the cosine from a product and the squared lengths; 0 where one of these is 0."""
    length = np.sqrt(np.maximum(square, 0.0) * np.maximum(other_square, 0.0))
    cosine: Float32Array = np.where(length > c.TINY, dot / np.maximum(length, c.TINY), 0.0).clip(-1.0, 1.0)
    return cosine


def find_no_class(
    distance_N2: npt.NDArray[np.floating],
    beliefs: Beliefs,
    label_N: IntArray,
    flagged_N: BoolArray,
    classes: int,
    *,
    probe: Beliefs | None = None,
) -> FloatArray | None:
    """Return P(no class) of each sample, NaN where one of its figures is not known: [N].

    With r(x) the likelihood ratio of the regression, fitted to the samples that are not suspicious (``flagged_N``) as
    they are and without their class, with b the belief in the given label, and with ε = `STRAY_LABELS`,

        P / (1 − P) = `NO_CLASS_ODDS` · r(x) · (1 / K) / ((1 − ε) b + ε / K).

    It is halved, so that it is not above .5, where the ``probe``, which is a network where there is one beside the
    heads, mostly believes in one class.
    The regression is fitted twice, the second time without the images that the first took for ones of no class. None
    with fewer than three classes, or too few samples to fit to.
    """
    from scipy.special import expit

    figure_NF = np.stack([distance_N2[:, 0], evenness(beliefs, classes)], axis=1)
    without_NF = np.stack([distance_N2[:, 1], evenness(beliefs, classes, without_given=True)], axis=1)
    known_N = np.isfinite(figure_NF).all(axis=1) & np.isfinite(without_NF).all(axis=1)
    ordinary = np.flatnonzero(known_N & ~flagged_N)
    ordinary = ordinary[:: max(1, -(-len(ordinary) // c.MOST_FITTED))]
    if classes < 3 or len(ordinary) < c.LEAST_ORDINARY:
        return None
    middle_F = np.median(figure_NF[ordinary], axis=0)
    deviation_F = figure_NF[ordinary].std(axis=0) + c.TINY
    figure_NF, without_NF = ((value_NF - middle_F) / deviation_F for value_NF in (figure_NF, without_NF))
    ratio_N, own = np.full(len(label_N), np.nan), ordinary
    for _ in range(c.ROUNDS):
        if len(own) < c.LEAST_ORDINARY:
            break
        value = np.concatenate([figure_NF[own], without_NF[own]])
        is_without = np.repeat([0, 1], len(own))
        ratio_N[known_N] = logits(fit_logistic(value, is_without), figure_NF[known_N])[:, 0]
        own = ordinary[ratio_N[ordinary] < np.log(c.NO_CLASS_DENSITY)]
    given_N = (1.0 - c.STRAY_LABELS) * beliefs.given_N + c.STRAY_LABELS / classes
    p_N: FloatArray = expit(np.log(c.NO_CLASS_ODDS / classes) + ratio_N - np.log(given_N))
    if probe is not None:
        p_N[np.fmax(probe.given_N, probe.alternative_belief_N) > c.MOSTLY_BELIEVED] *= 0.5
    return p_N


def evenness(beliefs: Beliefs, classes: int, *, without_given: bool = False) -> FloatArray:
    """Return the entropy of the beliefs, relative to that of even ones: [N], in [0, 1], NaN without a record.

    ``without_given`` is that of the beliefs in the other classes, made to sum to 1. A class that was not recorded has
    its even share of the rest.
    """
    is_class_MN = beliefs.class_MN >= 0
    p_SN = np.where(is_class_MN, beliefs.other_MN, 0.0)
    if not without_given:
        p_SN = np.concatenate([beliefs.given_N[None], p_SN])
    left_N = np.maximum(classes - 1 - is_class_MN.sum(axis=0), 0)
    sum_N = np.maximum(p_SN.sum(axis=0) + left_N * beliefs.rest_N, c.LEAST_BELIEF)
    entropy_N = _surprise(p_SN / sum_N).sum(axis=0) + left_N * _surprise(beliefs.rest_N / sum_N)
    even = np.log(max(classes - without_given, 2))
    return np.where(np.isfinite(beliefs.given_N), entropy_N / even, np.nan)


def _surprise(p: FloatArray) -> FloatArray:
    surprise: FloatArray = -p * np.log(np.maximum(p, c.LEAST_BELIEF))
    return surprise
