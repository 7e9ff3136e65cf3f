"""Decisions in Label Studio's JSON export: a list of tasks, each with what annotators chose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from labelaudit.errors import DataError
from labelaudit.relabel.review import Correction, Refusal, Review

_ACTION_CONTROL = "action"
_DROP, _KEEP = "drop", "keep"
_NOT_OURS = "export the annotations as JSON (not JSON-MIN) from Label Studio"


def read_label_studio(file: Path, content: bytes, digest: str) -> Review:
    """Read the export; the module's docstring says of what.

    A task's image is named by its ``data.path``, else by the address in ``data.image``. Its label is the choice of its
    annotations; predictions and skipped annotations do not count. A second set of choices with the name ``action`` may
    say ``drop`` or ``keep``.

    Raises:
        DataError: the file is no such export.
    """
    try:
        tasks = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not readable JSON ({' '.join(str(error).split())[:100]})", fix=_NOT_OURS) from error
    if not isinstance(tasks, list):
        raise DataError(f"{file} is not an export of Label Studio (no list of tasks)", fix=_NOT_OURS)
    corrections: list[Correction] = []
    unclear: list[Refusal] = []
    unreviewed = 0
    for number, task in enumerate(tasks, start=1):
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise DataError(f"{file} is not an export of Label Studio (no data in task {number})", fix=_NOT_OURS)
        where = f"task {task.get('id', number)}"
        path = _image_path(task["data"])
        decisions = _decisions(task)
        if not decisions:
            unreviewed += 1
        elif len(decisions) > 1:
            unclear.append(Refusal(path=path, where=where, reason="its annotations disagree"))
        elif isinstance(decision := decisions.pop(), str):
            unclear.append(Refusal(path=path, where=where, reason=decision))
        else:
            corrections.append(_correction(task["data"], path, decision, where))
    return Review(
        file=file, digest=digest, corrections=tuple(corrections), unreviewed=unreviewed, unclear=tuple(unclear)
    )


def _correction(data: dict[str, Any], path: str, decision: tuple[str, str], where: str) -> Correction:
    word, label = decision
    return Correction(
        path=path,
        action="drop" if word == _DROP else "keep" if word == _KEEP else "change",
        label=label,
        given_label=_text(data.get("given_label")),
        sha256=_text(data.get("sha256")).lower(),
        where=where,
        prefixed=not _text(data.get("path")),
    )


def _decisions(task: dict[str, Any]) -> set[tuple[str, str] | str]:
    """The different decisions of a task's annotators: (action, label), or why one cannot be told."""
    annotations = task.get("annotations")
    entries = annotations if isinstance(annotations, list) else []
    return {_decision(entry) for entry in entries if isinstance(entry, dict) and not entry.get("was_cancelled")}


def _decision(annotation: dict[str, Any]) -> tuple[str, str] | str:
    results = annotation.get("result")
    labels: set[str] = set()
    words: set[str] = set()
    for result in results if isinstance(results, list) else []:
        value = result.get("value") if isinstance(result, dict) else None
        choices = value.get("choices") if isinstance(value, dict) else None
        into = words if isinstance(result, dict) and result.get("from_name") == _ACTION_CONTROL else labels
        into.update(choice for choice in (choices if isinstance(choices, list) else ()) if isinstance(choice, str))
    if words & {_DROP, _KEEP}:
        return (words.pop(), "") if len(words) == 1 else "more than one action is chosen"
    if not labels:
        return "no label is chosen"
    return ("change", labels.pop()) if len(labels) == 1 else "more than one label is chosen"


def _image_path(data: dict[str, Any]) -> str:
    """The path in a task's data, or the one that its address ends with."""
    if path := _text(data.get("path")):
        return path
    address = _text(data.get("image"))
    try:
        parsed = urlsplit(address)
    except ValueError:
        return address
    local = parse_qs(parsed.query).get("d")  # /data/local-files/?d=cat/1.jpg
    return local[0] if local else unquote(parsed.path).lstrip("/")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
