"""Put the figures of an audit into the words of its page."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from labelaudit.audit.model import Audit
from labelaudit.report.sentences import (
    MATRIX_HEADER,
    kinds_sentences,
    left_out_sentences,
    matrix_note,
    matrix_rows,
    plural,
    rate_text,
    unreadable_sentence,
)
from labelaudit.run.documents import Noise
from labelaudit.run.lists import unreadable_rows

_ESTIMATORS = {
    "confident-joint": "counts images of which the probe is sure that they belong elsewhere",
    "controls": "compares with the labels that were made wrong on purpose",
    "gmm": "splits the AULs into two groups, as the AUL paper does; too high where few labels are wrong",
    "gmm-per-class": "the same within each class",
    "bmm": "the same with beta distributions",
}
_CONTROLS = {
    "random": "any other class",
    "confusion": "a class that the data's own classes are taken for",
    "look-alike": "the class that the image itself looks like most",
}
_MOST_FILES = 200
_COMMON_NAMES = {"data", "dataset", "images", "test", "train", "training", "val", "valid", "validation"}


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A row of a table: a name of labelaudit's, its meaning (empty for an unknown name), and the other cells."""

    name: str
    meaning: str
    cells: tuple[str, ...]
    bold: bool = False


@dataclass(frozen=True, kw_only=True)
class Words:
    """The texts of a page that noise.json does not have. The template makes names printable and escapes them.

    Attributes:
        title: The name of the image folder; its parent's in front where it is as common as "train".
        facts: What was audited, and how, in a few words each.
        rate: The noise rate as a percentage, or "unknown".
        sentence: What it means.
        interval: Its interval in words; empty without one.
        range: Lower end, rate and upper end as percentages, for a drawing; None without an interval.
        new: How many suspicious labels a baseline does not know; None without a baseline.
        unreadable: How many images cannot be read, in words; empty where all can.
        unreadable_files: Path and reason of the first of them.
        left_out: A headline, and a line for each kind of left-out files.
        estimators: The figures of each.
        planted: Kinds of planted labels: how many, how many of them were found, and the share.
        review: How many rows are looked at, and the share of the estimated errors they hold, up to all of them.
        kinds: The kinds of the suspicious samples, and what else was found, a sentence each.
        matrix: What planted controls are called; the first row is the header, empty without any.
        matrix_note: What its rows are.
    """

    title: str
    facts: list[str]
    rate: str
    sentence: str
    interval: str
    range: tuple[float, float, float] | None
    new: int | None
    unreadable: str
    unreadable_files: list[tuple[str, str]]
    left_out: list[str]
    estimators: list[TableRow]
    planted: list[TableRow]
    review: list[tuple[int, str]]
    kinds: list[str]
    matrix: list[list[str]]
    matrix_note: str


def describe(audit: Audit, *, new: int | None = None) -> Words:
    """Put an audit's figures into words."""
    noise, matrix = audit.summary, matrix_rows(audit.summary)
    rate, interval = noise.noise_rate, noise.noise_rate_interval
    low, high = interval or (0.0, 0.0)
    return Words(
        title=_title(audit.catalogue.root),
        facts=_facts(audit),
        rate=rate_text(noise),
        sentence=_sentence(rate),
        interval=f"between {low:.1%} and {high:.1%}" if interval and rate is not None else "",
        range=(100 * low, 100 * rate, 100 * high) if interval and rate is not None else None,
        new=new,
        unreadable=unreadable_sentence(noise),
        unreadable_files=[
            (row["path"], row["reason"]) for row in islice(unreadable_rows(audit.catalogue), _MOST_FILES)
        ],
        left_out=left_out_sentences(noise),
        estimators=[
            TableRow(
                name=name,
                meaning=_ESTIMATORS.get(name, ""),
                cells=(f"{row.noise_rate:.1%}", f"{row.suspicious:,}"),
                bold=name == noise.fit.estimator,
            )
            for name, row in noise.estimators.items()
        ],
        planted=[
            TableRow(
                name=row.kind,
                meaning=_CONTROLS.get(row.kind, ""),
                cells=(f"{row.planted:,}", f"{row.found:,}", f"{row.found / row.planted:.1%}" if row.planted else "–"),
            )
            for row in noise.power.kinds
            if row.class_name is None
        ],
        review=_review(noise),
        kinds=kinds_sentences(noise),
        matrix=[list(MATRIX_HEADER), *matrix] if matrix else [],
        matrix_note=matrix_note(noise),
    )


def _title(root: Path) -> str:
    if root.name.lower() in _COMMON_NAMES and root.parent.name:
        return f"{root.parent.name}/{root.name}"
    return root.name or "labelaudit"


def _sentence(rate: float | None) -> str:
    if rate is None:
        return "How many labels are wrong could not be estimated; the ranking below stands all the same."
    of_hundred = round(100 * rate)
    if of_hundred == 0:
        return "Fewer than one label in a hundred looks wrong."
    return f"About {plural(of_hundred, 'label')} in a hundred look{'s' * (of_hundred == 1)} wrong."


def _facts(audit: Audit) -> list[str]:
    settings, finished = audit.description.settings, audit.description.finished
    facts = [
        f"{len(audit.catalogue):,} images",
        plural(len(audit.catalogue.classes), "class", "classes"),
        f"{audit.summary.epochs:,} epochs",
    ]
    model = settings.get("model")
    if isinstance(model, str):
        facts.append(f"head on frozen {model}" if settings.get("kind") == "frozen" else model)
    if finished:
        facts.append(f"audited {finished[:10]}")
    return facts


def _review(noise: Noise) -> list[tuple[int, str]]:
    shares = [(row.top, f"{row.caught:.0%}") for row in noise.power.review]
    whole = next((at for at, (_, share) in enumerate(shares) if share == "100%"), len(shares))
    return shares[: whole + 1]
