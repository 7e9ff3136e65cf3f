import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelaudit.engine.step import lesson_loss, observe
from labelaudit.methods.base import Lesson


def random_batch(count=6, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits_BC = 3 * torch.randn(count, classes, generator=generator)
    return logits_BC, torch.randint(0, classes, (count,), generator=generator)


def plain_cross_entropy(logits_BC, label_B):
    """−log(e^{z_y} / Σ_j e^{z_j}), sample by sample."""
    return torch.stack(
        [row.exp().sum().log() - row[label] for row, label in zip(logits_BC, label_B.tolist(), strict=True)]
    )


def gradient_of(loss_of, logits_BC):
    logits_BC = logits_BC.clone().requires_grad_()
    loss = loss_of(logits_BC)
    loss.backward()
    return loss.detach(), logits_BC.grad


def lesson(label_B, weights, per="sample"):
    return Lesson(target=label_B, weight_B=torch.as_tensor(weights, dtype=torch.float32), per=per)


def test_prior_weights_multiply_and_take_the_place_of_the_count():
    logits_BC, label_B = random_batch(3)
    loss_B = plain_cross_entropy(logits_BC, label_B)
    prior_B = torch.tensor([0.5, 0.0, 1.5])
    by_hand = {
        "sample": (0.5 * 2 * loss_B[0] + 1.5 * 4 * loss_B[2]) / (0.5 + 0 + 1.5),
        "weight": (0.5 * 2 * loss_B[0] + 1.5 * 4 * loss_B[2]) / (0.5 * 2 + 1.5 * 4),
    }
    for per, expected in by_hand.items():
        given = lesson(label_B, [2.0, 3.0, 4.0], per)
        torch.testing.assert_close(lesson_loss(logits_BC, given, prior_B=prior_B), expected)
        # Two processes have a part of the sum each, and the whole count.
        shares = [lesson_loss(logits_BC[part], given, part, prior_B) for part in (slice(0, 2), slice(2, 3))]
        torch.testing.assert_close(sum(shares), expected)
        assert lesson_loss(logits_BC, given, prior_B=torch.zeros(3)) == 0


def test_observe_logits_1_2_3_by_hand():
    logits_BC = torch.tensor([[1.0, 2.0, 3.0]] * 3)
    found = observe(logits_BC, torch.tensor([0, 1, 2]))
    total = math.log(math.exp(1) + math.exp(2) + math.exp(3))
    assert found.loss_B.tolist() == pytest.approx([total - 1, total - 2, total - 3])
    assert found.margin_B.tolist() == [-2.0, -1.0, 1.0]
    assert found.predicted_B.tolist() == [2, 2, 2]
    assert found.alternative_B.tolist() == [2, 2, 1]


def test_observe_against_plain_definitions():
    logits_BC, label_B = random_batch(50)
    found = observe(logits_BC, label_B)
    torch.testing.assert_close(found.loss_B, plain_cross_entropy(logits_BC, label_B))
    for row, label in enumerate(label_B.tolist()):
        others = {j: z for j, z in enumerate(logits_BC[row].tolist()) if j != label}
        best = max(others, key=others.__getitem__)
        assert found.alternative_B[row] == best
        assert found.margin_B[row].item() == pytest.approx(logits_BC[row, label].item() - others[best], abs=1e-6)
    assert found.predicted_B.tolist() == logits_BC.argmax(dim=1).tolist()


def test_a_network_that_tells_no_classes_apart_is_never_right():
    found = observe(torch.zeros(3, 3), torch.tensor([0, 1, 2]))
    assert found.margin_B.tolist() == [0.0, 0.0, 0.0]
    assert (found.predicted_B != torch.tensor([0, 1, 2])).all()
    assert found.loss_B.tolist() == pytest.approx([math.log(3)] * 3)


def test_observe_leaves_the_logits_alone_and_needs_no_gradient():
    logits_BC, label_B = random_batch()
    before = logits_BC.clone()
    found = observe(logits_BC.requires_grad_(), label_B)
    assert torch.equal(logits_BC, before)
    assert not found.loss_B.requires_grad
    assert not found.margin_B.requires_grad


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(-20, 20), st.floats(0.1, 10))
def test_margins_ignore_a_shift_and_follow_a_scale(seed, shift, scale):
    logits_BC, label_B = random_batch(seed=seed)
    before = observe(logits_BC, label_B)
    shifted, scaled = observe(logits_BC + shift, label_B), observe(logits_BC * scale, label_B)
    torch.testing.assert_close(shifted.margin_B, before.margin_B, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(shifted.loss_B, before.loss_B, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scaled.margin_B, scale * before.margin_B, atol=1e-4, rtol=1e-4)
    assert torch.equal(scaled.predicted_B, before.predicted_B)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_loss_and_margin_give_the_probability_of_the_alternative(seed):
    logits_BC, label_B = random_batch(seed=seed)
    found = observe(logits_BC, label_B)
    p_BC = logits_BC.softmax(dim=1)
    expected_B = p_BC[torch.arange(len(label_B)), found.alternative_B]
    torch.testing.assert_close((-found.loss_B - found.margin_B).exp(), expected_B)


@pytest.mark.parametrize(("per", "weight"), [("sample", 1.0), ("weight", 1.0), ("weight", 0.2), ("weight", 30.0)])
def test_constant_weights_give_the_mean_cross_entropy(per, weight):
    logits_BC, label_B = random_batch()
    loss = lesson_loss(logits_BC, lesson(label_B, [weight] * len(label_B), per))
    torch.testing.assert_close(loss, plain_cross_entropy(logits_BC, label_B).mean())


def test_per_sample_does_not_undo_the_weights():
    logits_BC, label_B = random_batch()
    loss = lesson_loss(logits_BC, lesson(label_B, [0.25] * len(label_B), "sample"))
    torch.testing.assert_close(loss, 0.25 * plain_cross_entropy(logits_BC, label_B).mean())


def test_weights_of_0_and_1_give_the_mean_over_those_kept():
    logits_BC, label_B = random_batch()
    kept = [0, 3, 4]
    weights = [1.0 if row in kept else 0.0 for row in range(len(label_B))]
    losses_B = plain_cross_entropy(logits_BC, label_B)
    assert losses_B[kept].mean().item() != pytest.approx(losses_B.mean().item(), rel=0.05)
    torch.testing.assert_close(lesson_loss(logits_BC, lesson(label_B, weights, "weight")), losses_B[kept].mean())
    torch.testing.assert_close(
        lesson_loss(logits_BC, lesson(label_B, weights, "sample")), losses_B[kept].sum() / len(label_B)
    )


@pytest.mark.parametrize("per", ["sample", "weight"])
def test_weights_that_are_all_zero_teach_nothing(per):
    logits_BC, label_B = random_batch()
    loss, gradient_BC = gradient_of(lambda z: lesson_loss(z, lesson(label_B, [0.0] * len(label_B), per)), logits_BC)
    assert loss.item() == 0.0
    assert torch.equal(gradient_BC, torch.zeros_like(logits_BC))


def test_very_small_weights_are_still_normalised():
    logits_BC, label_B = random_batch()
    loss = lesson_loss(logits_BC, lesson(label_B, [1e-20] * len(label_B), "weight"))
    torch.testing.assert_close(loss, plain_cross_entropy(logits_BC, label_B).mean())


@pytest.mark.parametrize("per", ["sample", "weight"])
def test_gradient_against_the_explicit_formula(per):
    logits_BC, label_B = random_batch()
    weight_B = torch.tensor([0.1, 2.0, 0.0, 1.0, 0.5, 0.3])
    _, gradient_BC = gradient_of(lambda z: lesson_loss(z, lesson(label_B, weight_B, per)), logits_BC)
    one_hot_BC = torch.eye(logits_BC.shape[1])[label_B]
    count = len(label_B) if per == "sample" else weight_B.sum()
    torch.testing.assert_close(gradient_BC, weight_B[:, None] * (logits_BC.softmax(dim=1) - one_hot_BC) / count)


def test_a_target_of_probabilities_is_the_mixture_of_the_losses():
    logits_BC = torch.tensor([[1.0, 2.0, 3.0]])
    target_BC = torch.tensor([[0.7, 0.0, 0.3]])
    loss = lesson_loss(logits_BC, Lesson(target=target_BC, weight_B=torch.ones(1)))
    at_0 = plain_cross_entropy(logits_BC, torch.tensor([0]))
    at_2 = plain_cross_entropy(logits_BC, torch.tensor([2]))
    torch.testing.assert_close(loss, (0.7 * at_0 + 0.3 * at_2)[0])
