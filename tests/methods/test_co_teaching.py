"""Two networks that teach each other: Co-Teaching, and the second half of INCV."""

import pytest
import torch

from labelaudit.methods.base import Batch, Ingredients, Verified
from labelaudit.methods.co_teaching import CoTeaching, dropped_share, kept, smallest
from labelaudit.methods.incv import Incv
from labelaudit.methods.parameters import CoTeachingParameters
from tests.methods.helpers import clock, generator

LABEL_R = torch.zeros(40, dtype=torch.int64)
EARLY, LATE = clock(10, 100), clock(60, 100)


def weights_of(method, batch, logits, now):
    return [lesson.weight_B.tolist() for lesson in method.teach(batch, logits, now, generator())]


def co_teaching(noise_rate, warm_up_epochs=5):
    settings = CoTeachingParameters(noise_rate=noise_rate, warm_up_epochs=warm_up_epochs)
    return CoTeaching(Ingredients(label_R=LABEL_R, parameters=settings))


def test_the_dropped_share_rises_to_the_noise_rate():
    shares = [dropped_share(epoch, 0.4, 10) for epoch in (0, 1, 5, 10, 11, 199)]
    assert shares == pytest.approx([0, 0.04, 0.2, 0.4, 0.4, 0.4])
    squared = [dropped_share(epoch, 0.4, 10, exponent=2.0) for epoch in (0, 1, 2, 3, 4, 9)]
    assert squared == pytest.approx([0, 0.04, 0.16, 0.36, 0.4, 0.4])


def test_the_smallest_losses_are_kept_by_hand():
    assert [kept(*of) for of in ((128, 0.4), (128, 0.0), (10, 0.9), (3, 0.99))] == [76, 128, 1, 1]
    for count, chosen in ((1, [0, 1, 0, 0, 0]), (3, [0, 1, 1, 1, 0]), (torch.tensor(3.0), [0, 1, 1, 1, 0])):
        assert smallest(torch.tensor([3.0, 0.5, 2.0, 0.5, 7.0]), count).tolist() == chosen


def test_each_network_learns_what_the_other_finds_easy():
    batch = Batch(row_B=torch.arange(4), label_B=torch.zeros(4, dtype=torch.int64))
    first_BC = torch.tensor([[9.0, 0.0], [8.0, 0.0], [0.0, 8.0], [0.0, 9.0]])
    # The first network finds samples 0 and 1 easy, the second one 2 and 3.
    logits = [first_BC, first_BC.flip(0)]
    lessons = co_teaching(0.5, 10).teach(batch, logits, clock(20, 30), generator())
    assert [lesson.weight_B.tolist() for lesson in lessons] == [[0, 0, 1, 1], [1, 1, 0, 0]]
    assert {lesson.per for lesson in lessons} == {"weight"}
    assert weights_of(co_teaching(0.9), batch, logits, clock(0, 30)) == [[1] * 4, [1] * 4]


def made(selected, candidates, **changes):
    selected_R, candidate_R = torch.zeros(2, 40, dtype=torch.bool)
    selected_R[selected], candidate_R[candidates] = True, True
    values = {"noise_rate": 0.4, "noise_left": 0.25, "symmetric": True, **changes}
    found = Verified(selected_R=selected_R, candidate_R=candidate_R, **values)
    return Incv(Ingredients(label_R=LABEL_R, batch_size=8, verified=found))


def test_batches_hold_believed_samples_first_and_candidates_later():
    method = made(range(16), range(16, 24))
    early, late = (method.plan_epoch(None, now, generator()).batches for now in (EARLY, LATE))
    assert [len(batch) for batch in early] == [8, 8]
    assert sorted(torch.cat(early).tolist()) == list(range(16))
    assert [len(batch) for batch in late] == [12, 12]  # 8 · 8/16 candidates each
    assert all((batch[:8] < 16).all() and (batch[8:] >= 16).all() for batch in late)
    assert sorted(torch.cat([batch[8:] for batch in late]).tolist()) == list(range(16, 24))


@pytest.mark.parametrize(
    ("method", "now", "sizes"),
    [
        (made(range(8), range(8, 40)), LATE, [12]),  # candidates are at most half as many
        (made(range(16), range(16, 24), noise_rate=0.7), clock(30, 100), [8, 8]),  # much noise: believed for longer
        (made(range(16), range(16, 24), symmetric=False), clock(30, 100), [8, 8]),
        (made(range(5), []), LATE, [5]),
        (made(range(17), []), EARLY, [8, 9]),  # a single last sample joins the batch before
        # With fewer than two believed samples, all are.
        (made([3], range(10)), LATE, [8] * 5),
        (made([], []), EARLY, [8] * 5),
    ],
)
def test_the_sizes_of_batches(method, now, sizes):
    assert [len(batch) for batch in method.plan_epoch(None, now, generator()).batches] == sizes


@pytest.mark.parametrize(
    ("method", "epoch", "kept_samples"),
    [
        *((made(range(8), []), epoch, count) for epoch, count in ((0, 8), (5, 7), (10, 6), (100, 6))),  # round(8 · .75)
        (made(range(4), range(4, 8)), 100, 3),  # counted by the believed alone
        (made(range(8), [], noise_left=1.0), 100, 1),
        (made(range(8), [], noise_left=0.0), 100, 8),
    ],
)
def test_each_network_learns_the_easiest_of_the_other_one(method, epoch, kept_samples):
    batch = Batch(row_B=torch.arange(8), label_B=torch.zeros(8, dtype=torch.int64))
    ease_B = torch.linspace(4, -4, 8)
    logits = [torch.stack([ease, torch.zeros(8)], dim=1) for ease in (ease_B, ease_B.flip(0))]
    first, second = weights_of(method, batch, logits, clock(epoch, 200))
    assert first == [0] * (8 - kept_samples) + [1] * kept_samples
    assert second == first[::-1]
