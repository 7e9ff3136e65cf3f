"""The rounds as Markdown."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from labelaudit.reproduce.relabeling.rounds import RoundRecord

_HEADER = ("noise", "seed", "audit", "wrong labels", "noise rate", "estimate", "suspicious", "reviewed", "removed")
_LEGEND = (
    "*Reviewed* is everything that the audit lists as suspicious, answered with the truth; *removed* are the wrong "
    "labels among it that are right in the next audit's folder. The estimate has its interval in brackets."
)


def as_markdown(records: Sequence[RoundRecord], *, title: str, note: str) -> str:
    """The whole page: a row for each audit, and a sentence for each review.

    Args:
        records: In the order of the audits.
        title: Name of the data.
        note: A sentence about it.
    """
    lines = [f"# Audit, review, relabel, audit again: {title}", "", note, "", _LEGEND, ""]
    lines += [_line(_HEADER), "|" + "---|" * len(_HEADER), *(_line(_cells(record)) for record in records), ""]
    pairs = itertools.pairwise(records)
    lines += [_sentence(record, following) for record, following in pairs if following.audit == record.audit + 1]
    return "\n".join(lines) + "\n"


def _cells(record: RoundRecord) -> list[str]:
    reviewed = [f"{record.reviewed:,}", _share(record.removed, record.found)] if record.reviewed else ["–", "–"]
    return [
        record.noise,
        str(record.seed),
        str(record.audit),
        f"{record.wrong:,}",
        f"{record.noise_rate:.4f}",
        _estimate(record),
        f"{record.suspicious:,}",
        *reviewed,
    ]


def _estimate(record: RoundRecord) -> str:
    if math.isnan(record.estimate):
        return "–"
    interval = "" if math.isnan(record.low) else f" ({record.low:.4f} to {record.high:.4f})"
    return f"{record.estimate:.4f}{interval}"


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}" + (f" ({part / whole:.1%})" if whole else "")


def _sentence(record: RoundRecord, following: RoundRecord) -> str:
    spoilt = f", {record.spoilt:,} right ones made wrong" if record.spoilt else ""
    return (
        f"- {record.noise}, seed {record.seed}, review {record.audit}: {_share(record.removed, record.found)} of the "
        f"wrong labels that were reviewed are removed{spoilt}; the noise rate fell by "
        f"{record.noise_rate - following.noise_rate:.4f}, its estimate by {record.estimate - following.estimate:.4f}."
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
