"""The same training with several seeds: one is an anecdote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from labelaudit.engine.devices import choose_device
from labelaudit.engine.parallel import joined
from labelaudit.errors import UsageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.recipes.audits import Data
from labelaudit.recipes.retrain import RetrainOptions, retrain
from labelaudit.run.layout import RunFolder


def retrain_seeds(
    data: Data,
    folder_for: Mapping[int, RunFolder],
    options: RetrainOptions,
    reporter: Reporter = QUIET,
) -> list[dict[str, Any]]:
    """`retrain` once for each seed, into a folder of its own.

    Args:
        data: See `retrain`.
        folder_for: The folder of each seed.
        options: See `retrain`; their own seed does not count.
        reporter: Told about the progress.

    Returns:
        The content of each result.json.
    """
    results = []
    with joined(choose_device(options.training.device)):  # once for all of them
        for seed, out in folder_for.items():
            if len(folder_for) > 1:
                reporter.say(f"Seed {seed}")
            wanted = replace(options, training=replace(options.training, seed=seed))
            results.append(retrain(data, out, wanted, reporter))
    return results


def parse_seeds(text: str) -> tuple[int, ...]:
    """The seeds in ``0,1,2``.

    Raises:
        UsageError: they are not whole numbers, or one comes twice.
    """
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--seeds {text} are not whole numbers", fix="give --seeds 0,1,2") from None
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text} names a seed twice", fix="give each seed once")
    return seeds
