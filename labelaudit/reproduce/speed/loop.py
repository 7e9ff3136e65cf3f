"""Images per second of an epoch: labelaudit's, two ordinary loops with the ``aum`` package, and the bare step.

    python -m labelaudit.reproduce.speed loop DATA --limit 20000

All train the same network with the same batch size, in turns, an epoch each. labelaudit's epoch has augmentation,
recording and the Parquet file in it; its pixels are decoded beforehand, as in every epoch but the first. The ordinary
loops decode in each epoch (ImageFolder with two workers) or hold everything in a TensorDataset; both train in float32.
The bare step is forward, backward and optimiser on one batch that never changes, with labelaudit's precision and memory
format: our share of it says what is left to win.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from labelaudit.reproduce.speed.arguments import positive
from labelaudit.reproduce.speed.extras import require
from labelaudit.reproduce.speed.ordinary import (
    OrdinaryTraining,
    batch_augmentation,
    folder_batches,
    tensor_batches,
)
from labelaudit.reproduce.speed.ours import BareStep, RecordedEpochs
from labelaudit.reproduce.speed.problem import FolderProblem, Problem, add_training_arguments, empty_folder, load_folder
from labelaudit.reproduce.speed.timing import Contender, Rates, Row, spread, take_turns

OURS, BARE = "labelaudit", "bare step"
FOLDER, TENSOR = "ImageFolder + DataLoader + aum", "TensorDataset + aum"

_MOST_TENSOR_BYTES = 4 << 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    add_training_arguments(parser)
    parser.add_argument("--rounds", type=positive, default=5, help="how often each is timed (default: 5)")


def measure(asked: argparse.Namespace) -> list[Row]:
    """Time all four in turns.

    Raises:
        LabelauditError: the folder cannot be trained on, or ``aum`` is not installed.
    """
    require("aum")
    with empty_folder() as scratch:
        folder = load_folder(asked)
        rates = take_turns(_contenders(folder, scratch), asked.rounds)
    described = describe(folder.problem)
    ratios = [rates.ratio_row(OURS, other, note=described) for other in (FOLDER, TENSOR) if other in rates.rate_R]
    return [*rates.rate_rows("images/s"), *ratios, share_of_bare_step(rates, folder.problem)]


def share_of_bare_step(rates: Rates, problem: Problem) -> Row:
    """Labelaudit's rate in percent of the bare step's."""
    share = spread([100 * ratio for ratio in rates.ratios(OURS, BARE)])
    note = f"{share.note}; {describe(problem)}"
    return Row(name=f"{OURS}, share of the bare step", value=share.median, unit="%", note=note)


def describe(problem: Problem) -> str:
    """Network, pictures, batch size and precision in a few words."""
    settings = problem.settings
    return (
        f"{settings.model}, {len(problem.inputs)} images of {settings.image_size} pixels, "
        f"{'colour' if settings.channels == 3 else 'grey'}, batch {settings.batch_size}, ours in {settings.precision}"
    )


def own_contenders(problem: Problem, scratch: Path, *, epochs: int = 1) -> list[Contender]:
    """Epochs as labelaudit trains them, so many in a turn, and as many bare steps."""
    ours, bare = RecordedEpochs(problem, scratch / "losses", epochs=epochs), BareStep(problem)
    steps = epochs * -(-len(problem.inputs) // bare.batch_size)
    return [
        Contender(name=OURS, items=ours.items, run=ours.run),
        Contender(name=BARE, items=steps * bare.batch_size, run=partial(bare.run, steps)),
    ]


def _contenders(folder: FolderProblem, scratch: Path) -> list[Contender]:
    problem = folder.problem
    # The one with workers is first: they are forked in the warm-up, before anybody else has threads.
    batches = folder_batches(folder)
    contenders = [_ordinary(FOLDER, OrdinaryTraining(problem, batches), len(problem.inputs))]
    needed = 4 * len(problem.inputs) * problem.settings.channels * problem.settings.image_size**2
    if needed <= _MOST_TENSOR_BYTES:
        training = OrdinaryTraining(problem, tensor_batches(problem), transform=batch_augmentation(problem))
        contenders.append(_ordinary(TENSOR, training, len(problem.inputs)))
    else:
        print(f"{TENSOR} is left out: it needs {needed / 2**30:.1f} GiB; give a --limit", file=sys.stderr)
    return [*contenders, *own_contenders(problem, scratch)]


def _ordinary(name: str, training: OrdinaryTraining, items: int) -> Contender:
    return Contender(name=name, items=items, run=training.run)
