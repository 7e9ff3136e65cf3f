import math

import pytest
import torch

from labelaudit.methods.base import Batch, Ingredients
from labelaudit.methods.d2l import D2L, append_dimension, has_turned, local_dimensions, mean_dimension, trust_in_labels
from labelaudit.methods.parameters import D2LParameters
from tests.methods.helpers import clock, generator

LABEL_R = torch.zeros(300, dtype=torch.int64)
DIMENSIONS = [4] * 12 + [20] * 4
"""Of each epoch; the jump comes in epoch 12."""


def test_the_dimension_by_hand():
    # On a line at 0, 1 and 3: of the first point the distances are 1 and 3, so LID = −2 / (log(1/3) + log 1).
    found = local_dimensions(torch.tensor([[0.0], [1.0], [3.0]]), 2)
    assert found.tolist() == pytest.approx([2 / math.log(3), 2 / math.log(2), 2 / math.log(3 / 2)], rel=1e-6)


def test_neither_scale_nor_too_many_neighbors_change_the_dimension_and_chunks_are_apart():
    first, second = torch.randn(2, 40, 3, generator=generator(2), dtype=torch.float64).unbind()
    assert mean_dimension(1000 * first) == pytest.approx(mean_dimension(first), rel=1e-9)
    assert torch.equal(local_dimensions(first[:9], 20), local_dimensions(first[:9], 8))
    together = mean_dimension(torch.cat([first, second]), neighbors=5, chunk=40)
    assert together == pytest.approx(sum(mean_dimension(part, neighbors=5, chunk=40) for part in (first, second)) / 2)


def test_points_whose_neighbors_are_at_one_distance_have_no_dimension():
    spread = torch.randn(30, 4, generator=generator())
    copies = spread[:1].expand(25, -1)
    found = local_dimensions(torch.cat([copies, spread[1:]]), 20)
    assert found[:25].isnan().all()  # their 20 nearest are all themselves again
    assert math.isfinite(mean_dimension(torch.cat([copies, spread[1:]])))
    for few in (copies, *(torch.randn(count, 3) for count in range(3))):
        assert math.isnan(mean_dimension(few))


def test_a_figure_that_is_no_dimension_repeats_the_one_before():
    assert append_dimension([3.0, 4.0], 5.0) == [3.0, 4.0, 5.0]
    for useless in (0.0, -2.0, math.nan, math.inf):
        assert append_dimension([3.0, 4.0], useless) == [3.0, 4.0, 4.0]
    assert math.isnan(append_dimension([], math.nan)[0])


@pytest.mark.parametrize(
    ("course", "first_epochs", "window", "expected"),
    [
        ([5.0, 5.1, 4.9, 5.0, 5.1, 1.0], 0, 5, False),  # a fall
        ([4.0, 6.0, 4.0, 6.0, 7.01], 0, 4, True),  # mean 5, deviation 1 of the population
        ([4.0, 6.0, 4.0, 6.0, 6.99], 0, 4, False),
        ([5.0, 5.0, 5.0, 5.0, 9.0], 1, 4, False),  # too early
    ],
)
def test_a_rise_of_two_deviations_is_the_turning_point(course, first_epochs, window, expected):
    assert has_turned(course, first_epochs=first_epochs, window=window) is expected


def test_trust_falls_with_the_epoch_and_the_dimension():
    rising = [4.0, 8.0]
    found = [trust_in_labels(*of) for of in (([6.0, 4.0], 1 / 3), (rising, 1 / 3), (rising, 0), ([math.nan], 0.5))]
    assert found == pytest.approx([math.exp(-1 / 3), math.exp(-2 / 3), 1, 1])


class SpreadLook:
    """Features that lie in as many dimensions as each epoch is to have."""

    rows = 300

    def __init__(self, dimensions):
        self.dimensions, self.epoch = dimensions, 0

    def features(self, row_M, *, network=0):
        feature_RD, used = torch.zeros(self.rows, 40), self.dimensions[self.epoch]
        feature_RD[:, :used] = torch.randn(self.rows, used, generator=generator(self.epoch))
        return feature_RD[row_M]


def planned(dimensions):
    """The method after these epochs of 30, resumed before each, and its plans."""
    state, look, plans = {"history": [], "turned_at": -1}, SpreadLook(dimensions), []
    for look.epoch in range(len(dimensions)):
        method = D2L(Ingredients(label_R=LABEL_R, parameters=D2LParameters(init_share=4 / 30)))
        method.load(state)
        plans.append(method.plan_epoch(look, clock(look.epoch, 30), generator(look.epoch)))
        state = method.state()
    return method, plans


def target(method):
    batch = Batch(row_B=torch.tensor([0]), label_B=torch.tensor([0]))
    return method.teach(batch, [torch.tensor([[0.0, 3.0]])], clock(), generator())[0].target.tolist()[0]


def test_at_the_jump_the_epoch_before_is_undone_once_and_beliefs_replace_labels():
    assert target(planned(DIMENSIONS[:12])[0]) == [1.0, 0.0]
    method, plans = planned(DIMENSIONS)
    assert [number for number, found in enumerate(plans) if found.go_back] == [12]
    assert [found.keep for found in plans] == [True] * 12 + [False] * 4
    assert (method.turned_at, len(method.history)) == (12, 16)
    alpha = math.exp(-15 / 30 * method.history[-1] / min(method.history))
    assert target(method) == pytest.approx([alpha, 1 - alpha])
    assert alpha < 0.5
