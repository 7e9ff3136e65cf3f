import pytest
import torch

from labelaudit.engine.loop import Training, run_epochs
from labelaudit.errors import UsageError
from labelaudit.methods.base import Batch, Clock, Ingredients, Verified
from labelaudit.methods.incv import Incv, incv
from labelaudit.methods.parameters import IncvParameters
from tests.engine.helpers import CPU, ignore, image_inputs, loop_settings, small_network, small_task

EARLY, LATE = Clock(epoch=10, epochs=100), Clock(epoch=60, epochs=100)


def verified(selected, candidates, rows=40, **changes):
    selected_R, candidate_R = torch.zeros(rows, dtype=torch.bool), torch.zeros(rows, dtype=torch.bool)
    selected_R[selected] = True
    candidate_R[candidates] = True
    values = {"noise_rate": 0.4, "noise_left": 0.25, "symmetric": True, **changes}
    return Verified(selected_R=selected_R, candidate_R=candidate_R, **values)


def batches(method, clock):
    return method.plan_epoch(None, clock, torch.Generator().manual_seed(0)).batches


def teach(method, logits, row_B, clock=LATE):
    batch = Batch(row_B=row_B, label_B=torch.zeros(len(row_B), dtype=torch.int64))
    return method.teach(batch, logits, clock, torch.Generator())


def two_logits(count=8):
    """The first network finds the first samples easiest, the second one the last ones."""
    ease_B = torch.linspace(4, -4, count)
    return [torch.stack([ease, torch.zeros(count)], dim=1) for ease in (ease_B, ease_B.flip(0))]


def test_batches_hold_believed_samples_first_and_candidates_later():
    method = Incv(verified(range(16), range(16, 24)), 8, IncvParameters())
    early, late = batches(method, EARLY), batches(method, LATE)
    assert [len(batch) for batch in early] == [8, 8]
    assert sorted(torch.cat(early).tolist()) == list(range(16))
    assert [len(batch) for batch in late] == [12, 12]  # 8 · 8/16 candidates each
    assert all((batch[:8] < 16).all() and (batch[8:] >= 16).all() for batch in late)
    assert sorted(torch.cat([batch[8:] for batch in late]).tolist()) == list(range(16, 24))


def test_candidates_are_at_most_half_as_many():
    method = Incv(verified(range(8), range(8, 40)), 8, IncvParameters())
    (batch,) = batches(method, LATE)
    assert len(batch) == 12


def test_much_or_asymmetric_noise_keeps_to_the_believed_for_longer():
    at_30 = Clock(epoch=30, epochs=100)
    for changes, size in (({}, 12), ({"noise_rate": 0.7}, 8), ({"symmetric": False}, 8)):
        method = Incv(verified(range(16), range(16, 24), **changes), 8, IncvParameters())
        assert [len(batch) for batch in batches(method, at_30)] == [size, size], changes


def test_no_candidates_and_nothing_believed():
    assert [len(batch) for batch in batches(Incv(verified(range(5), []), 8, IncvParameters()), LATE)] == [5]
    nothing = Incv(verified([], range(40)), 8, IncvParameters())
    assert sorted(torch.cat(batches(nothing, LATE)).tolist()) == list(range(40))
    one = Incv(verified([3], range(10)), 8, IncvParameters())
    assert sorted(torch.cat(batches(one, LATE)).tolist()) == list(range(40))
    # All discarded, too: everything is trained on rather than nothing.
    assert sorted(torch.cat(batches(Incv(verified([], []), 8, IncvParameters()), EARLY)).tolist()) == list(range(40))


def test_a_single_last_sample_joins_the_batch_before():
    assert [len(batch) for batch in batches(Incv(verified(range(17), []), 8, IncvParameters()), EARLY)] == [8, 9]


def test_each_network_learns_what_the_other_one_finds_easy():
    method = Incv(verified(range(8), []), 8, IncvParameters())
    first, second = teach(method, two_logits(), torch.arange(8))
    # round(8 · (1 − .25)) = 6 are kept.
    assert first.weight_B.tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    assert second.weight_B.tolist() == [1, 1, 1, 1, 1, 1, 0, 0]
    assert first.per == second.per == "weight"


def test_the_kept_are_counted_by_the_believed_alone():
    method = Incv(verified(range(4), range(4, 8)), 4, IncvParameters())
    first, _ = teach(method, two_logits(), torch.arange(8))
    assert first.weight_B.sum() == 3  # round(4 · .75) of eight


def test_fewer_are_kept_as_the_training_goes_on_and_never_none():
    method = Incv(verified(range(8), []), 8, IncvParameters())
    kept = [
        teach(method, two_logits(), torch.arange(8), Clock(epoch=epoch, epochs=200))[0].weight_B.sum().item()
        for epoch in (0, 5, 10, 100)
    ]
    assert kept == [8, 7, 6, 6]
    hopeless = Incv(verified(range(8), [], noise_left=1.0), 8, IncvParameters())
    assert teach(hopeless, two_logits(), torch.arange(8))[0].weight_B.sum() == 1


def test_no_noise_left_teaches_everything_to_both():
    method = Incv(verified(range(8), [], noise_left=0.0), 8, IncvParameters())
    for lesson in teach(method, two_logits(), torch.arange(8)):
        assert lesson.weight_B.tolist() == [1.0] * 8


def test_it_refuses_to_train_what_was_not_verified():
    with pytest.raises(UsageError, match="incv needs cross-validated labels"):
        incv(Ingredients(label_R=torch.zeros(3, dtype=torch.int64)))


def test_it_trains_on_the_loop_and_leaves_discarded_samples_out():
    pixels_NCHW, label_N = small_task(40)
    method = incv(Ingredients(label_R=label_N, batch_size=8, verified=verified(range(20), range(20, 30))))
    training = Training([small_network(seed=0), small_network(seed=1)], loop_settings(epochs=5), CPU)
    records = list(run_epochs(training, image_inputs(pixels_NCHW), label_N, method, ignore))
    seen = torch.from_numpy(records[-1].loss_N).isfinite()
    assert seen.tolist() == [True] * 30 + [False] * 10
    assert method.report()["selected"] == 20
