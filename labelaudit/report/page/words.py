"""What a page says in words: the headline, and the tables of estimators and planted controls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelaudit.report.kinds import MATRIX_HEADER, advice_sentences, kinds_sentences, matrix_note, matrix_rows
from labelaudit.report.page.findings import Findings, damaged
from labelaudit.report.unused import left_out_sentences, unreadable_sentence
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
        advice: Whether to train on high losses, a sentence each.
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
    advice: list[str]


def describe(findings: Findings) -> Words:
    """Put an audit's figures into words.

    Raises:
        RunError: noise.json holds something else than figures.
    """
    try:
        return _describe(findings)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise damaged(findings, error) from error


def _describe(findings: Findings) -> Words:
    noise = findings.noise
    rate = None if noise["noise_rate"] is None else float(noise["noise_rate"])
    bounds = noise.get("noise_rate_interval")
    low, high = (float(bounds[0]), float(bounds[1])) if bounds and rate is not None else (0.0, 0.0)
    power = noise.get("power") or {}
    unreadable = list(unreadable_rows(findings.catalogue))
    return Words(
        title=printable(_title(findings.catalogue.root)),
        facts=_facts(findings),
        rate="unknown" if rate is None else f"{rate:.1%}",
        sentence=_sentence(rate),
        interval=f"between {low:.1%} and {high:.1%}" if bounds and rate is not None else "",
        range=(100 * low, 100 * rate, 100 * high) if bounds and rate is not None else None,
        suspicious=int(noise["suspicious"]),
        readable=int(noise["readable"]),
        set_aside=len(unreadable),
        new=findings.new,
        set_aside_sentence=unreadable_sentence(
            {**noise, "samples": len(findings.catalogue), "unreadable": len(unreadable)}
        ),
        set_aside_files=[(printable(row["path"]), printable(row["reason"])) for row in unreadable[:_MOST_FILES]],
        left_out=[printable(line) for line in left_out_sentences(noise)],
        warnings=[printable(str(warning)) for warning in noise["warnings"]],
        estimators=_estimators(noise),
        planted=[_planted(entry) for entry in power.get("kinds") or [] if entry.get("class") is None],
        review=_review(power.get("review") or []),
        kinds=[printable(sentence) for sentence in kinds_sentences(noise)],
        matrix=_matrix(noise),
        matrix_note=printable(matrix_note(noise)),
        advice=[printable(sentence) for sentence in advice_sentences(noise)],
    )


def _title(root: Path) -> str:
    if root.name.lower() in _SAYS_LITTLE and root.parent.name:
        return f"{root.parent.name}/{root.name}"
    return root.name or "labelaudit"


def _matrix(noise: dict[str, Any]) -> list[list[str]]:
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
    settings = findings.description.get("settings")
    settings = settings if isinstance(settings, dict) else {}
    epochs, classes = findings.noise["epochs"], len(findings.catalogue.classes)
    facts = [
        f"{len(findings.catalogue):,} images",
        f"{classes:,} class{'' if classes == 1 else 'es'}",
        f"{epochs:,} epochs",
    ]
    model = settings.get("model")
    if isinstance(model, str):
        facts.append(printable(f"head on frozen {model}" if settings.get("kind") == "frozen" else model))
    finished = findings.description.get("finished")
    if isinstance(finished, str):
        facts.append(f"audited {printable(finished[:10])}")
    return facts


def _estimators(noise: dict[str, Any]) -> list[EstimatorWords]:
    used = noise["fit"].get("estimator")
    return [
        EstimatorWords(
            name=printable(name),
            meaning=_ESTIMATORS.get(name, ""),
            rate="unknown" if entry.get("noise_rate") is None else f"{float(entry['noise_rate']):.1%}",
            suspicious="" if entry.get("suspicious") is None else f"{int(entry['suspicious']):,}",
            used=name == used,
        )
        for name, entry in (noise.get("estimators") or {}).items()
    ]


def _planted(entry: dict[str, Any]) -> tuple[Named, int, int, str]:
    planted, found, kind = int(entry["planted"]), int(entry["found"]), str(entry["kind"])
    named = Named(name=printable(kind), meaning=_CONTROLS.get(kind, ""))
    return named, planted, found, f"{found / planted:.1%}" if planted else "–"


def _review(entries: list[dict[str, Any]]) -> list[tuple[int, str]]:
    shares = [(int(entry["top"]), f"{float(entry['caught']):.0%}") for entry in entries]
    whole = next((at for at, (_, share) in enumerate(shares) if share == "100%"), len(shares))
    return shares[: whole + 1]
