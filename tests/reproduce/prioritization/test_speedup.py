import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.reproduce.prioritization.experiment import results
from labelaudit.reproduce.prioritization.records import MEAN, EpochRow
from labelaudit.reproduce.prioritization.speedup import first_cost, oversampling, speedup

ERROR_E, COST_E = np.array([0.5, 0.3, 0.12, 0.1, 0.11]), np.array([10.0, 20.0, 30.0, 40.0, 50.0])


def test_the_first_crossing_counts():
    assert first_cost(ERROR_E, COST_E, 0.3) == 20
    assert first_cost(ERROR_E, COST_E, 0.29) == 30
    assert first_cost(ERROR_E, COST_E, 0.5) == 10
    assert math.isnan(first_cost(ERROR_E, COST_E, 0.09))


def test_speedups_of_curves_made_by_hand():
    # The target is 1.2 · .1, which standard training reaches after 30.
    assert speedup((ERROR_E, COST_E), (ERROR_E, COST_E)) == 1
    assert speedup((ERROR_E, COST_E), (ERROR_E, COST_E / 3)) == pytest.approx(3)
    later = np.array([0.5, 0.4, 0.3, 0.2, 0.12])
    assert speedup((ERROR_E, COST_E), (later, COST_E / 2)) == pytest.approx(30 / 25)
    assert math.isnan(speedup((ERROR_E, COST_E), (later + 0.01, COST_E / 2)))
    assert speedup((ERROR_E, COST_E), (later + 0.01, COST_E / 2), multiple=1.5) == pytest.approx(30 / 25)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=20))
def test_standard_training_beside_itself_is_always_1(errors):
    error_E = np.array(errors)
    assert speedup((error_E, np.arange(1.0, 1 + len(errors))), (error_E, np.arange(1.0, 1 + len(errors)))) == 1


def test_oversampling_is_relative_to_the_share_in_the_data():
    assert oversampling(np.array([0.25, 0.75]), 0.25) == 2
    assert oversampling(np.array([0.25, math.nan]), 0.25) == 1
    assert math.isnan(oversampling(np.array([0.0]), 0.0))


def curve(algorithm, errors, per_epoch, *, seed=0, data_set="gaussian:0.5", share=0.5):
    return [
        EpochRow(
            data_set=data_set,
            algorithm=algorithm,
            seed=seed,
            epoch=epoch,
            test_error=error,
            train_loss=1.0,
            forwards=100 * epoch + (per_epoch * epoch if algorithm != "standard" else 0),
            backpropagated=per_epoch * epoch,
            seconds=2.0 * epoch,
            selected_share=share,
            changed_share=share,
        )
        for epoch, error in enumerate(errors, start=1)
    ]


def test_results_of_seeds_and_of_their_mean_curve():
    rows = results(
        [
            *curve("standard", [0.4, 0.2, 0.1], 100),
            *curve("sb-50", [0.3, 0.12, 0.12], 50, share=0.75),
            *curve("standard", [0.4, 0.1, 0.1], 100, seed=1),
            *curve("sb-50", [0.4, 0.2, 0.16], 50, seed=1, share=0.75),
        ]
    )
    of = {(row.algorithm, row.seed): row for row in rows}
    assert len(rows) == len(of) == 6
    # Seed 0: both reach .12, after 300 and 100. Seed 1: standard training after 200, the other never.
    assert of["sb-50", 0].speedup == 3
    assert math.isnan(of["sb-50", 1].speedup)
    assert of["standard", 1].speedup == 1
    # The mean curves are .4, .15, .1 and .35, .16, .14.
    mean = of["sb-50", MEAN]
    assert mean.target == pytest.approx(0.12)
    assert math.isnan(mean.speedup)
    assert mean.best_error == pytest.approx(0.14)
    assert mean.oversampling == pytest.approx(1.5)
    assert (mean.backpropagated, mean.forwards, mean.seconds) == (150, 450, 6)
    # Work: standard training 3 an example; the other 100 + 50 forward and twice 50 back of each 100.
    assert of["sb-50", 0].work_speedup == pytest.approx(900 / 500)
    assert of["sb-50", 0].time_speedup == pytest.approx(6 / 4)
