"""What changed from one audit to another: images, labels, suspicious labels, noise rates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, Protocol

from labelaudit.data.catalogue import Catalogue
from labelaudit.run.documents import ClassNoise, Description, Noise, as_json
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import Finding, Listed, Row, list_suspicious, read_baseline, suspicious_rows

CauseName = Literal["image", "label", "verdict"]
"""Why a label is suspicious in one audit only: the other lacks the image, or has another label or verdict for it."""


class Judged(Protocol):
    """A finished audit: `labelaudit.auditing.model.Audit`."""

    @property
    def run(self) -> RunFolder:
        """The run folder."""

    @property
    def catalogue(self) -> Catalogue:
        """The samples."""

    @property
    def summary(self) -> Noise:
        """The content of noise.json."""

    @property
    def description(self) -> Description:
        """The content of run.json."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is different in an audit than in an earlier one.

    A suspicious label is the same one where content and given label are.

    Attributes:
        settings: The names of the settings of the training that differ.
        added, removed, relabeled: Number of images that only the later or the earlier audit has, by their content, and
            of those in both that have another label.
        new, still, gone: Rows of suspicious.csv: new and known ones of the later audit, and those that it lacks.
        new_by, gone_by: The numbers of new and gone ones by their cause.
    """

    before: Noise
    after: Noise
    settings: list[str]
    added: int
    removed: int
    relabeled: int
    new: list[Row]
    still: list[Row]
    gone: list[Row]
    new_by: dict[CauseName, int]
    gone_by: dict[CauseName, int]

    @property
    def classes(self) -> list[tuple[str, ClassNoise | None, ClassNoise | None]]:
        """Each class with its figures before and after, None where it has none."""
        before, after = ({row.name: row for row in noise.classes} for noise in (self.before, self.after))
        return [(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())]

    def as_json(self) -> dict[str, object]:
        """Return everything, ready for JSON."""

        def figures(noise: Noise) -> dict[str, object]:
            return {
                "noise_rate": noise.best_rate,
                "noise_rate_interval": noise.best_interval,
                "suspicious": noise.suspicious,
                "samples": noise.samples,
                "kept": noise.kept,
            }

        return {
            "before": figures(self.before),
            "after": figures(self.after),
            "settings": self.settings,
            "images": {"added": self.added, "removed": self.removed, "relabeled": self.relabeled},
            "classes": [
                {"class": name, "before": old and as_json(old), "after": new and as_json(new)}
                for name, old, new in self.classes
            ],
            "new_by": self.new_by,
            "gone_by": self.gone_by,
            "new": self.new,
            "still": self.still,
            "gone": self.gone,
        }


def find_changes(before: Judged, after: Judged) -> Changes:
    """Return what changed between two finished audits; raise a RunError where a file is missing or damaged."""
    old, new = _counted(before.catalogue), _counted(after.catalogue)
    lost, won = _by_content(old - new), _by_content(new - old)
    relabeled = (lost & won).total()
    one, other = before.description.settings, after.description.settings
    later, earlier = _listed(after, before), _listed(before, after)
    return Changes(
        before=before.summary,
        after=after.summary,
        settings=sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)),
        added=won.total() - relabeled,
        removed=lost.total() - relabeled,
        relabeled=relabeled,
        new=later.rows,
        still=later.known_rows,
        gone=earlier.rows,
        new_by=_causes(later.rows, old),
        gone_by=_causes(earlier.rows, new),
    )


def _listed(audit: Judged, other: Judged) -> Listed:
    rows, total = suspicious_rows(audit.run.suspicious), audit.summary.suspicious
    return list_suspicious(rows, total, most=len(audit.catalogue), baseline=read_baseline(other.run.suspicious).labels)


def _counted(catalogue: Catalogue) -> Counter[Finding]:
    labels = (catalogue.classes[label] for label in catalogue.label_N.tolist())
    return Counter(zip(catalogue.sha256, labels, strict=True))


def _by_content(findings: Counter[Finding]) -> Counter[str]:
    count_of: Counter[str] = Counter()
    for (sha256, _), count in findings.items():
        count_of[sha256] += count
    return count_of


def _causes(rows: list[Row], other: Counter[Finding]) -> dict[CauseName, int]:
    contents = {sha256 for sha256, _ in other}
    causes: dict[CauseName, int] = {"image": 0, "label": 0, "verdict": 0}
    for row in rows:
        judged, seen = (row["sha256"], row["given_label"]) in other, row["sha256"] in contents
        causes["verdict" if judged else "label" if seen else "image"] += 1
    return causes
