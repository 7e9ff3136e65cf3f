"""Draw a sample to review, and find what its answers say of the whole data set."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from labelaudit.auditing.model import Audit
from labelaudit.data.catalogue import Catalogue
from labelaudit.detect import BoolArray, FloatArray
from labelaudit.detect import sample as s
from labelaudit.detect.constants import HALF_WIDTH
from labelaudit.detect.verdicts import FitSettings, Verdicts, review_shares
from labelaudit.errors import DataError, RunError, UsageError
from labelaudit.progress import Reporter
from labelaudit.review.answers import read_answers, record_answers, recorded_answers, sample_lines
from labelaudit.run import tables
from labelaudit.run.documents import ReviewedClass, ReviewedNoise
from labelaudit.run.files import behind_links, write_lines
from labelaudit.run.layout import RunFolder
from labelaudit.text import plural

_DRAWN, _ESTIMATED = 1, 2
"""What the random numbers are for, beside the seed."""


def draw_sample(run: RunFolder, count: int) -> list[int]:
    """Return the first images of a run's sample, which is drawn and written when it is first asked for.

    Raises a UsageError for a count below 1, a RunError for a run without verdicts, damaged or in use.
    """
    if count < 1:
        raise UsageError(f"{count} images are too few for a sample", fix="give at least 1")
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


def sample_csv(run: RunFolder, count: int) -> tuple[list[str], int, int]:
    """Return the sample of `draw_sample` as lines of a CSV, with the answers that are there already.

    Also return how many there are, and how many from the top an estimate needs.
    """
    samples, catalogue = draw_sample(run, count), Audit(run).catalogue
    answers = recorded_answers(run.answers, catalogue)
    answered = int((answers.answer_N[samples] != s.NONE).sum())
    least = tables.read_design(run.design, catalogue.used_N).least
    return list(sample_lines(catalogue, samples, answers)), answered, least


def write_sample(run: RunFolder, lines: Sequence[str], path: Path | None) -> Path:
    """Write a sample to a file, by default into the run folder; return where it is.

    A file there with answers that the audit does not have yet, or of something else, is a DataError.
    """
    place = run.sample_csv if path is None else behind_links(path)
    if place.is_file():
        catalogue = Audit(run).catalogue
        old_N = read_answers(place, catalogue).answer_N
        kept_N = recorded_answers(run.answers, catalogue).answer_N
        if lost := int(((old_N != s.NONE) & (old_N != kept_N)).sum()):
            what = f"{place} has {plural(lost, 'answer')} that the audit does not have"
            raise DataError(what, fix=f"run labelaudit fit {run.root} --reviewed {place} first, or give another -o")
    with run.writing() if path is None else contextlib.nullcontext():
        write_lines(place, lines)
    return place


@dataclass(frozen=True, kw_only=True)
class Review:
    """A design, the answers to it, and what they say."""

    design: s.Design
    answers: s.Answers
    noise: ReviewedNoise


def take_answers(run: RunFolder, file: Path, catalogue: Catalogue) -> None:
    """Record the answers in a file that a user gave instead of those of the run; too few of them are a RunError."""
    design, answers = tables.read_design(run.design, catalogue.used_N), read_answers(file, catalogue)
    if (reached := len(design.reached(answers.answer_N))) < design.least:
        raise _too_few(run, reached, design.least)
    record_answers(run.answers, catalogue, answers)


def _too_few(run: RunFolder, reached: int, least: int) -> RunError:
    what = f"{plural(reached, 'image')} at the beginning of the sample {'is' if reached == 1 else 'are'} reviewed"
    fix = f"go on in labelaudit review {run.root} --sample 200, from the top"
    return RunError(f"{what}, and an estimate needs {least}", fix=fix)


def find_review(run: RunFolder, catalogue: Catalogue, reporter: Reporter) -> Review | None:
    """Return what the run's answers say; None where there are none, or as is told, too few of them."""
    answers = recorded_answers(run.answers, catalogue)
    if (answers.answer_N == s.NONE).all():
        return None
    design, answer_N = tables.read_design(run.design, catalogue.used_N), answers.answer_N
    found = s.estimate(design, answer_N, np.random.default_rng([0, _ESTIMATED]))
    if found is None:
        reporter.warn(f"no reviewed noise rate: {_too_few(run, len(design.reached(answer_N)), design.least)}")
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
    """Return the verdicts with P(mislabeled) and weights as the review has them; the estimates stay."""
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
    rate, interval = found.noise_rate, found.interval
    return replace(
        found,
        raw_posterior_N=np.where(kept_N & seen_N, 0.0, verdicts.raw_posterior_N),
        suspicion_N=np.where(kept_N, -np.inf, verdicts.suspicion_N),
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
        review=review_shares(p_N),
    )
