import numpy as np
import pytest
import torch

from labelaudit.auditing.probe import Folds, draw_folds
from labelaudit.engine.inputs import FeatureInputs
from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.networks import Heads, linear_head
from labelaudit.engine.step import lesson_loss
from labelaudit.methods.base import Batch, Clock
from labelaudit.methods.standard import Standard, weighted
from tests.engine.helpers import CPU, ignore, loop_settings

FOLD_R = torch.tensor([0, 1, 2, 0, 1])
ROW_B = torch.tensor([3, 2, 4])  # of the folds 0, 2, 1
BATCH = Batch(row_B=ROW_B, label_B=torch.tensor([1, 0, 1]))


LOGITS_BFC = torch.randn(3, 3, 2, generator=torch.Generator().manual_seed(0))


def test_a_head_learns_the_mean_loss_of_the_folds_of_the_others():
    (lesson,) = Folds(FOLD_R).teach(BATCH, [LOGITS_BFC], Clock(epoch=0, epochs=1), torch.Generator())
    assert lesson.weight_B.T.tolist() == [[0, 1, 1], [1, 1, 0], [1, 0, 1]]
    by_hand = 0.0
    for number, logits_BC in enumerate(LOGITS_BFC.unbind(dim=1)):
        loss_B = torch.nn.functional.cross_entropy(logits_BC, BATCH.label_B, reduction="none")
        by_hand += loss_B[FOLD_R[ROW_B] != number].mean().item()
    assert lesson_loss(LOGITS_BFC, lesson).item() == pytest.approx(by_hand, rel=1e-6)


def test_what_is_recorded_is_what_the_head_says_that_was_not_taught_the_sample():
    found_BC = Folds(FOLD_R).recorded(BATCH, [LOGITS_BFC])
    assert torch.equal(found_BC, torch.stack([LOGITS_BFC[0, 0], LOGITS_BFC[1, 2], LOGITS_BFC[2, 1]]))


FEATURE_RD = torch.randn(43, 6, generator=torch.Generator().manual_seed(1))
LABEL_R = (FEATURE_RD[:, :4].argmax(dim=1) + (torch.arange(43) % 5 == 0)) % 4
INPUTS = FeatureInputs(FEATURE_RD, statistics=FeatureInputs.statistics(FEATURE_RD), device=CPU)
DRAWN_R = draw_folds(LABEL_R, 3, torch.Generator().manual_seed(2))


def heads():
    return [linear_head(6, 4, seed=seed) for seed in range(3)]


def test_heads_side_by_side_are_what_each_would_be_alone():
    together = Training([Heads(heads())], loop_settings(), CPU)
    record_E = list(run_epochs(together, INPUTS, LABEL_R, Folds(DRAWN_R), ignore))
    mean_BC = 0
    for number, head in enumerate(heads()):
        own_R = number == DRAWN_R
        alone = Training([head], loop_settings(), CPU)
        expected_E = run_epochs(alone, INPUTS, LABEL_R, weighted(~own_R), ignore)
        for record, expected in zip(record_E, expected_E, strict=True):
            for name in ("loss_N", "margin_N", "predicted_N", "alternative_N"):
                found_N, expected_N = getattr(record, name)[own_R], getattr(expected, name)[own_R]
                np.testing.assert_allclose(found_N, expected_N, rtol=1e-5, atol=1e-6, err_msg=name)
        mean_BC += alone.predict(INPUTS).log() / 3
    torch.testing.assert_close(together.predict(INPUTS), mean_BC.softmax(dim=1))
    mean = together.networks[0].mean()
    assert {name: tensor.shape for name, tensor in mean.state_dict().items()} == {"weight": (4, 6), "bias": (4,)}
    x_BD = INPUTS.batch(torch.arange(43), None)
    torch.testing.assert_close(mean(x_BD).softmax(dim=1), together.predict(INPUTS))


def test_small_heads_are_trained_by_one_thread():
    threads = []
    training = Training([linear_head(6, 4, seed=0)], loop_settings(), CPU)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        training.run_epoch(INPUTS, LABEL_R, Standard(), lambda _: threads.append(torch.get_num_threads()))
        assert (set(threads), torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(before)


def test_resumed_heads_have_the_same_losses():
    whole = Training([Heads(heads())], loop_settings(), CPU)
    first, *rest = run_epochs(whole, INPUTS, LABEL_R, Folds(DRAWN_R), ignore)
    begun = Training([Heads(heads())], loop_settings(), CPU)
    begun.run_epoch(INPUTS, LABEL_R, Folds(DRAWN_R), ignore)
    resumed = Training([Heads(heads()[::-1])], loop_settings(), CPU)
    resumed.load(begun.state())
    for expected, found in zip(rest, run_epochs(resumed, INPUTS, LABEL_R, Folds(DRAWN_R), ignore), strict=True):
        np.testing.assert_array_equal(found.loss_N, expected.loss_N)
        assert not np.array_equal(found.loss_N, first.loss_N)


def test_folds_share_out_every_class_and_depend_on_the_draw():
    label_R = torch.tensor([0] * 23 + [1] * 10 + [2] * 2)[
        torch.randperm(35, generator=torch.Generator().manual_seed(3))
    ]
    fold_R = draw_folds(label_R, 5, torch.Generator().manual_seed(0))
    for label in range(3):
        sizes = torch.bincount(fold_R[label_R == label], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert torch.bincount(fold_R).tolist() == [7] * 5
    # Rows of a split that is judged apart are the last fold; the others are drawn.
    split_R = np.array(["test", "train"])[(torch.arange(35) % 7 > 0).int()]
    apart_R = draw_folds(label_R, 4, torch.Generator().manual_seed(0), ("test",), split_R)
    assert (apart_R == 3).tolist() == (split_R == "test").tolist()
    assert torch.bincount(apart_R).tolist() == [10, 10, 10, 5]
    assert draw_folds(label_R, 2, torch.Generator(), ("train", "test"), split_R).unique().tolist() == [0, 1]
    assert not torch.equal(fold_R, draw_folds(label_R, 5, torch.Generator().manual_seed(1)))
