import math

import pytest
import torch

from labelaudit.methods.d2l import (
    append_dimension,
    blend,
    has_turned,
    local_dimensions,
    mean_dimension,
    trust_in_labels,
)


def test_a_point_of_three_is_worked_out_by_hand():
    # On a line at 0, 1 and 3: of the first point the distances are 1 and 3, so LID = −2 / (log(1/3) + log 1).
    found = local_dimensions(torch.tensor([[0.0], [1.0], [3.0]]), 2)
    expected = [2 / math.log(3), 2 / math.log(2), 2 / math.log(3 / 2)]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("dimensions", "expected"), [(2, 2.22), (5, 5.56)])
def test_points_spread_evenly_in_d_dimensions_have_d_k_over_k_minus_2(dimensions, expected):
    # Of points in a ball only the centre has neighbours on all sides, so each ball gives one figure.
    generator = torch.Generator().manual_seed(dimensions)
    found = []
    for _ in range(600):
        direction = torch.randn(400, dimensions, generator=generator, dtype=torch.float64)
        radius = torch.rand(400, 1, generator=generator, dtype=torch.float64) ** (1 / dimensions)
        point = torch.cat(
            [torch.zeros(1, dimensions, dtype=torch.float64), radius * direction / direction.norm(dim=1, keepdim=True)]
        )
        nearest = torch.cat([point[:1], point[1:][point[1:].norm(dim=1).argsort()[:20]]])
        found.append(local_dimensions(nearest, 20)[0].item())
    assert sum(found) / len(found) == pytest.approx(expected, rel=0.04)


def test_the_dimension_does_not_depend_on_the_scale_of_the_features():
    feature_MD = torch.randn(64, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert mean_dimension(1000 * feature_MD) == pytest.approx(mean_dimension(feature_MD), rel=1e-9)


def test_copies_of_a_point_count_as_neighbours_but_have_no_dimension_among_themselves():
    generator = torch.Generator().manual_seed(0)
    spread = torch.randn(30, 4, generator=generator)
    copies = spread[:1].expand(25, -1)
    found = local_dimensions(torch.cat([copies, spread[1:]]), 20)
    assert found[:25].isnan().all()  # their 20 nearest are all themselves again
    assert found[25:].isfinite().any()
    assert math.isnan(mean_dimension(copies))
    assert math.isfinite(mean_dimension(torch.cat([copies, spread[1:]])))
    fewer = local_dimensions(torch.cat([copies[:15], spread[1:]]), 20)
    assert fewer.isfinite().all()


def test_neighbours_at_one_distance_have_no_dimension():
    corners = 3 * torch.eye(6)
    assert local_dimensions(corners, 5).isnan().all()


def test_more_neighbours_than_points_are_cut_to_what_there_is():
    feature_MD = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(local_dimensions(feature_MD, 20), local_dimensions(feature_MD, 8))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_points_have_no_dimension(count):
    feature_MD = torch.randn(count, 3)
    assert local_dimensions(feature_MD, 20).shape == (count,)
    assert math.isnan(mean_dimension(feature_MD))


def test_neighbours_are_looked_for_in_the_own_chunk():
    first, second = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(2)).unbind()
    together = mean_dimension(torch.cat([first, second]), neighbours=5, chunk=40)
    apart = [mean_dimension(part, neighbours=5, chunk=40) for part in (first, second)]
    assert together == pytest.approx(sum(apart) / 2)


def test_a_figure_that_is_no_dimension_repeats_the_one_before():
    assert append_dimension([3.0, 4.0], 5.0) == [3.0, 4.0, 5.0]
    for useless in (0.0, -2.0, math.nan, math.inf):
        assert append_dimension([3.0, 4.0], useless) == [3.0, 4.0, 4.0]
    assert math.isnan(append_dimension([], math.nan)[0])


def test_a_course_with_one_jump_turns_there_and_not_before():
    level = [4.9, 5.1] * 5
    course = [*level, 7.0, 6.8, 6.9, 7.0]
    turned = [epoch for epoch in range(len(course) + 1) if has_turned(course[:epoch], first_epochs=3, window=5)]
    assert turned == [len(level) + 1]  # once the window has the new level in it, there is no second jump


def test_a_fall_is_no_turning_point():
    assert not has_turned([5.0, 5.1, 4.9, 5.0, 5.1, 1.0], first_epochs=0, window=5)


def test_the_deviation_is_that_of_the_population():
    # Mean 5, deviation 1 over the four: the bound is 7.
    before = [4.0, 6.0, 4.0, 6.0]
    assert has_turned([*before, 7.01], first_epochs=0, window=4)
    assert not has_turned([*before, 6.99], first_epochs=0, window=4)


def test_the_first_epochs_and_a_window_are_waited_for():
    course = [5.0, 5.0, 5.0, 5.0, 9.0]
    assert has_turned(course, first_epochs=0, window=4)
    assert not has_turned(course, first_epochs=1, window=4)


def test_trust_falls_with_the_epoch_and_the_dimension():
    assert trust_in_labels([6.0, 4.0], 1 / 3) == pytest.approx(0.7165, abs=5e-5)
    assert trust_in_labels([4.0, 8.0], 1 / 3) == pytest.approx(math.exp(-2 / 3))
    assert trust_in_labels([4.0, 8.0], 0.0) == 1.0
    assert trust_in_labels([math.nan], 0.5) == 1.0


def test_targets_lie_between_the_label_and_the_belief():
    logits_BC = torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, 1.0]])
    target_BC = blend(torch.tensor([0, 0]), logits_BC, 0.75)
    assert target_BC.tolist() == [[0.75, 0.25, 0.0], [1.0, 0.0, 0.0]]
    assert torch.equal(blend(torch.tensor([2, 1]), logits_BC, 1.0), torch.tensor([[0.0, 0, 1], [0, 1, 0]]))
