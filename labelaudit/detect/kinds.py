"""What is wrong with a sample: label, image, nothing that can be decided, an equal image with another label, no class.

Corrupted images are found without the probe: a logistic regression on pixel statistics tells them from the images as
they are, and is fitted to copies of these that were corrupted on purpose. No network is trained on the copies.

Shapes: N samples, U images, P of which were copied, M kinds of copies, S statistics, X of either, A samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from labelaudit.detect import BoolArray, FloatArray, IntArray
from labelaudit.detect import constants as c
from labelaudit.detect.curves import CurveStatistics
from labelaudit.detect.images import ImageTable
from labelaudit.detect.logistic import fit_logistic, logits
from labelaudit.names import COPY_KINDS, KINDS, CopyKind, KindName

KindArray = npt.NDArray[np.int8]


@dataclass(frozen=True, kw_only=True)
class Copies:
    """How many copies there are of one kind, and how many of them would be called corrupted."""

    kind: CopyKind
    count: int
    found: int


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """The kind of every sample, and how far to trust it.

    Attributes:
        kind_N: Index into `labelaudit.names.KINDS`; −1 where nothing is wrong.
        p_corrupted_N: P(corrupted); NaN where the image is not known.
        corruption_N: Its log-odds, which rank; NaN likewise.
        p_no_class_N: P(no class); NaN where it is not known.
        copies: What each kind of copies is called; empty where none were made.
        equal_N: Number of the group of equal images that a sample is in; −1 where there is no other, or no content.
    """

    kind_N: KindArray
    p_corrupted_N: FloatArray
    corruption_N: FloatArray
    p_no_class_N: FloatArray
    copies: tuple[Copies, ...]
    equal_N: IntArray

    def of(self, kind: KindName) -> BoolArray:
        """Return True for the samples of this kind: [N]."""
        chosen_N: BoolArray = self.kind_N == KINDS.index(kind)
        return chosen_N

    def surest(self, kind: Literal["corrupted", "no-class"]) -> npt.NDArray[np.int64]:
        """Return the samples of a kind that has a score of its own, the surest first."""
        found, score_N = np.flatnonzero(self.of(kind)), {"corrupted": self.corruption_N, "no-class": self.p_no_class_N}
        return found[np.argsort(-score_N[kind][found], kind="stable")]


def tell_kinds(
    statistics: CurveStatistics,
    flagged_N: BoolArray,
    digests: Sequence[str],
    images: ImageTable | None,
    generator: np.random.Generator,
    *,
    p_no_class_N: FloatArray | None = None,
) -> Kinds:
    """Tell for each sample what is wrong with it.

    - ``corrupted``: P(corrupted) > .5, suspicious or not (`find_corrupted`);
    - ``duplicate``: an equal image has another label, suspicious or not;
    - ``no-class``: P(no class) > .5, suspicious or not (`labelaudit.detect.noclass`);
    - ``ambiguous``: suspicious, but the probe did not prefer the suggested label to the given one as clearly as it
      would if that were wrong: see `ambiguous_below`;
    - ``mislabeled``: suspicious (``flagged_N``), and none of these.

    ``digests`` are N texts, equal for equal files and empty where a file could not be read.
    """
    p_N, score_N = np.full((2, len(flagged_N)), np.nan)
    same, copies = list(digests), list[Copies]()
    if images is not None:
        # Pixels tell equal images that files do not.
        for sample, digest in zip(images.sample_U.tolist(), images.digest_U.tolist(), strict=True):
            same[sample] = digest
        if (found := find_corrupted(images, generator)) is not None:
            p_N[images.sample_U], score_N[images.sample_U], p_PM = found
            found_M = (p_PM > c.CORRUPTED_ABOVE).sum(axis=0).tolist()
            copies = [Copies(kind=kind, count=len(p_PM), found=n) for kind, n in zip(COPY_KINDS, found_M, strict=True)]
    least = ambiguous_below(statistics, flagged_N, generator)
    beliefs = statistics.beliefs
    unclear_N = beliefs.alternative_belief_N - beliefs.given_N < least
    named_N = np.where(unclear_N, KINDS.index("ambiguous"), KINDS.index("mislabeled"))
    kind_N = np.where(flagged_N, named_N, -1).astype(np.int8)
    no_class_N = np.full(len(flagged_N), np.nan) if p_no_class_N is None else p_no_class_N
    kind_N[no_class_N > c.NO_CLASS_ABOVE] = KINDS.index("no-class")
    equal_N = equal_images(same)
    kind_N[conflicting(statistics.label_N, equal_N)] = KINDS.index("duplicate")
    kind_N[p_N > c.CORRUPTED_ABOVE] = KINDS.index("corrupted")
    return Kinds(
        kind_N=kind_N,
        p_corrupted_N=p_N,
        corruption_N=score_N,
        p_no_class_N=no_class_N,
        copies=tuple(copies),
        equal_N=equal_N,
    )


def ambiguous_below(statistics: CurveStatistics, flagged_N: BoolArray, generator: np.random.Generator) -> float:
    """Return by how much the probe prefers the true label to a wrong one: the 2% quantile, in [0, 1].

    A sample that is not suspicious is assumed to be labeled rightly. Had it another label k, drawn evenly, then the
    belief in the best label but k would exceed that in k by max_{j≠k} p_j − p_k, p being mean probabilities. As k was
    not taught, that is more than of real errors: hence a low quantile. Below fifty such samples it is 0.
    """
    ordinary = np.flatnonzero(statistics.seen_N & ~flagged_N)
    classes, beliefs = statistics.joint.classes, statistics.beliefs
    if len(ordinary) < c.LEAST_ORDINARY or classes < 2:
        return 0.0
    wrong_A = (statistics.label_N[ordinary] + generator.integers(1, classes, len(ordinary))) % classes
    other_MA, is_wrong_MA = beliefs.other_MN[:, ordinary], beliefs.class_MN[:, ordinary] == wrong_A
    best_A = np.maximum(beliefs.given_N[ordinary], np.where(is_wrong_MA, 0.0, other_MA).max(axis=0))
    return max(0.0, float(np.quantile(best_A - np.where(is_wrong_MA, other_MA, 0.0).sum(axis=0), c.UNDECIDED)))


def equal_images(digests: Sequence[str]) -> IntArray:
    """Return the number of the group of samples with the same text; −1 for empty texts and for those alone: [N]."""
    # A prefix takes a fraction of the memory of whole texts.
    prefix_N = np.array([digest[: c.DIGEST_DIGITS].encode() for digest in digests], dtype=f"S{c.DIGEST_DIGITS}")
    text_G, group_N, count_G = np.unique(prefix_N, return_inverse=True, return_counts=True)
    shared_G = (count_G > 1) & (text_G != b"")
    number_G = np.where(shared_G, np.cumsum(shared_G) - 1, -1).astype(np.int32)
    return number_G[group_N]


def conflicting(label_N: IntArray, equal_N: IntArray) -> BoolArray:
    """Return True for samples of which there is an equal image, by `equal_images`, with another label: [N]."""
    classes = int(label_N.max(initial=0)) + 1
    inside_N = equal_N >= 0
    labels_G = np.bincount(np.unique(equal_N[inside_N].astype(np.int64) * classes + label_N[inside_N]) // classes)
    differs_N: BoolArray = inside_N.copy()
    differs_N[inside_N] = labels_G[equal_N[inside_N]] > 1
    return differs_N


def find_corrupted(
    images: ImageTable, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Return P(corrupted) and its log-odds for each image, and P(corrupted) that each copy would be given: [U, U, PM].

    None with fewer than twenty copied images.

    A multinomial logistic regression on the statistics, with as much weight on each kind k of copies as on the images
    as they are (0), gives likelihood ratios r_k(x) = f(x | k) / f(x | 0). The shares π of the kinds among the images
    are those at which π_k is the mean of P(k | x) = π_k r_k(x) / Σ_j π_j r_j(x) (Saerens et al. 2002), but at least
    one in a thousand each, so that a single one is found too. P(corrupted) = 1 − P(0 | x).

    This is done twice, the second time without the images that the first found. Each half of the images is judged by
    the regression of the other half, copies with their image.
    """
    from scipy.special import expit

    if len(images.copied_P) < c.LEAST_IMAGES:
        return None
    value_US, copy_PMS = images.value_US.astype(np.float64), images.copy_PMS.astype(np.float64)
    middle_S, deviation_S = np.median(value_US, axis=0), value_US.std(axis=0) + c.TINY
    value_US, copy_PMS = (
        ((value - middle_S) / deviation_S).clip(-c.FARTHEST_STATISTIC, c.FARTHEST_STATISTIC)
        for value in (value_US, copy_PMS)
    )
    fold_U = generator.permutation(len(value_US)) % c.FOLDS
    fold_P = generator.permutation(len(copy_PMS)) % c.FOLDS
    fold_U[images.copied_P] = fold_P
    own_U = np.ones(len(value_US), dtype=bool)
    for _ in range(c.ROUNDS):
        ratio_UM, ratio_PMM = (
            np.empty((*shape, len(COPY_KINDS))) for shape in (value_US.shape[:1], copy_PMS.shape[:2])
        )
        for fold in range(c.FOLDS):
            inside_U, inside_P = fold_U == fold, fold_P == fold
            fitted = generator.permutation(np.flatnonzero(~inside_U & own_U))[: c.MOST_FITTED]
            model = _fitted(value_US[fitted], copy_PMS[~inside_P])
            ratio_UM[inside_U] = _log_ratios(model, value_US[inside_U])
            ratio_PMM[inside_P] = _log_ratios(model, copy_PMS[inside_P])
        # By the ratio alone: of images that it was fitted on, the shares above would find none corrupted.
        own_U = ratio_UM.max(axis=1) < np.log(c.TOO_DENSE)
        if own_U.sum() < c.LEAST_IMAGES:  # nothing tells copies from these images
            break
    share_M = _shares(ratio_UM)
    score_U, score_PM = _log_odds(ratio_UM, share_M), _log_odds(ratio_PMM, share_M)
    p_U, p_PM = (expit(odds.clip(-c.LARGEST_EXPONENT, c.LARGEST_EXPONENT)) for odds in (score_U, score_PM))
    return p_U, score_U, p_PM


def _fitted(value_XS: FloatArray, copy_PMS: FloatArray) -> FloatArray:
    """Return the regression that tells images as they are (0) from copies of kind k (k + 1)."""
    kind_PM = np.broadcast_to(np.arange(1, len(COPY_KINDS) + 1), copy_PMS.shape[:2])
    value = np.concatenate([value_XS, copy_PMS.reshape(-1, copy_PMS.shape[-1])])
    kind = np.concatenate([np.zeros(len(value_XS), dtype=np.int64), kind_PM.ravel()])
    count_K = np.bincount(kind)
    return fit_logistic(value, kind, (len(kind) / len(count_K) / count_K)[kind])


def _log_ratios(model: FloatArray, value_XS: FloatArray) -> FloatArray:
    """Return the logarithm of r_k(x) of each kind: [X, M]."""
    logit = logits(model, value_XS.reshape(-1, value_XS.shape[-1]))
    ratio: FloatArray = logit[:, 1:] - logit[:, :1]
    return ratio.reshape(*value_XS.shape[:-1], len(COPY_KINDS))


def _shares(ratio_UM: FloatArray) -> FloatArray:
    """Return the share of each kind among the images, one in a thousand or more: [M]."""
    ratio_UM = np.exp(ratio_UM.clip(max=c.LARGEST_EXPONENT))
    share_M = np.full(len(COPY_KINDS), c.FIRST_SHARE / len(COPY_KINDS))
    for _ in range(c.SHARE_STEPS):
        weight_UM = ratio_UM * share_M
        before_M, share_M = share_M, (weight_UM / (1.0 - share_M.sum() + weight_UM.sum(axis=1))[:, None]).mean(axis=0)
        share_M = np.maximum(share_M, c.LEAST_SHARE)
        share_M *= min(1.0, c.LARGEST_SHARE / share_M.sum())
        if np.abs(share_M - before_M).max() < c.SHARE_TOLERANCE * c.LEAST_SHARE:
            break
    return share_M


def _log_odds(ratio_XM: FloatArray, share_M: FloatArray) -> FloatArray:
    """Return the logarithm of Σ_k π_k r_k / π_0: [X]."""
    exponent_XM = ratio_XM + np.log(np.maximum(share_M, np.finfo(np.float64).tiny))
    odds_X: FloatArray = np.logaddexp.reduce(exponent_XM, axis=-1) - np.log(1.0 - share_M.sum())
    return odds_X
