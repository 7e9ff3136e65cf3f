"""Draw a sample to review, and find what its answers say of the whole data set."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from labelaudit.auditing.model import Audit
from labelaudit.data.catalogue import Catalogue
from labelaudit.detect import BoolArray, FloatArray
from labelaudit.detect import sample as s
from labelaudit.detect.constants import FLAG_ABOVE, HALF_WIDTH
from labelaudit.detect.verdicts import FitSettings, Verdicts, review_shares
from labelaudit.errors import UsageError
from labelaudit.progress import Reporter
from labelaudit.review.decisions import decided, read_decisions
from labelaudit.run import tables
from labelaudit.run.documents import ReviewedClass, ReviewedNoise
from labelaudit.run.layout import RunFolder
from labelaudit.text import plural

_DRAWN, _ESTIMATED = 1, 2
"""What the random numbers are for, beside the seed."""


def draw_sample(run: RunFolder, count: int) -> list[int]:
    """Return the first images of a run's sample, which is drawn and written when it is first asked for.

    Raises a UsageError for a count below 1, a RunError for a run without verdicts, damaged or in use.
    """
    if count < 1:
        raise UsageError(f"--sample {count} is too few", fix="give at least 1")
    run.read_description()
    audit = Audit(run)
    _ = audit.summary  # without verdicts there are no strata
    if not run.design.exists():
        p_N, order_U = audit.column("p_mislabeled"), audit.order_U
        seed = audit.description.settings.get("seed")  # without one where predictions were given
        generator = np.random.default_rng([abs(seed) if isinstance(seed, int) else 0, _DRAWN])
        with run.writing():
            tables.write_design(run.design, s.draw(p_N, order_U, generator))
    samples: list[int] = tables.read_design(run.design, audit.catalogue.used_N).order_S[:count].tolist()
    return samples


@dataclass(frozen=True, kw_only=True)
class Review:
    """A design, the answers to it, and what they say."""

    design: s.Design
    answers: s.Answers
    noise: ReviewedNoise


_ANSWERS = {"keep": s.RIGHT, "skip": s.SKIPPED}
"""By what was decided; any other decision says that the given label is wrong."""


def _read_answers(run: RunFolder, catalogue: Catalogue) -> s.Answers:
    """Return the answers in a run's answers.csv, to every copy of an image too; none where there is no file."""
    answers, number_of = s.Answers.none(len(catalogue)), {name: number for number, name in enumerate(catalogue.classes)}
    for sample, decision in decided(catalogue, read_decisions(run.answers)).items():
        answers.answer_N[sample] = _ANSWERS.get(decision.action, s.WRONG)
        answers.label_N[sample] = number_of.get(decision.label, -1)
    return answers


def find_review(run: RunFolder, catalogue: Catalogue, reporter: Reporter) -> Review | None:
    """Return what the run's answers say; None where there are none, or as is told, too few of them."""
    answers = _read_answers(run, catalogue)
    if (answers.answer_N == s.NONE).all():
        return None
    design, answer_N = tables.read_design(run.design, catalogue.used_N), answers.answer_N
    found = s.estimate(design, answer_N, np.random.default_rng([0, _ESTIMATED]))
    if found is None:
        reached = len(design.reached(answer_N))
        what = f"{plural(reached, 'image')} at the beginning of the sample {'is' if reached == 1 else 'are'} reviewed"
        then = f"go on in labelaudit review {run.root} --sample 200, from the top"
        reporter.warn(f"no reviewed noise rate: {what}, and an estimate needs {design.least}; {then}")
        return None
    left = s.reviews_left(design, answer_N, HALF_WIDTH, np.random.default_rng([0, _ESTIMATED]))
    classes = tuple(
        ReviewedClass(
            name=catalogue.classes[label],
            noise_rate=each.rate,
            noise_rate_interval=each.interval,
            reviews=each.right + each.wrong + each.skipped,
        )
        for label, each in s.estimate_classes(design, answer_N, catalogue.label_N).items()
    )
    reviews = found.right + found.wrong + found.skipped
    noise = ReviewedNoise(
        noise_rate=found.rate,
        noise_rate_interval=found.interval,
        right=found.right,
        wrong=found.wrong,
        skipped=found.skipped,
        others=int((answer_N != s.NONE).sum()) - int((answer_N[design.order_S[:reviews]] != s.NONE).sum()),
        reviews_left=left,
        classes=classes,
    )
    return Review(design=design, answers=answers, noise=noise)


def agree(verdicts: Verdicts, review: Review, settings: FitSettings) -> Verdicts:
    """Return the verdicts with P(mislabeled), weights and order as the review has them; the estimates stay."""
    known_N = review.answers.known_N
    p_N = s.recalibrate(verdicts.p_mislabeled_N, review.design, review.answers.answer_N, review.noise.noise_rate)
    return _with_probability(verdicts, p_N, known_N, settings)


def spare(verdicts: Verdicts, kept_N: BoolArray, judged: Verdicts, settings: FitSettings) -> Verdicts:
    """Return the verdicts with the labels that a person kept taken for right: P(mislabeled) 0, weight 1, last in order.

    The noise rate and its interval lose the share of errors that the losses alone, in ``judged``, expect among them.
    """
    if not kept_N.any():
        return verdicts
    seen_N = np.isfinite(judged.p_mislabeled_N)
    lost = float(judged.p_mislabeled_N[kept_N & seen_N].sum()) / max(int(seen_N.sum()), 1)
    p_N = np.where(kept_N & seen_N, 0.0, verdicts.p_mislabeled_N)
    found = _with_probability(verdicts, p_N, kept_N, settings)
    order, rate, interval = found.order, found.noise_rate, found.interval
    return replace(
        found,
        raw_posterior_N=np.where(kept_N & seen_N, 0.0, verdicts.raw_posterior_N),
        order=order[np.argsort(kept_N[order], kind="stable")],
        noise_rate=None if rate is None else max(rate - lost, 0.0),
        interval=None if interval is None else (max(interval[0] - lost, 0.0), max(interval[1] - lost, 0.0)),
    )


def _with_probability(verdicts: Verdicts, p_N: FloatArray, known_N: BoolArray, settings: FitSettings) -> Verdicts:
    """Return the verdicts with another P(mislabeled); raw weights change only where the label is known."""
    weight_N = np.where(np.isfinite(p_N), 1.0 - p_N, 0.0)
    return replace(
        verdicts,
        p_mislabeled_N=p_N,
        raw_posterior_N=p_N,
        weight_N=np.where(known_N, weight_N, verdicts.weight_N) if settings.raw_weights else weight_N,
        order=verdicts.order[np.argsort(-p_N[verdicts.order], kind="stable")],
        flagged=int((p_N > FLAG_ABOVE).sum()),
        review=review_shares(p_N),
    )
