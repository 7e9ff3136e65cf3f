"""What a page says in words: the headline, and the tables of estimators and planted controls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labelaudit.report.page.findings import Findings
from labelaudit.report.sentences import (
    MATRIX_HEADER,
    kinds_sentences,
    left_out_sentences,
    matrix_note,
    matrix_rows,
    rate_text,
    unreadable_sentence,
)
from labelaudit.run.documents import EstimatorNoise, FoundControls, Noise
from labelaudit.run.lists import unreadable_rows
from labelaudit.text import printable

_ESTIMATORS = {
    "confident-joint": "counts images of which the probe is sure that they belong elsewhere",
    "controls": "compares with the labels that were made wrong on purpose",
    "gmm": "splits the AULs into two groups, as the AUL paper does; too high where few labels are wrong",
    "gmm-per-class": "the same within each class",
    "bmm": "the same with beta distributions",
}
_MOST_FILES = 200
_SAYS_LITTLE = {"data", "dataset", "images", "test", "train", "training", "val", "valid", "validation"}
_CONTROLS = {
    "random": "any other class",
    "confusion": "a class that the data's own classes are taken for",
    "look-alike": "the class that the image itself looks like most",
}


@dataclass(frozen=True, kw_only=True)
class Named:
    """A name that labelaudit made up, and what it means; empty for one that it does not know."""

    name: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class EstimatorWords(Named):
    """What one estimator says, and whether the verdicts are from it."""

    rate: str
    suspicious: str
    used: bool


@dataclass(frozen=True, kw_only=True)
class Words:
    """The texts of a page; names in them are as they came, so whoever shows them has to escape them.

    Attributes:
        title: The name of the image folder, after that of the folder it lies in where it says little itself.
        facts: What was audited, and how, in a few words each.
        rate: The noise rate as a percentage, or "unknown".
        sentence: What it means.
        interval: Its interval in words; empty without one.
        range: Interval and rate as percentages, for a drawing; None without an interval.
        suspicious: How many samples are suspicious.
        readable: How many were audited.
        set_aside: How many could not be read.
        new: How many suspicious labels a baseline does not know; None without a baseline.
        set_aside_sentence: How many could not be read, in words; empty where all could.
        set_aside_files: Path and reason of the first of them.
        left_out: A headline, and a line for each kind of left-out files.
        warnings: Why not to trust the figures.
        estimators: What each of them says.
        planted: Kind, planted, found, share.
        review: How many rows are looked at, and which share of the estimated errors they hold; none after the first
            that holds all of them.
        kinds: What the suspicious are, and what else was found, a sentence each.
        matrix: What planted controls are called; the first row is the header, empty without any.
        matrix_note: What it is made of.
    """

    title: str
    facts: list[str]
    rate: str
    sentence: str
    interval: str
    range: tuple[float, float, float] | None
    suspicious: int
    readable: int
    set_aside: int
    new: int | None
    set_aside_sentence: str
    set_aside_files: list[tuple[str, str]]
    left_out: list[str]
    warnings: list[str]
    estimators: list[EstimatorWords]
    planted: list[tuple[Named, int, int, str]]
    review: list[tuple[int, str]]
    kinds: list[str]
    matrix: list[list[str]]
    matrix_note: str


def describe(findings: Findings) -> Words:
    """Put an audit's figures into words."""
    noise = findings.noise
    rate, interval = noise.noise_rate, noise.noise_rate_interval
    low, high = interval or (0.0, 0.0)
    unreadable = list(unreadable_rows(findings.catalogue))
    return Words(
        title=printable(_title(findings.catalogue.root)),
        facts=_facts(findings),
        rate=rate_text(noise),
        sentence=_sentence(rate),
        interval=f"between {low:.1%} and {high:.1%}" if interval and rate is not None else "",
        range=(100 * low, 100 * rate, 100 * high) if interval and rate is not None else None,
        suspicious=noise.suspicious,
        readable=noise.readable,
        set_aside=len(unreadable),
        new=findings.new,
        set_aside_sentence=unreadable_sentence(noise),
        set_aside_files=[(printable(row["path"]), printable(row["reason"])) for row in unreadable[:_MOST_FILES]],
        left_out=[printable(line) for line in left_out_sentences(noise)],
        warnings=[printable(warning) for warning in noise.warnings],
        estimators=[_estimator(name, row, used=name == noise.fit.estimator) for name, row in noise.estimators.items()],
        planted=[_planted(row) for row in noise.power.kinds if row.class_name is None],
        review=_review(noise),
        kinds=[printable(sentence) for sentence in kinds_sentences(noise)],
        matrix=_matrix(noise),
        matrix_note=printable(matrix_note(noise)),
    )


def _title(root: Path) -> str:
    if root.name.lower() in _SAYS_LITTLE and root.parent.name:
        return f"{root.parent.name}/{root.name}"
    return root.name or "labelaudit"


def _matrix(noise: Noise) -> list[list[str]]:
    rows = [[printable(cell) for cell in row] for row in matrix_rows(noise)]
    return [list(MATRIX_HEADER), *rows] if rows else []


def _sentence(rate: float | None) -> str:
    if rate is None:
        return "How many labels are wrong could not be estimated; the ranking below stands all the same."
    of_hundred = round(100 * rate)
    if of_hundred == 0:
        return "Fewer than one label in a hundred looks wrong."
    return f"About {of_hundred} label{'' if of_hundred == 1 else 's'} in a hundred look{'s' * (of_hundred == 1)} wrong."


def _facts(findings: Findings) -> list[str]:
    description, classes = findings.description, len(findings.catalogue.classes)
    facts = [
        f"{len(findings.catalogue):,} images",
        f"{classes:,} class{'' if classes == 1 else 'es'}",
        f"{findings.noise.epochs:,} epochs",
    ]
    model = description.settings.get("model")
    if isinstance(model, str):
        facts.append(printable(f"head on frozen {model}" if description.settings.get("kind") == "frozen" else model))
    if description.finished:
        facts.append(f"audited {printable(description.finished[:10])}")
    return facts


def _estimator(name: str, row: EstimatorNoise, *, used: bool) -> EstimatorWords:
    return EstimatorWords(
        name=printable(name),
        meaning=_ESTIMATORS.get(name, ""),
        rate=f"{row.noise_rate:.1%}",
        suspicious=f"{row.suspicious:,}",
        used=used,
    )


def _planted(row: FoundControls) -> tuple[Named, int, int, str]:
    named = Named(name=printable(row.kind), meaning=_CONTROLS.get(row.kind, ""))
    return named, row.planted, row.found, f"{row.found / row.planted:.1%}" if row.planted else "–"


def _review(noise: Noise) -> list[tuple[int, str]]:
    shares = [(row.top, f"{row.caught:.0%}") for row in noise.power.review]
    whole = next((at for at, (_, share) in enumerate(shares) if share == "100%"), len(shares))
    return shares[: whole + 1]
