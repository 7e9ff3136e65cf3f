"""Rounds of audit, review and relabeling on data whose right labels are known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from labelaudit.audit.judge import Fitted
from labelaudit.audit.model import Data
from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.score import score
from labelaudit.data.catalogue import Catalogue
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce.detection.compare import Comparison
from labelaudit.reproduce.detection.records import Record
from labelaudit.reproduce.detection.settings import Planted
from labelaudit.reproduce.relabeling.trees import corrected_copy, decision, planted_errors
from labelaudit.review.corrections import Correction
from labelaudit.run.documents import read_description
from labelaudit.run.files import storage_errors
from labelaudit.run.layout import RunFolder


@dataclass(frozen=True, kw_only=True)
class RoundRecord(Record):
    """One audit, and the review of what it found.

    Attributes:
        audit: 1 for the audit of the planted errors, then one more after each review.
        samples, wrong: Labels with a verdict, and those of them that are wrong.
        noise_rate: The true one.
        estimate, low, high: The audit's, and its interval; NaN without one.
        suspicious: How many it lists.
        reviewed: How many the reviewer looked at: all that are listed, or none after the last audit.
        found: Wrong labels among the reviewed.
        removed: How many of these the data's next labels have right.
        spoilt: How many right labels among the reviewed they have wrong.
    """

    audit: int
    samples: int
    wrong: int
    noise_rate: float
    estimate: float
    low: float
    high: float
    suspicious: int
    reviewed: int
    found: int
    removed: int
    spoilt: int


def measure_rounds(
    name: str,
    noise: Planted,
    truth: Catalogue,
    folder: Path,
    options: TrainingOptions,
    *,
    rounds: int,
    reporter: Reporter = QUIET,
) -> list[RoundRecord]:
    """Plant errors; audit, review the suspicious list with the truth and relabel, so many times; audit.

    The folder gets ``audit-1/images`` with the planted errors, and for each round the run folder, the reviewer's
    corrections.csv and the next audit's images, which are hard links where the file system has them. What is finished
    there is only read.

    Args:
        name: Of the noise in the records.
        noise: Which errors.
        truth: The data with right labels.
        folder: Where everything goes.
        options: Of the probes; their seed plants the errors too.
        rounds: How many reviews.
        reporter: Told about the progress.

    Raises:
        LabelauditError: see `labelaudit.audit.score.score` and `labelaudit.review.relabel.relabel_copy`.
    """
    seed = options.seed or 0
    places = [folder / f"audit-{number}" for number in range(1, rounds + 2)]
    with storage_errors(folder):
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
    planted = planted_errors(truth, noise, seed)
    right, _ = corrected_copy(
        truth, truth.root, planted, places[0] / "planted.csv", places[0] / "images", reporter=reporter
    )
    audits: list[_Audit] = []
    for number, place in enumerate(places, start=1):
        reporter.say(f"Audit {number} of {len(places)}")
        run, images = RunFolder(place / "run"), place / "images"
        fitted = score(Data(root=images), run, options, reporter=reporter)
        audits.append(_Audit(run=run, fitted=fitted, right=right))
        if number < len(places):
            decisions = review(fitted, right)
            file, following = place / "corrections.csv", places[number] / "images"
            right, target_of = corrected_copy(right, images, decisions, file, following, reporter)
            audits[-1].reviewed = _Reviewed(decisions=decisions, target_of=target_of)
    after = [*audits[1:], None]
    return [
        _record(name, seed, number, audit, following)
        for number, (audit, following) in enumerate(zip(audits, after, strict=True), start=1)
    ]


def review(fitted: Fitted, right: Catalogue) -> list[Correction]:
    """What a reviewer decides who goes through the suspicious list and is never wrong."""
    catalogue = fitted.catalogue
    label_of = dict(zip(right.paths, (right.classes[label] for label in right.label_N), strict=True))
    return [
        decision(catalogue, sample, label=label_of[catalogue.paths[sample]])
        for sample in fitted.verdicts.order[: fitted.verdicts.flagged].tolist()
    ]


@dataclass(frozen=True, kw_only=True)
class _Reviewed:
    """Decisions, and where the files lie after them that do not stay where they were."""

    decisions: list[Correction]
    target_of: dict[str, str]


@dataclass(kw_only=True)
class _Audit:
    """An audit, the right labels of its images, and the review after it."""

    run: RunFolder
    fitted: Fitted
    right: Catalogue
    reviewed: _Reviewed | None = None

    def wrong_of(self) -> dict[tuple[str, str], bool]:
        """Whether its label is wrong, of each image by path and content, as the folder was found."""
        catalogue = self.fitted.catalogue
        wrong_N = Comparison(self.fitted, self.right).wrong_N.tolist()
        return dict(zip(zip(catalogue.paths, catalogue.sha256, strict=True), wrong_N, strict=True))


def _record(name: str, seed: int, number: int, audit: _Audit, following: _Audit | None) -> RoundRecord:
    fitted, comparison = audit.fitted, Comparison(audit.fitted, audit.right)
    rate = fitted.verdicts.noise_rate
    low, high = fitted.verdicts.interval or (math.nan, math.nan)
    found = removed = spoilt = 0
    decisions: list[Correction] = []
    if audit.reviewed is not None and following is not None:
        decisions = audit.reviewed.decisions
        before, after = audit.wrong_of(), following.wrong_of()
        for one in decisions:
            was_wrong = before[one.path, one.sha256]
            # An image that is not found where it should be counts as wrong.
            is_wrong = after.get((audit.reviewed.target_of.get(one.path, one.path), one.sha256), True)
            found += was_wrong
            removed += was_wrong and not is_wrong
            spoilt += is_wrong and not was_wrong
    return RoundRecord(
        noise=name,
        model=str(read_description(audit.run).settings["model"]),
        seed=seed,
        audit=number,
        samples=len(comparison.wrong_U),
        wrong=int(comparison.wrong_U.sum()),
        noise_rate=comparison.noise_rate,
        estimate=math.nan if rate is None else rate,
        low=low,
        high=high,
        suspicious=fitted.verdicts.flagged,
        reviewed=len(decisions),
        found=found,
        removed=removed,
        spoilt=spoilt,
    )
