import pytest
import torch
from torch.nn import functional

from labelaudit.methods.base import Carries, Clock, Ingredients, Mixes, Mixing, Plans, steer
from labelaudit.methods.parameters import ElrParameters, ReedHardParameters
from labelaudit.methods.standard import Standard


def test_the_share_that_is_done_counts_epochs_and_steps():
    assert Clock(epoch=0, epochs=4).done == 0
    assert Clock(epoch=3, epochs=4, step=1, steps=2).done == 0.875
    assert Clock(epoch=3, epochs=4, step=9, steps=10).done == pytest.approx(0.975)


def test_cross_entropy_with_a_steered_target_has_the_wanted_gradient():
    generator = torch.Generator().manual_seed(0)
    logits_BC = torch.randn(5, 4, generator=generator, requires_grad=True)
    wanted_BC = torch.randn(5, 4, generator=generator)
    wanted_BC -= wanted_BC.mean(dim=1, keepdim=True)
    target_BC = steer(logits_BC.detach(), wanted_BC)
    torch.testing.assert_close(target_BC.sum(dim=1), torch.ones(5))
    loss = functional.cross_entropy(logits_BC, target_BC, reduction="sum")
    (found_BC,) = torch.autograd.grad(loss, logits_BC)
    torch.testing.assert_close(found_BC, wanted_BC)


def test_any_loss_that_a_common_shift_of_logits_leaves_alone_can_be_steered():
    def squared_error(logits_BC):
        return (logits_BC.softmax(dim=1) - torch.tensor([0.1, 0.2, 0.7])).square().sum()

    logits_BC = torch.tensor([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]], requires_grad=True)
    (wanted_BC,) = torch.autograd.grad(squared_error(logits_BC), logits_BC)
    target_BC = steer(logits_BC.detach(), wanted_BC)
    (found_BC,) = torch.autograd.grad(functional.cross_entropy(logits_BC, target_BC, reduction="sum"), logits_BC)
    torch.testing.assert_close(found_BC, wanted_BC)


def test_blending_by_hand():
    mixing = Mixing(partner_B=torch.tensor([1, 2, 0]), factor_B=torch.tensor([1.0, 0.75, 0.5]))
    assert mixing.blend(torch.tensor([0.0, 4.0, 8.0])).tolist() == [0.0, 5.0, 4.0]
    assert mixing.blend(torch.eye(3)).tolist() == [[1, 0, 0], [0, 0.75, 0.25], [0.5, 0, 0.5]]


def test_a_method_gets_its_own_settings_or_their_defaults():
    label_R = torch.zeros(2, dtype=torch.int64)
    assert Ingredients(label_R=label_R).settings(ReedHardParameters).beta == 0.8
    given = Ingredients(label_R=label_R, parameters=ReedHardParameters(beta=0.3))
    assert given.settings(ReedHardParameters).beta == 0.3
    with pytest.raises(TypeError, match="ReedHardParameters given, ElrParameters expected"):
        given.settings(ElrParameters)


def test_a_simple_method_asks_for_nothing_more():
    assert not any(isinstance(Standard(), kind) for kind in (Plans, Mixes, Carries))
