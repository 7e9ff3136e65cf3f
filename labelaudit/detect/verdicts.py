"""From statistics to verdicts: P(mislabeled), weights, a noise rate, and how far to trust them.

Shapes: N samples, K classes, Q cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from labelaudit.detect import BoolArray, FloatArray
from labelaudit.detect import constants as c
from labelaudit.detect.curves import CurveStatistics
from labelaudit.detect.mixture import GaussianMixture
from labelaudit.detect.theory import ESTIMATORS, Estimate
from labelaudit.names import EstimatorName, StatisticName
from labelaudit.text import plural

DEFAULT_ESTIMATOR: EstimatorName = "transition"


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Which statistic ranks the samples, how P(mislabeled) is estimated from it, and which weights it gives.

    With ``raw_weights`` these are 1 − z, z a mixture's posterior as it is: the AUL paper's, by ``gmm`` on ``aul``.
    """

    rank_by: StatisticName = ESTIMATORS[DEFAULT_ESTIMATOR].rank_by
    estimator: EstimatorName = DEFAULT_ESTIMATOR
    raw_weights: bool = False

    @classmethod
    def chosen(
        cls, *, rank_by: StatisticName | None = None, estimator: EstimatorName | None = None, raw_weights: bool = False
    ) -> FitSettings:
        """Return the user's choice; the statistic is the estimator's own unless another is named."""
        estimator = estimator or DEFAULT_ESTIMATOR
        rank_by = rank_by or ESTIMATORS[estimator].rank_by
        return cls(rank_by=rank_by, estimator=estimator, raw_weights=raw_weights)


@dataclass(frozen=True, kw_only=True)
class ReviewShare:
    """About which share of the errors is among the first ``top`` of the ranked list."""

    top: int
    caught: float


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """The judgment of each sample, and the figures of the whole audit.

    Attributes:
        p_mislabeled_N, raw_posterior_N: As in `Estimate`; NaN without a record.
        weight_N: 1 − P(mislabeled), or 1 − the raw posterior if that is asked for; 0 without a record.
        suspicion_N: The statistic that ranks, high = suspicious; −∞ for labels that a person kept.
        noise_rate, interval: Estimate and [low, high]; None where the estimator finds nothing to fit.
        estimates: What each estimator says, without those that find nothing to fit.
        review: How many errors are at the head of the list.
        warnings: Reasons not to trust the figures, as sentences.
    """

    p_mislabeled_N: FloatArray
    raw_posterior_N: FloatArray
    weight_N: FloatArray
    suspicion_N: FloatArray
    noise_rate: float | None
    interval: tuple[float, float] | None
    estimates: Mapping[EstimatorName, Estimate]
    review: tuple[ReviewShare, ...]
    warnings: list[str]

    @property
    def flagged_N(self) -> BoolArray:
        """True for suspicious samples: P(mislabeled) above the threshold."""
        return self.p_mislabeled_N > c.FLAG_ABOVE

    @property
    def flagged(self) -> int:
        """The number of suspicious samples."""
        return int(self.flagged_N.sum())

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """Samples with a record, the most suspicious first: the first ``flagged`` of them are suspicious."""
        return ranking(self.p_mislabeled_N, self.suspicion_N)


def ranking(p_N: FloatArray, suspicion_N: FloatArray) -> npt.NDArray[np.int64]:
    """Return the samples with a record, by P(mislabeled), and where that is equal by a statistic that says more."""
    seen = np.flatnonzero(np.isfinite(p_N))
    return seen[np.lexsort((-suspicion_N[seen], -p_N[seen]))]


def judge(statistics: CurveStatistics, settings: FitSettings) -> Verdicts:
    """Judge every sample.

    The AUL paper's equation in section 4.2 prints z = P(mislabeled) itself as the weight, against its own text; see
    `labelaudit.methods.standard`.
    """
    estimates: dict[EstimatorName, Estimate] = {}
    for name, estimator in ESTIMATORS.items():
        rank_by = settings.rank_by if name == settings.estimator else estimator.rank_by
        if (found := estimator.estimate(statistics, rank_by)) is not None:
            estimates[name] = found
    suspicion_N = statistics.suspicion(settings.rank_by)
    seen_N = np.isfinite(suspicion_N)
    estimate = estimates.get(settings.estimator)
    p_N = raw_N = np.where(seen_N, 0.0, np.nan)
    if estimate is not None:
        p_N, raw_N = estimate.p_mislabeled_N, estimate.raw_posterior_N
    return Verdicts(
        p_mislabeled_N=p_N,
        raw_posterior_N=raw_N,
        weight_N=np.where(seen_N, 1.0 - (raw_N if settings.raw_weights else p_N), 0.0),
        suspicion_N=suspicion_N,
        noise_rate=None if estimate is None else estimate.noise_rate,
        interval=None if estimate is None else estimate.interval(statistics),
        estimates=estimates,
        review=review_shares(p_N),
        warnings=list(find_warnings(statistics, estimate, p_N > c.FLAG_ABOVE, settings)),
    )


def review_shares(p_N: FloatArray) -> tuple[ReviewShare, ...]:
    """Add up P(mislabeled) down the list; nothing where it is 0 throughout."""
    p = np.sort(p_N[np.isfinite(p_N)])[::-1]
    if p.sum() <= 0:
        return ()
    caught = np.cumsum(p) / p.sum()
    expected = max(int((p > c.FLAG_ABOVE).sum()), p.sum())
    # Two figures: "the first 1,800" is a plan, "the first 1,837" is not.
    rounded = [int(float(f"{share * expected:.2g}")) for share in c.REVIEWS]
    tops = sorted({min(len(p), max(1, top)) for top in rounded})
    return tuple(ReviewShare(top=top, caught=float(caught[top - 1])) for top in tops)


def find_warnings(
    statistics: CurveStatistics, estimate: Estimate | None, flagged_N: BoolArray, settings: FitSettings
) -> Iterator[str]:
    """Yield every reason not to trust the figures, each with what to do about it."""
    rank_by, last_wrong_N, joint = settings.rank_by, statistics.last_wrong_N, statistics.joint
    seen_N = np.isfinite(statistics.suspicion(rank_by))
    if estimate is None:
        why, scores = "it has fewer than three different values", int(seen_N.sum())
        if scores < c.MIN_SCORES:
            why = f"only {plural(scores, 'sample has', 'samples have')} a score"
        yield (f"No {settings.estimator} fits the {rank_by}: {why}. There is no noise rate, and nothing is flagged.")
        return
    if estimate.mixture is not None:
        yield from _of_mixture(estimate.mixture, rank_by)
    if (epoch := statistics.memorized_from) is not None:
        yield (
            f"From epoch {epoch} on the probe has started to memorize labels it doubted before. "
            "The default gives these epochs little weight, AUM and the mixtures do not. Audit again with "
            f"--epochs {max(epoch - 1, 1)}."
        )
    elif (flagged_N & ~last_wrong_N).sum() > 0.5 * flagged_N.sum():
        yield (
            "By its last epoch the probe agrees with most of the suspicious labels: either they are right but hard, "
            "or it has memorized them. Trust the ranking more than the noise rate, and look at the first rows."
        )
    if (wrong_rate := last_wrong_N[seen_N].mean()) > c.WEAK_PROBE:
        yield (
            f"The probe disagrees with {wrong_rate:.0%} of the labels in its last epoch: it has learned little, so "
            "hard images look like wrong labels. Train longer, or take a stronger probe (--preset, --model)."
        )
    count_K = np.unique(statistics.label_N[seen_N], return_counts=True)[1]
    if few := int((count_K < c.FEW_IN_CLASS).sum()):
        yield (
            f"{few} of {len(count_K)} classes have fewer than {c.FEW_IN_CLASS} images: the probe hardly knows them, "
            "and their labels are judged unreliably. Look at them by hand, or merge them into larger classes."
        )
    enough = joint.noise_rate >= c.STRUCTURED_RATE and joint.classes >= c.STRUCTURED_CLASSES
    if flagged_N.any() and enough and joint.structure > c.STRUCTURED:
        share_Q = np.sort(joint.share_Q[joint.given_Q != joint.true_Q])[::-1]
        half = int(np.searchsorted(share_Q.cumsum(), 0.5 * share_Q.sum())) + 1
        yield (
            f"The errors are not spread evenly: half of them are between {half} of "
            f"{joint.classes * (joint.classes - 1)} pairs of classes. Either these classes were confused when the data "
            "was labeled, or the probe cannot tell them apart: look at the most frequent pairs first."
        )


def _of_mixture(mixture: GaussianMixture, rank_by: StatisticName) -> Iterator[str]:
    if mixture.modes == 1:
        yield (
            f"The {rank_by} has one peak, not two: the mixture splits its tail off whether labels are wrong or not. "
            "The data may be clean; read the noise rate as an upper bound, or take --estimator transition."
        )
    elif mixture.separation < c.LOW_SEPARATION:
        yield (
            f"The two groups overlap (separation {mixture.separation:.1f}, under {c.LOW_SEPARATION:.0f}): the noise "
            "rate is rough. More epochs or a stronger probe may separate them."
        )
