"""A small version of `tests.reliability.scale`: memory that a million samples would multiply shows here already."""

from pathlib import Path

import pytest

from tests.reliability.scale import COMMANDS, SHAPES, measure

_SAMPLES, _EPOCHS = 20_000, 2
_MOST_MEGABYTES = dict.fromkeys(COMMANDS, 450) | {"score (only reads)": 1500}  # which loads torch


@pytest.mark.parametrize("shape", [*SHAPES][:1])
def test_the_commands_that_need_no_training_stay_small(shape: str, tmp_path: Path) -> None:
    figures = measure(shape, tmp_path, samples=_SAMPLES, epochs=_EPOCHS)
    assert [figure.command for figure in figures] == list(COMMANDS)
    too_large = [figure for figure in figures if figure.peak_megabytes > _MOST_MEGABYTES[figure.command]]
    assert not too_large


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape(shape: str, tmp_path: Path) -> None:
    assert len(measure(shape, tmp_path, samples=100_000, epochs=3)) == len(COMMANDS)
