"""Put the figures of an audit into the words and table rows of its page.

The page's template makes names printable and escapes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labelaudit.audit.model import Audit
from labelaudit.report.sentences import plural
from labelaudit.run.documents import Noise

_ESTIMATORS = {
    "confident-joint": "counts images that the probe confidently assigns to another class",
    "controls": "compares with the labels that were made wrong on purpose",
    "gmm": "splits the AULs into two groups, as the AUL paper does; too high where few labels are wrong",
    "gmm-per-class": "the same within each class",
    "bmm": "the same with beta distributions",
}
_CONTROLS = {
    "random": "any other class",
    "confusion": "a class that is often confused with the given one",
    "look-alike": "the class that the image itself looks like most",
}
_COMMON_NAMES = {"data", "dataset", "images", "test", "train", "training", "val", "valid", "validation"}


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A row of a table: a name of labelaudit's, its meaning (empty for an unknown name), and the other cells."""

    name: str
    meaning: str
    cells: tuple[str, ...]
    bold: bool = False


def title_of(root: Path) -> str:
    """Return the name of the image folder, after its parent's where it is as common as "train"."""
    if root.name.lower() in _COMMON_NAMES and root.parent.name:
        return f"{root.parent.name}/{root.name}"
    return root.name or "labelaudit"


def facts_of(audit: Audit) -> list[str]:
    """Return what was audited, and how, in a few words each."""
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


def rate_sentence(rate: float | None) -> str:
    """Return what a noise rate means."""
    if rate is None:
        return "The share of wrong labels could not be estimated; the ranking below is still valid."
    of_hundred = round(100 * rate)
    if of_hundred == 0:
        return "Fewer than one label in a hundred looks wrong."
    return f"About {plural(of_hundred, 'label')} in a hundred look{'s' * (of_hundred == 1)} wrong."


def estimator_rows(noise: Noise) -> list[TableRow]:
    """Return noise rate and number of suspicious samples of each estimator; the one that was used is bold."""
    return [
        TableRow(
            name=name,
            meaning=_ESTIMATORS.get(name, ""),
            cells=(f"{row.noise_rate:.1%}", f"{row.suspicious:,}"),
            bold=name == noise.fit.estimator,
        )
        for name, row in noise.estimators.items()
    ]


def control_rows(noise: Noise) -> list[TableRow]:
    """Return how many labels of each kind were planted, how many of them were found, and the share."""
    return [
        TableRow(
            name=row.kind,
            meaning=_CONTROLS.get(row.kind, ""),
            cells=(f"{row.planted:,}", f"{row.found:,}", f"{row.found / row.planted:.1%}" if row.planted else "–"),
        )
        for row in noise.power.kinds
        if row.class_name is None
    ]


def review_shares(noise: Noise) -> list[tuple[int, str]]:
    """Return numbers of rows to review and the shares of the estimated errors in them, up to all errors."""
    shares = [(row.top, f"{row.caught:.0%}") for row in noise.power.review]
    whole = next((at for at, (_, share) in enumerate(shares) if share == "100%"), len(shares))
    return shares[: whole + 1]
