import math

import pytest
import torch

from labelaudit.methods.dividemix import (
    balance,
    guess,
    guess_loss,
    guess_weight,
    mixing_share,
    ramp,
    refine,
    sharpen,
)

P_BC = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])


def test_half_the_temperature_squares_the_odds():
    expected = P_BC**2 / (P_BC**2).sum(dim=1, keepdim=True)
    assert torch.allclose(sharpen(P_BC, 0.5), expected)
    assert sharpen(P_BC, 0.5)[0, 0] > P_BC[0, 0]
    assert torch.allclose(sharpen(P_BC, 1.0), P_BC)


@pytest.mark.parametrize("temperature", [0.01, 0.5, 1.0])
def test_sharpening_keeps_the_order_and_a_sum_of_one(temperature):
    p_BC = torch.rand(50, 7, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    sharp_BC = sharpen(p_BC, temperature)
    assert torch.allclose(sharp_BC.sum(dim=1), torch.ones(50))
    assert torch.equal(sharp_BC.argmax(dim=1), p_BC.argmax(dim=1))
    assert torch.equal(sharpen(torch.eye(3), temperature), torch.eye(3))


def test_a_label_that_is_surely_right_is_not_refined_and_one_that_is_surely_wrong_does_not_count():
    label_B = torch.tensor([2, 0])
    one_hot_BC = torch.tensor([[0.0, 0, 1], [1, 0, 0]])
    assert torch.equal(refine(label_B, torch.ones(2), P_BC, 0.5), one_hot_BC)
    for other_B in (label_B, torch.tensor([1, 1])):
        assert torch.allclose(refine(other_B, torch.zeros(2), P_BC, 1.0), P_BC)


def test_a_refined_label_is_worked_out_by_hand():
    (found_C,) = refine(torch.tensor([1]), torch.tensor([0.5]), P_BC[:1], 1.0)
    assert found_C.tolist() == pytest.approx([0.3, 0.65, 0.05])


def test_a_guess_is_the_sharpened_mean_of_all_beliefs():
    other_BC = P_BC.flip(1)
    assert torch.allclose(guess([P_BC, other_BC], 1.0), (P_BC + other_BC) / 2)
    assert not torch.allclose(guess([P_BC, other_BC], 1.0), guess([P_BC], 1.0))
    assert torch.allclose(guess([P_BC], 0.5), sharpen(P_BC, 0.5))


def test_a_mixture_is_mostly_its_first_picture():
    generator = torch.Generator().manual_seed(0)
    shares = [mixing_share(4.0, generator) for _ in range(3000)]
    assert min(shares) >= 0.5
    # E max(λ, 1 − λ) of Beta(4, 4) is 1/2 + E|λ − 1/2| = .5 + 35/256.
    assert sum(shares) / 3000 == pytest.approx(0.5 + 35 / 256, abs=0.008)
    assert mixing_share(0.0, generator) == 1.0
    assert mixing_share(4.0, torch.Generator().manual_seed(1)) == mixing_share(4.0, torch.Generator().manual_seed(1))


def test_naming_one_class_costs_and_naming_all_evenly_does_not():
    assert balance(10 * torch.eye(4)).item() == pytest.approx(0.0, abs=1e-6)
    one_class = balance(torch.tensor([[5.0, 0.0]]).expand(8, -1)).item()
    p = math.exp(5) / (math.exp(5) + 1)
    assert one_class == pytest.approx(0.5 * math.log(0.5 / p) + 0.5 * math.log(0.5 / (1 - p)), rel=1e-5)
    assert math.isfinite(balance(torch.tensor([[1000.0, 0.0]])).item())


def test_the_loss_on_a_guess_is_its_mean_squared_error():
    logits_BC = torch.log(P_BC)
    assert guess_loss(logits_BC, P_BC).tolist() == pytest.approx([0, 0], abs=1e-6)
    found = guess_loss(logits_BC, torch.eye(3)[:2])
    assert found.tolist() == pytest.approx([(0.16 + 0.09 + 0.01) / 3, (0.04 + 0.64 + 0.36) / 3])


def test_more_noise_lets_guesses_count_more():
    assert [guess_weight(noise) for noise in (0.0, 0.2, 0.5, 0.8, 0.9)] == [0, 0, 25, 25, 50]
    assert [ramp(done, 16) for done in (-1, 0, 4, 16, 40)] == [0, 0, 0.25, 1, 1]
    assert ramp(0, 0) == 1.0
