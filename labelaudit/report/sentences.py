"""Sentences that several outputs share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from labelaudit.codes import CODES
from labelaudit.detect.constants import LEAST_OF_CLASS
from labelaudit.detect.verdicts import ReviewShare
from labelaudit.names import KINDS
from labelaudit.run.changes import CauseName, Changes
from labelaudit.run.documents import AnnotatorNoise, AnnotatorsNoise, Noise
from labelaudit.run.lists import Row
from labelaudit.text import listed, plural

CHANGES_HEADER = ("class", ">images", ">suspicious", ">noise rate")  # of `changed_classes`; ``>`` aligns to the right
ANNOTATORS_HEADER = ("annotator", ">labels", ">suspicious", ">error rate", "most frequent given → suggested")
MOST_KINDS = 12  # of left-out files in a list for people
NO_CLASS = "none of the classes"  # in the place of a suggested label

_AS_GOOD_AS_ALL, _ENOUGH = 0.995, 0.8
"""Shares of the estimated errors: all there are, and so many that a review may end."""

_TIMES_MORE = 10  # reviews than there are: more than anybody makes

_COPIES = {"shuffled": "shuffled", "gaussian": "Gaussian", "noise": "part noise", "blank": "blank"}


def headline(noise: Noise, strong: Callable[[str], str] = str) -> str:
    """Return how many labels are suspicious, and the noise rate with its interval; ``strong`` marks the figures up."""
    interval, suspicious = noise.best_interval, strong(f"{noise.suspicious:,}")
    return (
        f"{suspicious} of {noise.readable:,} labels are suspicious; {source(noise)} noise rate "
        + strong(rate_text(noise))
        + (f" ({range_text(interval)})" if interval and noise.best_rate is not None else "")
    )


def source(noise: Noise) -> str:
    """Return where the noise rate is from: "reviewed" by a person, or "estimated" from the losses."""
    return "estimated" if noise.reviewed is None else "reviewed"


def rate_text(noise: Noise) -> str:
    """Return the best noise rate as a percentage, or "unknown"."""
    return "unknown" if noise.best_rate is None else f"{noise.best_rate:.1%}"


def range_text(interval: tuple[float, float]) -> str:
    """Return an interval in percent."""
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


def review_sentences(noise: Noise) -> list[str]:
    """Return what was reviewed, what the losses say beside it, and how many more reviews a narrower interval takes."""
    found = noise.reviewed
    if found is None:
        return []
    losses = "have no rate" if noise.noise_rate is None else f"say {noise.noise_rate:.1%}"
    if noise.noise_rate is not None and noise.noise_rate_interval is not None:
        losses += f" ({range_text(noise.noise_rate_interval)})"
    lines = [
        f"Reviewed by a person: {found.right:,} right, {found.wrong:,} wrong, {found.skipped:,} skipped of "
        f"{found.reviews:,} labels drawn by chance; 95% interval. The losses alone {losses}."
    ]
    if noise.best_rate is not None and noise.best_interval is not None:
        low, middle, high = (
            f"{share * noise.readable:,.0f}"
            for share in (noise.best_interval[0], noise.best_rate, noise.best_interval[1])
        )
        lines.append(
            f"So about {middle} of {noise.readable:,} labels are wrong ({low} to {high}); suspicious ones are drawn "
            "more often than others."
        )
    left = more_reviews(noise)
    if found.skipped:
        wide = " They keep it wide: decide on them first." if found.reviews_left != 0 and not left else ""
        lines.append(
            f"Skipped labels count as right in the low end of the interval and as wrong in its high end.{wide}"
        )
    if left:
        lines.append(
            f"About {left:,} more reviews ({found.reviews + left:,} in all) would bring ±{found.half_width:.1%}."
        )
    if not found.classes and len(noise.classes) > 1:
        least = f"{LEAST_OF_CLASS} reviews, the least for an interval of its own"
        lines.append(f"No class has {least}: figures of classes are from the losses alone.")
    return lines


def more_reviews(noise: Noise) -> int:
    """Return how many more reviews of the sample make its interval narrow enough, in tens; 0 without a sample too.

    0 is also where skipped labels are why these would be far too many, or no number enough.
    """
    found = noise.reviewed
    left = (found.reviews_left if found else 0) or 0
    is_vain = found is not None and found.skipped > 0 and left > _TIMES_MORE * found.reviews
    return 0 if is_vain else 10 * math.ceil(left / 10)


def useful_reviews(noise: Noise) -> list[ReviewShare]:
    """Return the lengths of a review beyond which there is more to find; at least one, where there are any."""
    return [row for row in noise.review if row.caught < _AS_GOOD_AS_ALL] or list(noise.review[:1])


def advice(noise: Noise) -> str:
    """Return how many labels to look at, and what that finds; empty where nothing is to be found."""
    useful = useful_reviews(noise)
    if not useful or not noise.suspicious:
        return ""
    row = next((row for row in useful if row.caught >= _ENOUGH), useful[-1])
    return f"Look at the first {row.top:,}: about {row.caught:.0%} of the estimated errors are among them."


def basis(noise: Noise) -> str:
    """Return what the figures are based on: reviews, estimator, statistic, number of epochs."""
    by = "" if noise.reviewed is None else f"from {plural(noise.reviewed.reviews, 'review')}; ranked "
    return f"{by}by {noise.fit.estimator} on {noise.fit.rank_by} over {plural(noise.epochs, 'epoch')}"


def suggestion(row: Row) -> str:
    """Return the suggested label of a row of suspicious.csv, or that there is none."""
    return NO_CLASS if row.get("kind") == "no-class" and not row["suggested_label"] else row["suggested_label"]


def kinds_sentences(noise: Noise) -> list[str]:
    """Return the kinds of the suspicious samples, and what else was found."""
    kinds = noise.kinds
    if kinds is None:
        return []
    sentences = []
    if counts := ", ".join(f"{kinds.suspicious[kind]:,} {kind}" for kind in KINDS if kinds.suspicious.get(kind)):
        sentences.append(f"Suspicious labels by kind: {counts}.")
    if corrupted := kinds.samples.get("corrupted"):
        sentences.append(
            f"Corrupted images, suspicious or not: {corrupted:,} of {noise.readable:,}; see LA002 in findings.csv."
        )
        if told := ", ".join(f"{row.found:,} of {row.count:,} {_COPIES[row.kind]}" for row in kinds.copies):
            sentences.append(f"Self-test: of images corrupted in memory these are called corrupted: {told}.")
    if sentence := no_class_sentence(noise):
        sentences.append(sentence)
    if duplicate := kinds.samples.get("duplicate"):
        sentences.append(f"Equal images with different labels: {duplicate:,}; see the column kind of scores.parquet.")
    if near := near_sentence(noise):
        sentences.append(f"{near}; findings.csv lists them (LA006).")
    return [*sentences, *splits_sentences(noise)]


def splits_sentences(noise: Noise) -> list[str]:
    """Return the noise rate of each split, and how many copies are in another one; nothing without splits."""
    if not noise.splits:
        return []
    rates = ", ".join(
        f"{row.name} {'unknown' if row.noise_rate is None else f'{row.noise_rate:.1%}'} ({row.suspicious:,} suspicious)"
        for row in noise.splits
    )
    sentences = [f"Estimated noise rate by split: {rates}."]
    if counts := ", ".join(
        f"{row.leaked:,} of {row.name}" + (f" ({row.contradicting:,} with another label)" if row.contradicting else "")
        for row in noise.splits
        if row.leaked
    ):
        sentences.append(f"Images with a copy in another split: {counts}; findings.csv lists them (LA007).")
    return sentences


def no_class_sentence(noise: Noise) -> str:
    """Return how many images belong to none of the classes; empty where there are none."""
    count = noise.kinds.samples.get("no-class", 0) if noise.kinds else 0
    what = f"{plural(count, 'image seems', 'images seem')} to belong to none of the classes"
    return f"{what}, suspicious or not; findings.csv lists them (LA008)." if count else ""


def found_sentence(found: Mapping[str, int], new: Mapping[str, int]) -> str:
    """Return how many findings each code has, and how many are new where a baseline knows some; empty without any."""
    news = {code: "" if new.get(code, 0) == count else f"; {new.get(code, 0):,} new" for code, count in found.items()}
    counts = [
        f"{found[each.code]:,} {each.code} ({each.name}{news[each.code]})" for each in CODES if found.get(each.code)
    ]
    return f"Findings: {', '.join(counts)}; findings.csv lists them." if counts else ""


def broken(row: Row, is_new: bool) -> str:
    """Return why an image cannot be read, and whether a baseline knows it."""
    return f"{row['reason']}{'' if is_new else ' (not new)'}"


def near_sentence(noise: Noise) -> str:
    """Return how many images are copies of others, and how many groups of them disagree; empty without any."""
    images, apart = plural(noise.findings.get("LA006", 0), "image"), noise.near_contradicting
    text = f"{plural(noise.near_groups, 'group')} of near duplicates ({images})" if noise.near_groups else ""
    return f"{text}, {apart:,} of them with different labels" if apart else text


def annotators_sentences(found: AnnotatorsNoise) -> list[str]:
    """Return which annotator is wrong most often, and which two disagree most."""
    sentences = []
    for worst in found.annotators[:1]:
        if worst.error_rate is not None:
            who = f"Of {plural(len(found.annotators), 'annotator')}, {worst.name!r}"
            sentences.append(f"{who} is wrong most often: {_rate(worst)} of the labels.")
    if found.pairs:
        (one, other), pair = found.pairs[0].annotators, found.pairs[0]
        share = f"{pair.different:,} of {plural(pair.images, 'image')}"
        sentences.append(f"{one!r} and {other!r} disagree most: on {share} ({pair.different / pair.images:.1%}).")
    return sentences


def annotators_rows(found: AnnotatorsNoise) -> list[list[str]]:
    """Return the figures of each annotator, with the columns of `ANNOTATORS_HEADER`."""
    rows = []
    for row in found.annotators:
        pairs = ", ".join(f"{pair.given} → {pair.suggested} ({pair.count:,})" for pair in row.confusion[:2])
        rows.append([row.name, f"{row.labels:,}", f"{row.suspicious:,}", _rate(row), pairs])
    return rows


def _rate(row: AnnotatorNoise) -> str:
    if row.error_rate is None or row.error_rate_interval is None:
        return "unknown"
    return f"{row.error_rate:.1%} ({range_text(row.error_rate_interval)})"


def changes_sentence(changes: Changes) -> str:
    """Return what changed since an earlier audit: images and labels, suspicious labels and noise rate."""
    before, after = changes.before, changes.after
    kept = f"; {plural(after.kept, 'kept label')} hidden" if after.kept else ""
    kept += f"; trained otherwise ({listed(changes.settings, 3)})" if changes.settings else ""
    rates = [f"{rate_text(noise)}{' (reviewed)' if noise.reviewed else ''}" for noise in (before, after)]
    if before.reviewed and not after.reviewed:
        kept += f"; of its {plural(before.reviewed.reviews, 'answer')} the kept labels carry over, the rate does not"
    return (
        f"{files_text(changes)}; suspicious {before.suspicious:,} → {after.suspicious:,}, "
        f"noise rate {' → '.join(rates)}{kept}"
    )


def files_text(changes: Changes) -> str:
    """Return how many images were added and removed, and how many labels changed."""
    parts = [
        f"{sign}{plural(count, 'image')}" for sign, count in (("+", changes.added), ("−", changes.removed)) if count
    ]
    if changes.relabeled:
        parts.append(f"{plural(changes.relabeled, 'label')} changed")
    return ", ".join(parts) or "no image or label changed"


def changes_lines(changes: Changes) -> list[str]:
    """Return the same with intervals, and why suspicious labels have come or gone, a line each."""
    before, after = changes.before, changes.after
    rates = [
        rate_text(noise) + (f" ({range_text(noise.best_interval)})" if noise.best_interval else "")
        for noise in (before, after)
    ]
    lines = [
        f"Images: {files_text(changes)}",
        *([f"Trained otherwise: {', '.join(changes.settings)}"] if changes.settings else []),
        f"Noise rate: {rates[0]} → {rates[1]}",
        f"Suspicious: {before.suspicious:,} → {after.suspicious:,}; {len(changes.still):,} still there, "
        f"{len(changes.new):,} new{_causes(changes.new_by, 'added')}, "
        f"{len(changes.gone):,} gone{_causes(changes.gone_by, 'removed')}",
    ]
    return lines + ([f"Kept by a person: {before.kept:,} → {after.kept:,}"] if before.kept or after.kept else [])


def _causes(causes: Mapping[CauseName, int], moved: str) -> str:
    words = {"image": f"of {moved} images", "label": "of changed labels", "verdict": "judged otherwise"}
    text = ", ".join(f"{count:,} {words[cause]}" for cause, count in causes.items() if count)
    return f" ({text})" if text else ""


def changed_classes(changes: Changes) -> list[list[str]]:
    """Return a row for each class, with the columns of `CHANGES_HEADER`; the largest change of the rate comes first."""
    rows = []
    for name, *both in changes.classes:
        before, after = (row.noise_rate if row else 0.0 for row in both)
        figures = [
            (f"{row.samples:,}", f"{row.suspicious:,}", f"{row.noise_rate:.1%}") if row else ("-", "-", "-")
            for row in both
        ]
        rows.append((abs(after - before), [name, *map(" → ".join, zip(*figures, strict=True))]))
    return [row for _, row in sorted(rows, key=lambda entry: -entry[0])]


def changed_lists(changes: Changes) -> list[tuple[str, list[Row]]]:
    """Return the suspicious labels of each sort, and what they are."""
    return [("New", changes.new), ("Still there", changes.still), ("Gone", changes.gone)]


def kept_sentence(noise: Noise) -> str:
    """Return how many labels are hidden because a person kept them; empty without any."""
    what = f"{plural(noise.kept, 'label')} that a person kept {'is' if noise.kept == 1 else 'are'} hidden"
    return f"{what}; labelaudit report --all lists them." if noise.kept else ""


def unreadable_sentence(noise: Noise) -> str:
    """Return how many images could not be read; empty where all could."""
    count = plural(noise.unreadable, "image")
    what = "cannot be read. unreadable.csv says why; labelaudit relabel with it drops them."
    return f"{count} of {noise.samples:,} {what}" if noise.unreadable else ""


def left_out_sentences(noise: Noise) -> list[str]:
    """Return a headline and a line for each kind of left-out files, the most frequent first; empty without any."""
    if not noise.left_out:
        return []
    entries = sorted(noise.left_out, key=lambda entry: -entry.files)
    total = sum(entry.files for entry in entries)
    lines = [f"{plural(total, 'file')} in the folder {'is' if total == 1 else 'are'} not in the audit:"]
    lines += [entry.text for entry in entries[:MOST_KINDS]]
    if len(entries) > MOST_KINDS:
        rest = sum(entry.files for entry in entries[MOST_KINDS:])
        lines.append(f"{plural(rest, 'more file')} of {len(entries) - MOST_KINDS} other kinds; noise.json lists them")
    return lines
