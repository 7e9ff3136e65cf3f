"""Kinds and advice in words, the same for every format; nothing where noise.json is of a version without them."""

from __future__ import annotations

from typing import Any

from labelaudit.detect.constants import HARMLESS
from labelaudit.names import KINDS

MATRIX_HEADER = ("made on purpose", "made", *KINDS, "missed")

_PLANTED = {
    "random": "labels, random",
    "confusion": "labels, as confused",
    "look-alike": "labels, look-alike",
    "shuffled": "pictures, shuffled",
    "gaussian": "pictures, Gaussian",
    "noise": "pictures, part noise",
    "blank": "pictures, blank",
}


def kinds_sentences(noise: dict[str, Any]) -> list[str]:
    """What the suspicious are, and what else was found.

    Args:
        noise: The content of noise.json.
    """
    kinds = noise.get("kinds")
    if not kinds:
        return []
    sentences = []
    suspicious = {kind: int(kinds["suspicious"][kind]) for kind in KINDS}
    if any(suspicious.values()):
        counts = ", ".join(f"{count:,} {kind}" for kind, count in suspicious.items() if count)
        sentences.append(f"Kinds of the suspicious: {counts}.")
    corrupted, duplicate = (int(kinds["samples"][kind]) for kind in ("corrupted", "duplicate"))
    if corrupted:
        sentences.append(
            f"Corrupted pictures, suspicious or not: {corrupted:,} of {int(noise['readable']):,}; they are in "
            "corrupted.csv."
        )
    if duplicate:
        sentences.append(f"Equal pictures with different labels: {duplicate:,}; kind in scores.parquet names them.")
    return sentences


def matrix_rows(noise: dict[str, Any]) -> list[list[str]]:
    """The confusion matrix of what was planted, by `MATRIX_HEADER`.

    Args:
        noise: The content of noise.json.
    """
    rows = []
    for entry in (noise.get("kinds") or {}).get("planted") or []:
        called = [int(entry["called"].get(kind, 0)) for kind in KINDS]
        name = str(entry["planted"])
        rows.append(
            [
                _PLANTED.get(name, name),
                *(f"{number:,}" for number in (entry["count"], *called, entry["count"] - sum(called))),
            ]
        )
    return rows


def matrix_note(noise: dict[str, Any]) -> str:
    """What the matrix is made of.

    Args:
        noise: The content of noise.json.
    """
    planted = (noise.get("kinds") or {}).get("planted") or []
    if any(entry["expected"] == "mislabeled" for entry in planted):
        return "Labels made wrong and pictures spoiled on purpose, and what they are called."
    return "Pictures spoiled on purpose, and what they are called; for labels too, audit with --controls."


def advice_sentences(noise: dict[str, Any]) -> list[str]:
    """Whether a training that prefers high losses would be hurt by this data.

    Args:
        noise: The content of noise.json.
    """
    advice = noise.get("advice")
    if not advice:
        return []
    base = float(advice["base_rate"])
    shares = {
        name: " and ".join(
            f"{float(entry['noise_share']):.1%} (at {entry['selectivity']})"
            for entry in advice["selectors"]
            if entry["selector"] == name
        )
        for name in ("selective-backprop", "selective-backprop-entropy")
    }
    hurts = advice["safe"] != "selective-backprop"
    return [
        f"Loss-based prioritization {'would hurt' if hurts else 'is safe'} here: of what Selective Backprop would "
        f"back-propagate, {shares['selective-backprop']} is noise, of all samples {base:.1%}.",
        f"With the entropy in the place of the loss it would be {shares['selective-backprop-entropy']}.",
        _safe(str(advice["safe"])),
    ]


def _safe(selector: str) -> str:
    margin = f"{100 * HARMLESS:.0f} points more noise than there is"
    if selector == "selective-backprop":
        return f"Safe: --selector selective-backprop, which takes at most {margin}."
    if selector == "selective-backprop-entropy":
        return f"Safe: --selector selective-backprop-entropy, which takes at most {margin}; or none."
    return f"Safe: --selector none; both take over {margin}. Or take the noise out first: weights.csv, corrupted.csv."
