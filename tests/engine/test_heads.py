from dataclasses import replace

import numpy as np
import pytest
import torch

from labelaudit.engine.draws import make_draws
from labelaudit.engine.heads import Heads, draw_folds, gradient
from labelaudit.engine.inputs import FeatureInputs
from labelaudit.engine.loop import Task, Training
from labelaudit.engine.networks import linear_head
from labelaudit.errors import TrainingError
from labelaudit.methods.standard import weighted
from tests.engine.helpers import CPU, ignore, training_settings

GENERATOR = np.random.default_rng(1)
FEATURE_RD = GENERATOR.normal(size=(43, 6)).astype(np.float32)
LABEL_R = (FEATURE_RD[:, :4].argmax(axis=1) + (np.arange(43) % 5 == 0)) % 4
LOGITS_BFK = GENERATOR.normal(size=(3, 3, 2)).astype(np.float32)
LABEL_B = np.array([1, 0, 1])
TAUGHT_BF = np.array([[False, True, True], [True, True, False], [True, False, True]])


def test_a_head_learns_the_mean_loss_of_the_folds_of_the_others():
    logits_BFK = torch.from_numpy(LOGITS_BFK).requires_grad_()
    for head, taught_B in enumerate(TAUGHT_BF.T):
        taught = torch.from_numpy(taught_B)
        torch.nn.functional.cross_entropy(logits_BFK[taught, head], torch.from_numpy(LABEL_B)[taught]).backward()
    np.testing.assert_allclose(gradient(LOGITS_BFK, LABEL_B, TAUGHT_BF), logits_BFK.grad.numpy(), atol=1e-6)
    assert not gradient(LOGITS_BFK, LABEL_B, np.zeros_like(TAUGHT_BF)).any()


SETTINGS = training_settings(kind="frozen", folds=3, momentum=0.9, weight_decay=0.1)
FOLD_R = draw_folds(LABEL_R, 3, make_draws(0, "folds"))


def heads(settings=SETTINGS):
    return Heads(FEATURE_RD, LABEL_R, FOLD_R, 4, settings)


@pytest.mark.parametrize("changes", [{"nesterov": True}, {"nesterov": False, "schedule": "linear"}])
def test_heads_side_by_side_are_what_torch_would_train_each_to(changes):
    settings = replace(SETTINGS, **changes, batch_size=43)  # in one batch their order is nothing
    together = heads(settings)
    weight, bias = (parameter.copy() for parameter in together.parameters)
    record_E = list(together.run_epochs(ignore))
    inputs = FeatureInputs(FEATURE_RD.copy(), statistics=((0.0,) * 6, (1.0,) * 6), device=CPU)
    weights = []
    for number in range(3):
        own_R = number == FOLD_R
        head = linear_head(6, 4, seed=0)
        with torch.no_grad():
            head.weight[:] = torch.from_numpy(weight.reshape(3, 4, 6)[number])
            head.bias[:] = torch.from_numpy(bias.reshape(3, 4)[number])
        task = Task(inputs, torch.from_numpy(LABEL_R), weighted(torch.from_numpy(~own_R)))
        expected_E = Training([head], settings, CPU, task).run_epochs(ignore)
        for record, expected in zip(record_E, expected_E, strict=True):
            for name, found_R in record.items():
                expected_R = getattr(expected, f"{name}_N")[own_R]
                np.testing.assert_allclose(found_R[own_R], expected_R, rtol=1e-5, atol=1e-5, err_msg=name)
        weights.append(head.weight.detach().numpy())
    mean = together.mean()
    np.testing.assert_allclose(mean["weight"], np.mean(weights, axis=0), atol=1e-5)
    assert mean["bias"].shape == (4,)


def test_seeds_differ_and_a_loss_that_is_not_finite_is_an_error():
    first, second = (next(heads(replace(SETTINGS, seed=seed)).run_epochs(ignore)) for seed in (0, 1))
    assert np.abs(first["loss"] - second["loss"]).max() > 0.1
    with pytest.raises(TrainingError, match=r"diverged in epoch \d+: \d+ of 43 losses are not finite"):
        list(heads(replace(SETTINGS, lr=1e30)).run_epochs(ignore))


def test_folds_share_out_every_class_and_depend_on_the_draw():
    label_R = np.random.default_rng(3).permutation([0] * 23 + [1] * 10 + [2] * 2)
    fold_R = draw_folds(label_R, 5, make_draws(0, "folds"))
    for label in range(3):
        sizes = np.bincount(fold_R[label_R == label], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert np.bincount(fold_R).tolist() == [7] * 5
    assert not np.array_equal(fold_R, draw_folds(label_R, 5, make_draws(1, "folds")))
    # Rows of a split that is judged apart are the last fold; the others are drawn.
    split_R = np.array(["train", "test", "train", "train", "train", "train", "train"] * 5)
    apart_R = draw_folds(label_R, 4, make_draws(0, "folds"), ("test",), split_R)
    assert (apart_R == 3).tolist() == (split_R == "test").tolist()
    assert np.bincount(apart_R).tolist() == [10, 10, 10, 5]
