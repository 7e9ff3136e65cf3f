"""Judge every sample from the recorded losses: without GPU and images, in seconds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelaudit.auditing.annotators import judge_votes
from labelaudit.auditing.model import read_catalogue, read_courses, read_curves
from labelaudit.auditing.sample import agree, find_review, spare, take_answers
from labelaudit.auditing.splits import absent_classes, find_leaked, split_figures
from labelaudit.codes import BY_NAME
from labelaudit.data.catalogue import Catalogue
from labelaudit.detect import BoolArray, Float32Array, FloatArray, NumberArray
from labelaudit.detect import constants as c
from labelaudit.detect.confident import indistinct_pairs
from labelaudit.detect.curves import CurveAccumulator, CurveStatistics
from labelaudit.detect.images import ImageTable
from labelaudit.detect.kinds import Kinds, tell_kinds
from labelaudit.detect.near import groups
from labelaudit.detect.noclass import find_no_class
from labelaudit.detect.theory import Estimate
from labelaudit.detect.verdicts import FitSettings, Verdicts, judge
from labelaudit.names import KINDS
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.decisions import decided, digest_of, no_copies, read_decisions
from labelaudit.run import documents, lists
from labelaudit.run.files import write_json, write_lines
from labelaudit.run.layout import RunFolder
from labelaudit.run.parquet import write_table
from labelaudit.run.tables import Findings, findings_table, read_image_table, read_near, verdict_table
from labelaudit.text import listed


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The outcome of a fit, and what it writes.

    ``summary`` is noise.json, ``table`` scores.parquet, ``findings`` findings.parquet; ``votes`` and ``annotators`` are
    annotators.parquet and annotators.json, None where the labels file names no annotators.
    """

    catalogue: Catalogue
    statistics: CurveStatistics
    verdicts: Verdicts
    summary: documents.Noise
    table: pa.Table
    findings: pa.Table
    votes: pa.Table | None
    annotators: documents.AnnotatorsNoise | None

    def top(self, count: int) -> pa.Table:
        """Return the ``count`` most suspicious samples, as `labelaudit.Audit.top` does."""
        return lists.ranked(self.table, self.catalogue, self.verdicts.order[:count])

    def csv(self, *, top: int | None = None) -> str:
        """Return suspicious.csv as text: the flagged samples, or the ``top`` most suspicious ones, flagged or not."""
        return "".join(lists.ranked_lines(self.top(self.verdicts.flagged if top is None else top)))


def fit(
    run: RunFolder,
    settings: FitSettings | None = None,
    reporter: Reporter = QUIET,
    *,
    reviewed: Path | None = None,
) -> Fitted:
    """Judge every sample of a trained run from its recorded losses, and write the run folder's score files.

    A label that the run's decisions.csv says to keep counts as right. The answers to its sample in answers.csv count as
    soon as they are enough; ``reviewed`` is a file with others, which replace them and hold for later fits too.

    Raises:
        DataError: the answers or decisions cannot be read, or the answers are of other data.
        RunError, StorageError: the run is unfinished, damaged, in use or hardly reviewed, or cannot be written to.
    """
    run.read_description()  # writing() would make a folder where there is no run
    with run.writing():
        if reviewed is not None:
            take_answers(run, reviewed, read_catalogue(run))
        fitted = compute(run, settings or FitSettings(), reporter)
        write_table(run.scores, fitted.table)
        lists.write_weights(run.weights_csv, run.weights_npy, fitted.catalogue, fitted.verdicts.weight_N)
        write_lines(run.suspicious, [fitted.csv()])
        lists.write_unreadable(run.unreadable, fitted.catalogue)
        write_table(run.findings, fitted.findings)
        write_lines(run.findings_csv, lists.lines_of(fitted.findings))
        if fitted.annotators is not None:
            write_table(run.annotators_table, fitted.votes)
            write_json(run.annotators, documents.as_json(fitted.annotators))
        # Last: whoever finds this file finds the others too.
        write_json(run.noise, documents.as_json(fitted.summary))
    return fitted


def compute(run: RunFolder, settings: FitSettings, reporter: Reporter = QUIET) -> Fitted:
    """Judge every sample as `fit` does, without writing anything."""
    catalogue, digest = read_catalogue(run), digest_of(run.decisions, run.answers)
    kept_N = np.zeros(len(catalogue), dtype=bool)
    decisions = read_decisions(run.decisions)
    for sample, decision in decided(catalogue, decisions).items():
        kept_N[sample] = decision.action == "keep"
    label_N, classes = catalogue.label_N, len(catalogue.classes)
    images = read_image_table(run.pictures, len(catalogue))
    course, heads_course = read_courses(run)
    curves = read_curves(run, course, catalogue, reporter)
    heads = None if heads_course is None else read_curves(run.heads, heads_course, catalogue)
    statistics = curves.result(heads)
    by_losses = judge(statistics, settings)
    review = find_review(run, catalogue, reporter)
    answered = by_losses if review is None else agree(by_losses, review, settings)
    verdicts = spare(answered, kept_N, by_losses, settings)
    digests = np.where(catalogue.used_N, catalogue.sha256, "").tolist()
    p_no_class_N = _no_class(catalogue, images, statistics, heads or curves, verdicts.flagged_N, kept_N)
    generator = np.random.default_rng([0, 1])
    kinds = tell_kinds(statistics, verdicts.flagged_N, digests, images, generator, p_no_class_N=p_no_class_N)
    near = _near(catalogue, verdicts, kinds, *read_near(run.near, len(catalogue)), no_copies(decisions))
    leaked = find_leaked(near, kinds.equal_N, catalogue.split_N)
    indistinct = indistinct_pairs(label_N, curves.beliefs, classes)
    if heads is not None:  # a weak backbone does not count against a network that tells classes apart
        also = indistinct_pairs(label_N, heads.beliefs, classes)
        indistinct = {pair: alike for pair, alike in also.items() if pair in indistinct}
    found = (*_findings(catalogue, verdicts, kinds), near, leaked, _indistinct(catalogue, indistinct))
    labels_of = defaultdict[int, set[int]](set)
    for group, label in zip([] if near.group_F is None else near.group_F, label_N[near.sample_F], strict=True):
        labels_of[int(group)].add(int(label))
    noise = documents.Noise(
        noise_rate=verdicts.noise_rate,
        noise_rate_interval=verdicts.interval,
        suspicious=verdicts.flagged,
        samples=len(catalogue),
        readable=int(catalogue.used_N.sum()),
        epochs=statistics.epochs,
        fit=settings,
        estimators={name: _estimator(estimate) for name, estimate in verdicts.estimates.items()},
        classes=_classes(catalogue, verdicts),
        confusion=_confusion(catalogue, statistics, verdicts, kinds),
        review=verdicts.review,
        warnings=(
            *catalogue.warnings,
            *absent_classes(catalogue),
            *_blurred(catalogue, indistinct),
            *verdicts.warnings,
        ),
        left_out=catalogue.left_out,
        unreadable=len(lists.unreadable_rows(catalogue)),
        kinds=documents.KindsNoise(
            samples={kind: int(kinds.of(kind).sum()) for kind in KINDS},
            suspicious={kind: int((kinds.of(kind) & verdicts.flagged_N).sum()) for kind in KINDS},
            copies=kinds.copies,
        ),
        findings={BY_NAME[each.name].code: len(each.sample_F) for each in found if len(each.sample_F)},
        splits=split_figures(catalogue, verdicts, leaked),
        near_groups=len(labels_of),
        near_contradicting=sum(len(labels) > 1 for labels in labels_of.values()),
        kept=int(kept_N.sum()),
        decisions=digest,
        reviewed=None if review is None else review.noise,
    )
    votes, annotators = None, None
    if catalogue.annotations is not None:
        votes, annotators = judge_votes(catalogue, catalogue.annotations, statistics, (heads or curves).beliefs)
    said_N = np.full(len(catalogue), -1) if review is None else review.answers.label_N
    table = verdict_table(catalogue, statistics, verdicts, kinds, said_N, kept_N)
    none = pa.scalar(None, pa.string())
    suggested = pc.if_else(pa.array(verdicts.flagged_N), table.column("suggested_label"), none).combine_chunks()
    return Fitted(
        catalogue=catalogue,
        statistics=statistics,
        verdicts=verdicts,
        summary=noise,
        table=table,
        findings=findings_table(catalogue, suggested, found),
        votes=votes,
        annotators=annotators,
    )


def _no_class(
    catalogue: Catalogue,
    images: ImageTable | None,
    statistics: CurveStatistics,
    heads: CurveAccumulator,
    flagged_N: BoolArray,
    kept_N: BoolArray,
) -> FloatArray | None:
    """Return P(no class) of each sample, 0 for labels that a person kept; None where there are no embeddings."""
    if images is None or images.distance_U2 is None:
        return None
    distance_N2 = np.full((len(catalogue), 2), np.nan)
    distance_N2[images.sample_U] = images.distance_U2
    p_N = find_no_class(
        distance_N2, heads.beliefs, catalogue.label_N, flagged_N, len(catalogue.classes), probe=statistics.beliefs
    )
    return None if p_N is None else np.where(kept_N, 0.0, p_N)


def _findings(catalogue: Catalogue, verdicts: Verdicts, kinds: Kinds) -> tuple[Findings, ...]:
    """Return what is wrong with which image, a kind after the other, but for near duplicates."""
    flagged, p_N, kind_N = verdicts.order[: verdicts.flagged], verdicts.p_mislabeled_N, kinds.kind_N
    found = [
        Findings(name=name, sample_F=sample_F, score_F=p_N[sample_F])
        for name in ("mislabeled", "ambiguous")
        for sample_F in [flagged[kind_N[flagged] == KINDS.index(name)]]
    ]
    corrupted, stray = kinds.surest("corrupted"), kinds.surest("no-class")
    found.append(Findings(name="corrupted", sample_F=corrupted, score_F=kinds.p_corrupted_N[corrupted]))
    found.append(Findings(name="no-class", sample_F=stray, score_F=kinds.p_no_class_N[stray]))
    twice = np.flatnonzero(kinds.of("duplicate"))
    twice = twice[np.argsort(kinds.equal_N[twice], kind="stable")]
    group_F, first_F = kinds.equal_N[twice], np.unique(kinds.equal_N[twice], return_index=True)[1]
    # The first of a group names the second, and each of the others the first.
    count_F = np.diff([*first_F, len(twice)])
    other_F = np.repeat(twice[first_F], count_F)
    other_F[first_F] = np.where(count_F > 1, twice[(first_F + 1) % max(len(twice), 1)], -1)
    found.append(Findings(name="duplicate", sample_F=twice, score_F=p_N[twice], group_F=group_F, other_F=other_F))
    found.append(Findings(name="unreadable", sample_F=lists.unreadable_samples(catalogue)))
    return tuple(found)


def _indistinct(catalogue: Catalogue, pairs: Mapping[tuple[int, int], float]) -> Findings:
    """Return the images of classes that cannot be told apart; a group is a pair of classes."""
    label_N, used_N = catalogue.label_N, catalogue.used_N
    parts = [np.flatnonzero(used_N & ((label_N == one) | (label_N == other))) for one, other in pairs]
    count_G = [len(part) for part in parts]
    return Findings(
        name="indistinct",
        sample_F=np.concatenate([*parts, np.empty(0, dtype=np.int64)]),
        score_F=np.repeat(np.array([*pairs.values()], dtype=np.float64), count_G),
        group_F=np.repeat(np.arange(len(pairs), dtype=np.int32), count_G),
    )


def _blurred(catalogue: Catalogue, pairs: Mapping[tuple[int, int], float]) -> Iterator[str]:
    """Yield a sentence about classes that cannot be told apart."""
    if pairs:
        which = listed([f"{catalogue.classes[one]!r} and {catalogue.classes[other]!r}" for one, other in pairs], 3)
        yield f"These classes cannot be told apart, so errors between them are not found (LA009): {which}."


def _near(
    catalogue: Catalogue,
    verdicts: Verdicts,
    kinds: Kinds,
    pair_P2: NumberArray,
    similarity_P: Float32Array,
    no_copies: Sequence[frozenset[str]],
) -> Findings:
    """Return the groups of near duplicates, the best copy of each first: the largest, and of equal size the likeliest.

    The score is the similarity to the one that is most alike. Groups within ``no_copies``, contents that a person took
    for different images, are left out.
    """
    group_N = groups(len(catalogue), pair_P2, kinds.equal_N)
    for group in np.unique(group_N[group_N >= 0]) if no_copies else ():
        contents = {catalogue.sha256[sample] for sample in np.flatnonzero(group_N == group)}
        if any(contents <= apart for apart in no_copies):
            group_N[group_N == group] = -1
    alike_N = np.where(kinds.equal_N >= 0, 1.0, 0.0)
    for each_P in pair_P2.T:
        np.maximum.at(alike_N, each_P, similarity_P)
    pixels_N = catalogue.width_N.astype(np.int64) * catalogue.height_N
    doubt_N = np.nan_to_num(verdicts.p_mislabeled_N, nan=1.0)
    order = np.lexsort((doubt_N, catalogue.grey_N, -pixels_N, group_N))
    order = order[group_N[order] >= 0]
    _, first_F, number_F = np.unique(group_N[order], return_index=True, return_inverse=True)
    other_F = order[first_F][number_F]
    other_F[first_F] = -1
    return Findings(
        name="near-duplicate", sample_F=order, score_F=alike_N[order], group_F=group_N[order], other_F=other_F
    )


def _estimator(estimate: Estimate) -> documents.EstimatorNoise:
    mixture = None
    if (fitted := estimate.mixture) is not None:
        mixture = documents.MixtureNoise(
            weight=tuple(fitted.weight_2.tolist()),
            mean=tuple(fitted.mean_2.tolist()),
            std=tuple(fitted.std_2.tolist()),
            separation=fitted.separation,
            modes=fitted.modes,
        )
    return documents.EstimatorNoise(
        rank_by=estimate.rank_by,
        noise_rate=estimate.noise_rate,
        suspicious=int((estimate.p_mislabeled_N > c.FLAG_ABOVE).sum()),
        mixture=mixture,
    )


def _classes(catalogue: Catalogue, verdicts: Verdicts) -> tuple[documents.ClassNoise, ...]:
    used_N = np.isfinite(verdicts.p_mislabeled_N)
    count_K, raw_K, flagged_K = (
        np.bincount(catalogue.label_N[used_N], weights=weight_N[used_N], minlength=len(catalogue.classes))
        for weight_N in (used_N, verdicts.raw_posterior_N, verdicts.flagged_N)
    )
    return tuple(
        documents.ClassNoise(name=name, samples=int(count), noise_rate=float(raw / count), suspicious=int(flagged))
        for name, count, raw, flagged in zip(catalogue.classes, count_K, raw_K, flagged_K, strict=True)
        if count
    )


def _confusion(
    catalogue: Catalogue, statistics: CurveStatistics, verdicts: Verdicts, kinds: Kinds
) -> tuple[documents.Confused, ...]:
    """Count the pairs (given, suggested) among the suspicious, the most frequent first."""
    flagged = verdicts.order[: verdicts.flagged]
    flagged = flagged[~kinds.of("no-class")[flagged]]
    pairs = np.stack([catalogue.label_N[flagged], statistics.transition.true_N[flagged]], axis=1)
    unique, count = np.unique(pairs, axis=0, return_counts=True)
    return tuple(
        documents.Confused(given=catalogue.classes[given], suggested=catalogue.classes[suggested], count=int(times))
        for (given, suggested), times in sorted(zip(unique, count, strict=True), key=lambda pair: -pair[1])
    )
