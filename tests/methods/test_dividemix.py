import pytest
import torch
from torch.nn import functional

from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.step import lesson_loss
from labelaudit.errors import UsageError
from labelaudit.methods.base import Batch, Clock, EpochPlan, Ingredients, Mixing
from labelaudit.methods.dividemix import DivideMix, balance, dividemix, mixing_share
from labelaudit.methods.parameters import DivideMixParameters
from tests.engine.helpers import CPU, ignore, image_inputs, loop_settings, small_network, small_task

CLOCK = Clock(epoch=50, epochs=100)
NO_WARMUP = DivideMixParameters(warmup_share=0.0)
LABEL_R = torch.tensor([0, 1, 2, 0, 1, 2])
WEIGHT_R = torch.tensor([1.0, 0.8, 0.6, 0.4, 0.1, 0.0])
BATCH = Batch(row_B=torch.tensor([0, 1, 0, 1, 3, 4, 3, 4]), label_B=LABEL_R[[0, 1, 0, 1, 3, 4, 3, 4]])
"""Two believed samples and two suspicious ones, each in two views."""


def logits(seed=0, count=8, networks=2):
    generator = torch.Generator().manual_seed(seed)
    return [2 * torch.randn(count, 3, generator=generator) for _ in range(networks)]


def method(weight_R=WEIGHT_R, noise_rate=0.5, batch_size=8, settings=NO_WARMUP):
    return DivideMix(weight_R, noise_rate, batch_size, settings)


def teach(made, batch=BATCH, guesses=None, seen=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = made.mix(batch, lambda: guesses or logits(1), CLOCK, generator)
    return mixing, made.teach(batch, seen or logits(2), CLOCK, generator)


def gradient(lesson, logits_BC):
    seen_BC = logits_BC.clone().requires_grad_()
    lesson_loss(seen_BC, lesson).backward()
    return seen_BC.grad


def test_the_whole_loss_is_worked_out_by_its_definition():
    made, guesses, seen = method(), logits(1), logits(2)
    mixing, lessons = teach(made, guesses=guesses, seen=seen)
    p = [found.softmax(dim=1) for found in guesses]
    views = [torch.stack([(one[0] + one[2]) / 2, (one[1] + one[3]) / 2]) for one in p]
    unseen = sum(torch.stack([(one[4] + one[6]) / 2, (one[5] + one[7]) / 2]) for one in p) / 2
    guess_UC = unseen**2 / (unseen**2).sum(dim=1, keepdim=True)
    for number, lesson in enumerate(lessons):
        w_X1 = torch.tensor([[1.0], [0.8]])
        mixed_XC = w_X1 * torch.eye(3)[:2] + (1 - w_X1) * views[number]
        refined_XC = mixed_XC**2 / (mixed_XC**2).sum(dim=1, keepdim=True)
        target_BC = torch.cat([refined_XC, refined_XC, guess_UC, guess_UC])
        share, partner = mixing.factor_B[0], mixing.partner_B
        target_BC = share * target_BC + (1 - share) * target_BC[partner]
        logits_BC = seen[number].clone().requires_grad_()
        p_BC = logits_BC.softmax(dim=1)
        loss = -(target_BC[:4] * p_BC[:4].log()).sum(dim=1).mean()
        loss = loss + 25 * ((p_BC[4:] - target_BC[4:]) ** 2).mean()
        loss = loss + (torch.log(1 / 3 / p_BC.mean(dim=0)) / 3).sum()
        loss.backward()
        assert torch.allclose(gradient(lesson, seen[number]), logits_BC.grad, atol=1e-6)


def test_labels_that_are_all_right_make_it_mixup_training_of_two_networks():
    made = method(torch.ones(6), noise_rate=0.0, settings=DivideMixParameters(warmup_share=0.0, balance=0.0))
    seen = logits(2)
    mixing, lessons = teach(made, seen=seen)
    one_hot_BC = functional.one_hot(BATCH.label_B, 3).float()
    for logits_BC, lesson in zip(seen, lessons, strict=True):
        seen_BC = logits_BC.clone().requires_grad_()
        share = mixing.factor_B[0]
        loss_B = functional.cross_entropy(seen_BC, one_hot_BC, reduction="none")
        other_B = functional.cross_entropy(seen_BC, one_hot_BC[mixing.partner_B], reduction="none")
        (share * loss_B + (1 - share) * other_B).mean().backward()
        assert torch.allclose(gradient(lesson, logits_BC), seen_BC.grad, atol=1e-6)


def test_the_label_of_a_suspicious_sample_is_never_looked_at():
    other_label_B = BATCH.label_B.clone()
    other_label_B[4:] = (other_label_B[4:] + 1) % 3
    lessons = teach(method())[1]
    others = teach(method(), Batch(row_B=BATCH.row_B, label_B=other_label_B))[1]
    for lesson, other in zip(lessons, others, strict=True):
        assert torch.equal(lesson.target, other.target)
    other_label_B[0] = 2
    changed = teach(method(), Batch(row_B=BATCH.row_B, label_B=other_label_B))[1]
    assert not torch.equal(lessons[0].target, changed[0].target)


def test_both_networks_guess_and_each_refines_for_itself():
    first, second = logits(1)
    believed_B = torch.tensor([True] * 4 + [False] * 4)

    def targets(*beliefs):
        return method().targets(BATCH, believed_B, [found.softmax(dim=1) for found in beliefs])

    one, other = targets(first, second)
    assert torch.equal(one[4:], other[4:])
    assert not torch.equal(one[:4], other[:4])
    changed = targets(first, second + torch.tensor([3.0, 0.0, 0.0]))[0]
    assert not torch.equal(one[4:], changed[4:])
    assert torch.equal(one[:4], changed[:4])


def test_views_of_a_sample_share_a_target():
    made = method(settings=DivideMixParameters(warmup_share=0.0))
    believed_B = torch.tensor([True] * 4 + [False] * 4)
    for target_BC in made.targets(BATCH, believed_B, [found.softmax(dim=1) for found in logits(1)]):
        assert torch.allclose(target_BC[[0, 1, 4, 5]], target_BC[[2, 3, 6, 7]])


def test_guesses_count_more_and_more():
    seen = logits(2)
    found = []
    for epoch in (0, 4, 8, 50):
        made = method(settings=DivideMixParameters(warmup_share=0.0, ramp_share=0.08, alpha=0.0, balance=0.0))
        clock = Clock(epoch=epoch, epochs=100)
        made.mix(BATCH, lambda: logits(1), clock, torch.Generator())
        found.append(gradient(made.teach(BATCH, seen, clock, torch.Generator())[0], seen[0])[4:])
    assert found[0].abs().max() < 1e-6
    assert torch.allclose(2 * found[1], found[2], atol=1e-6)
    assert torch.equal(found[2], found[3])


def plan(made, clock=CLOCK, seed=0) -> EpochPlan:
    return made.plan_epoch(None, clock, torch.Generator().manual_seed(seed))


def test_a_step_has_as_many_suspicious_as_believed_samples_each_in_two_views():
    weight_R = torch.cat([torch.ones(10), torch.zeros(6)])
    batches = plan(method(weight_R, batch_size=16)).batches
    assert [len(batch) for batch in batches] == [16, 16, 8]
    for batch in batches:
        half = len(batch) // 2
        believed, suspicious = batch[:half], batch[half:]
        assert (believed < 10).all()
        assert (suspicious >= 10).all()
        assert torch.equal(believed[: half // 2], believed[half // 2 :])
        assert torch.equal(suspicious[: half // 2], suspicious[half // 2 :])
    assert sorted(torch.cat([batch[: len(batch) // 4] for batch in batches]).tolist()) == list(range(10))
    assert not torch.equal(batches[0], plan(method(weight_R, batch_size=16), seed=1).batches[0])


def test_the_first_epochs_are_ordinary_and_weighted():
    made = method(settings=DivideMixParameters(warmup_share=0.1))
    early = Clock(epoch=9, epochs=100)
    assert plan(made, early) == EpochPlan()
    assert plan(made, Clock(epoch=10, epochs=100)).batches is not None
    mixing = made.mix(BATCH, logits, early, torch.Generator())
    x_BC = torch.randn(8, 3)
    assert torch.equal(mixing.blend(x_BC), x_BC)
    for lesson in made.teach(BATCH, logits(), early, torch.Generator()):
        assert torch.equal(lesson.weight_B, WEIGHT_R[BATCH.row_B])
        assert torch.equal(lesson.target, BATCH.label_B)
    # One epoch at least, unless none is asked for.
    assert plan(method(settings=DivideMixParameters()), Clock(epoch=0, epochs=3)) == EpochPlan()


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_all_believed_and_none_believed_are_trained_on(weight):
    made = method(torch.full((7,), weight), batch_size=4)
    batches = plan(made).batches
    assert sorted(set(torch.cat(batches).tolist())) == list(range(7))
    assert min(len(batch) for batch in batches) >= 2
    batch = Batch(row_B=torch.tensor([0, 1, 0, 1]), label_B=torch.tensor([0, 1, 0, 1]))
    _, lessons = teach(made, batch, logits(1, 4), logits(2, 4))
    assert all(lesson.target.isfinite().all() for lesson in lessons)


def test_a_single_view_of_a_single_last_sample_joins_the_batch_before():
    made = method(torch.ones(9), batch_size=4, settings=DivideMixParameters(views=1, warmup_share=0.0))
    assert [len(batch) for batch in plan(made).batches] == [4, 5]


def test_the_noise_decides_how_much_guesses_count():
    label_R = torch.zeros(4, dtype=torch.int64)
    for weight, expected in ((0.8, 0.0), (0.5, 25.0), (0.1, 50.0)):
        made = dividemix(Ingredients(label_R=label_R, weight_R=torch.full((4,), weight)))
        assert made._guess_weight == expected
    chosen = Ingredients(
        label_R=label_R, weight_R=torch.full((4,), 0.1), parameters=DivideMixParameters(guess_weight=3.0)
    )
    assert dividemix(chosen)._guess_weight == 3.0


def test_it_needs_the_weights_of_an_audit():
    with pytest.raises(UsageError, match="dividemix needs sample weights"):
        dividemix(Ingredients(label_R=LABEL_R))


def test_it_learns_on_the_loop_what_the_believed_samples_teach():
    pixels_NCHW, label_N = small_task(60)
    wrong_N = torch.arange(60) % 4 == 3
    given_N = torch.where(wrong_N, (label_N + 1) % 3, label_N)
    made = DivideMix((~wrong_N).float(), 0.25, 8, DivideMixParameters(warmup_share=0.25, guess_weight=5.0))
    training = Training([small_network(seed=0), small_network(seed=1)], loop_settings(epochs=8), CPU)
    inputs = image_inputs(pixels_NCHW)
    records = list(run_epochs(training, inputs, given_N, made, ignore))
    assert len(records) == 8
    predicted_N = training.predict(inputs).argmax(dim=1)
    assert (predicted_N == label_N).float().mean() > 0.9
    assert (predicted_N == given_N)[wrong_N].float().mean() < 0.2


def test_the_mixture_of_a_step_is_one_for_all():
    mixing, _ = teach(method())
    assert isinstance(mixing, Mixing)
    assert mixing.factor_B.unique().numel() == 1
    assert sorted(mixing.partner_B.tolist()) == list(range(8))
    generator = torch.Generator().manual_seed(0)
    torch.randperm(8, generator=generator)
    assert mixing.factor_B[0].item() == pytest.approx(mixing_share(4.0, generator))


def test_the_balance_is_of_the_whole_step():
    seen = logits(2)
    with_, without = (method(settings=DivideMixParameters(warmup_share=0.0, balance=weight)) for weight in (1.0, 0.0))
    differences = gradient(teach(with_, seen=seen)[1][0], seen[0]) - gradient(teach(without, seen=seen)[1][0], seen[0])
    logits_BC = seen[0].clone().requires_grad_()
    balance(logits_BC).backward()
    assert torch.allclose(differences, logits_BC.grad, atol=1e-6)
