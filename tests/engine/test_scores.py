import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.engine.selection import cross_entropy, entropy, gradient_norm, scores


def test_scores_by_hand():
    logits_BC = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])  # p = (3/4, 1/4), (1/2, 1/2)
    label_B = torch.tensor([0, 1])
    assert cross_entropy(logits_BC, label_B).tolist() == pytest.approx([math.log(4 / 3), math.log(2)])
    by_hand = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert entropy(logits_BC).tolist() == pytest.approx([by_hand, math.log(2)])
    assert gradient_norm(logits_BC, label_B).tolist() == pytest.approx([math.hypot(0.25, 0.25), math.hypot(0.5, 0.5)])


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_the_entropy_of_a_sure_and_of_a_uniform_prediction(classes):
    sure = torch.zeros(1, classes)
    sure[0, 1] = 1e4  # p of all others is 0 in float32
    assert entropy(sure).item() == pytest.approx(0, abs=1e-6)
    assert entropy(torch.full((1, classes), 3.0)).item() == pytest.approx(math.log(classes), rel=1e-5)


@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=12), st.integers(0, 1))
def test_ranges(values, label):
    logits_BC, label_B = torch.tensor([values]), torch.tensor([label])
    assert 0 - 1e-5 <= entropy(logits_BC).item() <= math.log(len(values)) + 1e-4
    assert 0 <= gradient_norm(logits_BC, label_B).item() <= math.sqrt(2) + 1e-5
    assert cross_entropy(logits_BC, label_B).item() >= 0


def test_only_the_entropy_does_not_look_at_the_label():
    logits_BC = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    one, other = torch.zeros(20, dtype=torch.int64), torch.ones(20, dtype=torch.int64)
    assert torch.equal(scores("entropy", logits_BC, one), scores("entropy", logits_BC, other))
    for name in ("loss", "gradient"):
        assert not torch.allclose(scores(name, logits_BC, one), scores(name, logits_BC, other))
