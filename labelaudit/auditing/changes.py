"""Find what changed from one audit to another."""

from __future__ import annotations

from collections import Counter

from labelaudit.auditing.model import Audit
from labelaudit.data.catalogue import Catalogue
from labelaudit.run.changes import CauseName, Changes
from labelaudit.run.lists import Baseline, Finding, Listed, Row, list_suspicious, ranked_rows


def find_changes(before: Audit, after: Audit) -> Changes:
    """Return what changed between two finished audits; raise a RunError where a file is missing or damaged."""
    old, new = _counted(before.catalogue), _counted(after.catalogue)
    lost, won = (Counter(sha256 for sha256, _ in some.elements()) for some in (old - new, new - old))
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


def _listed(audit: Audit, other: Audit) -> Listed:
    columns = (other.suspicious.column(name).to_pylist() for name in ("path", "sha256", "given_label"))
    files = {path: (sha256, label, "") for path, sha256, label in zip(*columns, strict=True)}
    rows = ranked_rows(audit.suspicious)
    return list_suspicious(rows, most=len(audit.catalogue), baseline=Baseline(files=files))


def _counted(catalogue: Catalogue) -> Counter[Finding]:
    labels = (catalogue.classes[label] for label in catalogue.label_N.tolist())
    return Counter(zip(catalogue.sha256, labels, strict=True))


def _causes(rows: list[Row], other: Counter[Finding]) -> dict[CauseName, int]:
    contents = {sha256 for sha256, _ in other}
    causes: dict[CauseName, int] = {"image": 0, "label": 0, "verdict": 0}
    for row in rows:
        judged, seen = (row["sha256"], row["given_label"]) in other, row["sha256"] in contents
        causes["verdict" if judged else "label" if seen else "image"] += 1
    return causes
