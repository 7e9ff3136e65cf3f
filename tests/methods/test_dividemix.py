import math

import pytest
import torch
from torch.nn import functional

from labelaudit.engine.step import lesson_loss
from labelaudit.methods.base import Batch, EpochPlan, Ingredients
from labelaudit.methods.dividemix import DivideMix, balance, guess_loss, mixing_share, sharpen
from labelaudit.methods.parameters import DivideMixParameters
from tests.methods.helpers import clock, generator

MIDDLE = clock(50, 100)
P_BC = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
LABEL_R = torch.tensor([0, 1, 2, 0, 1, 2])
WEIGHT_R = torch.tensor([1.0, 0.8, 0.6, 0.4, 0.1, 0.0])
BATCH = Batch(row_B=torch.tensor([0, 1, 0, 1, 3, 4, 3, 4]), label_B=LABEL_R[[0, 1, 0, 1, 3, 4, 3, 4]])
"""Two believed samples and two suspicious ones, each in two views."""


def test_a_mixture_is_mostly_its_first_image():
    shares = [mixing_share(4.0, draws) for draws in [generator()] for _ in range(3000)]
    assert min(shares) >= 0.5
    # E max(λ, 1 − λ) of Beta(4, 4) is 1/2 + E|λ − 1/2| = .5 + 35/256.
    assert sum(shares) / 3000 == pytest.approx(0.5 + 35 / 256, abs=0.008)
    assert mixing_share(0.0, generator()) == 1.0
    assert mixing_share(4.0, generator(1)) == mixing_share(4.0, generator(1))


def test_the_parts_of_the_loss_by_hand():
    assert torch.allclose(sharpen(P_BC, 1.0), P_BC)
    assert sharpen(P_BC, 0.5)[0].tolist() == pytest.approx([36 / 46, 9 / 46, 1 / 46])
    assert balance(10 * torch.eye(4)).item() == pytest.approx(0.0, abs=1e-6)
    p = math.exp(5) / (math.exp(5) + 1)
    one_class = 0.5 * math.log(0.5 / p) + 0.5 * math.log(0.5 / (1 - p))
    assert balance(torch.tensor([[5.0, 0.0]]).expand(8, -1)).item() == pytest.approx(one_class, rel=1e-5)
    assert math.isfinite(balance(torch.tensor([[1000.0, 0.0]])).item())
    found = guess_loss(torch.log(P_BC), torch.eye(3)[:2])
    assert found.tolist() == pytest.approx([(0.16 + 0.09 + 0.01) / 3, (0.04 + 0.64 + 0.36) / 3])


def logits(seed=0, count=8):
    draws = generator(seed)
    return [2 * torch.randn(count, 3, generator=draws) for _ in range(2)]


def method(weight_R=WEIGHT_R, batch_size=8, **settings):
    parameters = DivideMixParameters(**{"warmup_share": 0.0, "noise_type": "symmetric", **settings})
    return DivideMix(Ingredients(label_R=LABEL_R, weight_R=weight_R, batch_size=batch_size, parameters=parameters))


def teach(made, batch=BATCH, guesses=None, seen=None, now=MIDDLE):
    draws = generator()
    mixing = made.mix(batch, lambda: guesses or logits(1), now, draws)
    return mixing, made.teach(batch, seen or logits(2), now, draws)


def test_the_whole_loss_is_that_of_its_definition():
    guesses, seen = logits(1), logits(2)
    mixing, lessons = teach(method(), guesses=guesses, seen=seen)
    p = [found.softmax(dim=1) for found in guesses]
    unseen = sum(torch.stack([(one[4] + one[6]) / 2, (one[5] + one[7]) / 2]) for one in p) / 2
    guess_UC = unseen**2 / (unseen**2).sum(dim=1, keepdim=True)
    for own, lesson, seen_BC in zip(p, lessons, seen, strict=True):
        w_X1 = torch.tensor([[1.0], [0.8]])
        mixed_XC = w_X1 * torch.eye(3)[:2] + (1 - w_X1) * torch.stack([(own[0] + own[2]) / 2, (own[1] + own[3]) / 2])
        refined_XC = mixed_XC**2 / (mixed_XC**2).sum(dim=1, keepdim=True)
        target_BC = torch.cat([refined_XC, refined_XC, guess_UC, guess_UC])
        share = mixing.factor_B[0]
        target_BC = share * target_BC + (1 - share) * target_BC[mixing.partner_B]
        logits_BC = seen_BC.detach().clone().requires_grad_()
        p_BC = logits_BC.softmax(dim=1)
        loss = -(target_BC[:4] * p_BC[:4].log()).sum(dim=1).mean() + 25 * ((p_BC[4:] - target_BC[4:]) ** 2).mean()
        (loss + (torch.log(1 / 3 / p_BC.mean(dim=0)) / 3).sum()).backward()
        lesson_loss(seen_BC.requires_grad_(), lesson).backward()
        torch.testing.assert_close(seen_BC.grad, logits_BC.grad, rtol=1e-5, atol=1e-6)
    assert mixing.factor_B.unique().numel() == 1  # one mixture for all
    assert sorted(mixing.partner_B.tolist()) == list(range(8))


def plan(made, now=MIDDLE, seed=0):
    return made.plan_epoch(None, now, generator(seed))


def test_a_step_has_as_many_suspicious_as_believed_samples_each_in_two_views():
    made = method(torch.cat([torch.ones(10), torch.zeros(6)]), batch_size=16)
    batches = plan(made).batches
    assert [len(batch) for batch in batches] == [16, 16, 8]
    for batch in batches:
        believed, suspicious = batch.chunk(2)
        assert (believed < 10).all()
        assert (suspicious >= 10).all()
        for part in (believed, suspicious):
            assert torch.equal(*part.chunk(2))
    assert sorted(torch.cat([batch[: len(batch) // 4] for batch in batches]).tolist()) == list(range(10))
    assert not torch.equal(batches[0], plan(made, seed=1).batches[0])


def test_the_first_epochs_are_ordinary_and_weighted():
    made, early = method(warmup_share=0.1), clock(9, 100)
    assert plan(made, early) == EpochPlan()
    assert plan(made, clock(10, 100)).batches is not None
    mixing, lessons = teach(made, now=early)
    assert (mixing.factor_B == 1).all()
    for lesson in lessons:
        assert torch.equal(lesson.weight_B, WEIGHT_R[BATCH.row_B])
        assert torch.equal(lesson.target, BATCH.label_B)
    assert plan(method(warmup_share=1 / 30), clock(0, 3)) == EpochPlan()  # one epoch at least


def test_asymmetric_noise_penalizes_sure_predictions_in_the_first_epochs():
    seen = logits(2)
    _, lessons = teach(method(warmup_share=0.1, noise_type="asymmetric"), seen=seen, now=clock(0, 100))
    weight_B = WEIGHT_R[BATCH.row_B]
    for lesson, seen_BC in zip(lessons, seen, strict=True):
        p_BC = seen_BC.requires_grad_().softmax(dim=1)
        taught_B = functional.cross_entropy(seen_BC, BATCH.label_B, reduction="none")
        loss = (weight_B * taught_B).sum() / weight_B.sum() + (p_BC * p_BC.log()).sum(dim=1).mean()
        (expected_BC,) = torch.autograd.grad(loss, seen_BC)
        (found_BC,) = torch.autograd.grad(lesson_loss(seen_BC, lesson), seen_BC)
        torch.testing.assert_close(found_BC, expected_BC, rtol=1e-5, atol=1e-6)


class SureLook:
    """A network that is sure of nearly nothing, and one that is sure of the class ``guess_R``."""

    def __init__(self, guess_R):
        self.rows, self._guess_RC = len(guess_R), functional.one_hot(guess_R).float()

    def logits(self, row_M, *, network=0):
        return (0.1, 9.0)[network] * self._guess_RC[row_M]


@pytest.mark.parametrize(
    ("noise_type", "step", "found", "expected"),
    [
        ("auto", 1, "asymmetric", 0),
        ("auto", None, "symmetric", 25),
        ("symmetric", 1, "symmetric", 25),
        ("asymmetric", None, "asymmetric", 0),
    ],
)
def test_guesses_for_suspicious_samples_after_the_first_epochs_tell_the_type_of_noise(
    noise_type, step, found, expected
):
    truth_R = torch.arange(800) % 8
    wrong_R = torch.arange(800) >= 400
    away_R = step or torch.randint(1, 8, (800,), generator=generator())
    label_R = torch.where(wrong_R, (truth_R + away_R) % 8, truth_R)
    parameters = DivideMixParameters(noise_type=noise_type, warmup_share=0.1)
    given = {"label_R": label_R, "weight_R": 1 - wrong_R.float(), "classes": 8, "parameters": parameters}
    made, again = DivideMix(Ingredients(**given)), DivideMix(Ingredients(**given))
    made.plan_epoch(None, clock(0, 100), generator())
    assert made.report()["noise_type"] == noise_type
    made.plan_epoch(SureLook(truth_R), MIDDLE, generator())
    again.load(made.state())
    assert again.report() == made.report() == {"noise_type": found, "guess_weight": expected}


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_all_believed_and_none_believed_are_trained_on(weight):
    made = method(torch.full((7,), weight), batch_size=4)
    batches = plan(made).batches
    assert sorted(set(torch.cat(batches).tolist())) == list(range(7))
    assert min(len(batch) for batch in batches) >= 2
    batch = Batch(row_B=torch.tensor([0, 1, 0, 1]), label_B=torch.tensor([0, 1, 0, 1]))
    _, lessons = teach(made, batch, logits(1, 4), logits(2, 4))
    assert all(lesson.target.isfinite().all() for lesson in lessons)
    assert [len(batch) for batch in plan(method(torch.full((9,), weight), batch_size=4, views=1)).batches] == [4, 5]


@pytest.mark.parametrize(
    ("weight", "given", "epoch", "expected"),
    [
        *((1 - noise, {}, 50, expected) for noise, expected in ((0.0, 0), (0.2, 0), (0.5, 25), (0.8, 25), (0.9, 50))),
        *((0.1, {"guess_weight": 3.0}, 50, 3), (0.5, {}, 4, 12.5), (0.5, {}, 0, 0), (0.5, {"ramp_share": 0.0}, 0, 25)),
    ],
)
def test_noise_and_epoch_decide_how_much_guesses_count(weight, given, epoch, expected):
    built = method(torch.full((6,), weight), **{"balance": 0.0, "ramp_share": 0.08, **given})
    logits_BC, target_BC = logits()[0], logits()[1].softmax(dim=1)
    loss = built.loss(logits_BC, target_BC, torch.arange(8) < 4, clock(epoch, 100)).item()
    taught = functional.cross_entropy(logits_BC[:4], target_BC[:4]).item()
    assert loss == pytest.approx(taught + expected * guess_loss(logits_BC, target_BC)[4:].mean().item(), rel=1e-5)
