"""Compare retrainings: mean and deviation of the errors of those that differ in nothing but the seed.

Shapes: S seeds.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labelaudit.errors import RunError
from labelaudit.run.files import read_json
from labelaudit.run.layout import RunFolder

Result = Mapping[str, Any]  # the content of a result.json, or a part of it


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One row: the same training with several seeds.

    Attributes:
        method: Its name.
        differs: Those of its settings and parameters of which the table has several values; ``weights`` is yes where
            it was given sample weights, else no.
        seeds: Of its runs.
        validation_error, validation_error_deviation: Mean and deviation √(Σ (x − mean)² / (S − 1)), None for one seed.
        validation_errors: Error on held-out images after the last epoch; empty when a run has none.
        train_error: Mean share of the given labels that the network disagrees with in its last epoch.
    """

    method: str
    differs: Result
    seeds: tuple[int, ...]
    validation_error: float | None
    validation_error_deviation: float | None
    validation_errors: tuple[float, ...]
    train_error: float


def compare(folders: Sequence[Path]) -> list[Comparison]:
    """Return the rows of a table of retrainings, or of those in folders at any depth, the smallest error first.

    Raises:
        RunError: a folder holds none or a damaged one, or two runs of a row have one seed and the same labels.
    """
    groups: dict[str, list[Result]] = {}
    for run, result in dict(found for folder in folders for found in _read_all(folder)).items():
        group = groups.setdefault(json.dumps(_identity(result), sort_keys=True), [])
        group.append({"folder": str(run), **result})
    identities = [json.loads(key) for key in groups]
    values = {(name, json.dumps(value)) for identity in identities for name, value in identity.items()}
    count_of = Counter(name for name, _ in values)
    rows = [
        _row(results, {name: value for name, value in identity.items() if count_of[name] > 1 and name != "method"})
        for identity, results in zip(identities, groups.values(), strict=True)
    ]
    return sorted(rows, key=lambda row: (row.validation_error is None, row.validation_error, row.method))


def _read_all(folder: Path) -> Iterator[tuple[Path, Result]]:
    """Yield the retrainings in a folder, with their results."""
    files = sorted(folder.rglob(RunFolder(folder).result.name)) if folder.is_dir() else []
    if not files:
        raise RunError(f"{folder} holds no finished retraining", fix="give the --out of labelaudit retrain")
    for file in files:
        result = read_json(file)
        metrics, settings = ({} if not isinstance(of, dict) else of for of in map(result.get, ("metrics", "settings")))
        named = isinstance(result.get("method"), str) and isinstance(settings.get("seed"), int)
        if not named or not {"validation_error", "train_error"} <= metrics.keys():
            raise RunError(f"{file} is not of a retraining, or damaged", fix="train again, or leave it out")
        yield file.parent.resolve(), result


def _identity(result: Result) -> Result:
    """Return what two runs of a row have in common: not the seed, nor the data, whose labels a seed may have made."""
    parameters = dict(result.get("parameters") or {})
    source = result.get("noise_rate_from")
    if source is not None and not str(source).startswith("-P"):
        parameters["noise_rate"] = "audit"  # estimated anew for every seed's labels
    return {
        **{name: value for name, value in result["settings"].items() if name != "seed"},
        **parameters,
        "method": result["method"],
        "weights": "no" if result.get("weights_csv") is None else "yes",
        "validation": result.get("validation"),
    }


def _row(results: list[Result], differs: Result) -> Comparison:
    results = sorted(results, key=lambda result: (result["settings"]["seed"], str(result["fingerprint"])))
    runs = [(result["settings"]["seed"], result["fingerprint"]) for result in results]
    twice = [results[place]["folder"] for place in range(1, len(runs)) if runs[place] == runs[place - 1]]
    if twice:
        raise RunError(f"{twice[0]} appears twice: same seed, labels and settings", fix="leave one of them out")
    error_S = [result["metrics"]["validation_error"] for result in results]
    error_S = [] if None in error_S else error_S
    return Comparison(
        method=results[0]["method"],
        differs=differs,
        seeds=tuple(result["settings"]["seed"] for result in results),
        validation_error=float(np.mean(error_S)) if error_S else None,
        validation_error_deviation=float(np.std(error_S, ddof=1)) if len(error_S) > 1 else None,
        validation_errors=tuple(error_S),
        train_error=float(np.mean([result["metrics"]["train_error"] for result in results])),
    )
