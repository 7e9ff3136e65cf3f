"""What recording costs: labelaudit's epoch with it against the same epoch without, in turns.

    python -m labelaudit.reproduce.speed recording DATA --rounds 15

With: every sample's loss, margin, prediction and strongest alternative in each step, and the epoch's Parquet file.
Without: the same loop, in which nothing is computed, kept or written beside the training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from labelaudit.reproduce.speed.arguments import positive
from labelaudit.reproduce.speed.loop import describe
from labelaudit.reproduce.speed.ours import RecordedEpochs
from labelaudit.reproduce.speed.problem import Problem, add_training_arguments, empty_folder, load_folder
from labelaudit.reproduce.speed.timing import Contender, Row, spread, take_turns

ON, OFF = "with recording", "without recording"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    add_training_arguments(parser)
    parser.add_argument("--rounds", type=positive, default=15, help="how often each is timed (default: 15)")


def measure(asked: argparse.Namespace) -> list[Row]:
    """Time both in turns.

    Raises:
        LabelauditError: the folder cannot be trained on.
    """
    with empty_folder() as scratch:
        return cost_rows(load_folder(asked).problem, scratch, rounds=asked.rounds)


def cost_rows(problem: Problem, scratch: Path, *, rounds: int, epochs: int = 1) -> list[Row]:
    """Both rates, and the cost of recording: the share of time that it adds, in percent.

    Args:
        problem: What is trained.
        scratch: A folder for the records.
        rounds: How often both are timed.
        epochs: In a turn.
    """
    # A training each: that of the other is not disturbed.
    on, off = (RecordedEpochs(problem, scratch / name, epochs=epochs) for name in ("recorded", "unused"))
    rates = take_turns(
        [
            Contender(name=ON, items=on.items, run=on.run),
            Contender(name=OFF, items=off.items, run=off.run_unrecorded),
        ],
        rounds,
    )
    cost = spread([100 * (ratio - 1) for ratio in rates.ratios(OFF, ON)])
    note = f"{cost.note}; {describe(problem)}"
    return [
        *rates.rate_rows("images/s"),
        Row(name="recording adds", value=cost.median, unit="% of the time", note=note),
    ]
