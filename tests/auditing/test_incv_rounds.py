import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.retraining import incv


def test_the_noise_is_read_from_the_agreement_that_it_makes():
    assert incv.expected_agreement(0.4, 5) == pytest.approx(0.36 + 0.16 / 4)
    assert incv.expected_agreement(0.0, 2) == 1.0
    # .95 of ten classes agrees as often as .85 does: (1 − ε)² + ε²/9 is least at .9. The smaller root counts.
    for noise, found in ((0.2, 0.2), (0.8, 0.8), (0.95, 0.85)):
        assert incv.noise_from_agreement(incv.expected_agreement(noise, 10), 10) == pytest.approx(found, abs=0.002)
    # An agreement that no noise explains ends at pure chance.
    assert [incv.noise_from_agreement(0.0, classes) for classes in (2, 10)] == pytest.approx([0.5, 0.9])
    assert incv.noise_left(0.9, 10, symmetric=True) < 1
    assert incv.noise_from_agreement(1.0, 10) == pytest.approx(0.001)


def test_the_rules_by_hand():
    assert [incv.discard_ratio(noise) for noise in (0.0, 0.4, 0.5, 0.8, 1.0)] == pytest.approx([0, 2 / 3, 1, 2, 2])
    assert incv.noise_left(0.4, 10, symmetric=True) == pytest.approx(0.047, abs=5e-4)
    assert incv.noise_left(0.8, 10, symmetric=True) == pytest.approx(0.64, abs=5e-3)
    assert incv.noise_left(0.4, 10, symmetric=False) == pytest.approx(0.16 / 0.52)
    assert incv.noise_left(0.0, 10, symmetric=True) == 0.0
    assert [incv.best_epoch_until(noise, symmetric=True) for noise in (0.2, 0.3, 0.4, 0.6, 0.7)] == [4, 4, 2, 2, 1]
    assert incv.best_epoch_until(0.2, symmetric=False) == 1


@pytest.mark.parametrize(
    ("loss", "agreeing", "ratio", "expected"),
    [
        ([0.5, 4.0, 0.1, 2.0], 2, 1.0, [1, 3]),
        ([0.5, 4.0, 0.1, 2.0], 3, 0.5, [1]),
        ([1.0] * 4, 3, 0.3, []),
        ([0.0, 1.0, 2.0, 3.0], 4, 2.0, [0, 1, 2, 3]),
        ([], 3, 2.0, []),
    ],
)
def test_the_largest_losses_are_discarded(loss, agreeing, ratio, expected):
    assert sorted(incv.discarded(np.arange(len(loss)), np.array(loss), agreeing, ratio)) == expected


@given(st.integers(0, 60), st.integers(0, 1000))
def test_halves_divide_the_candidates_and_the_selection_only_grows(rows, seed):
    generator = np.random.default_rng(seed)
    selection = incv.Believed(selected_R=np.zeros(rows, dtype=bool), candidate_R=np.ones(rows, dtype=bool))
    for _ in range(3):
        before = selection
        first, second = selection.halves(generator)
        assert sorted([*first, *second]) == np.flatnonzero(selection.candidate_R).tolist()
        assert len(second) - len(first) in (0, 1)
        agreeing = np.concatenate([half[generator.random(len(half)) < 0.4] for half in (first, second)])
        away = generator.permutation(np.concatenate([first, second]))[:5]
        selection = selection.after(agreeing, away)
        assert (selection.selected_R >= before.selected_R).all()
        assert (selection.candidate_R <= before.candidate_R).all()
        assert not (selection.selected_R & selection.candidate_R).any()
        assert selection.selected_R[agreeing].all()
        assert not selection.candidate_R[away].any()


@pytest.mark.parametrize("classes", [3, 10])
def test_noise_over_all_pairs_is_symmetric_and_noise_of_few_is_not(classes):
    generator = np.random.default_rng(classes)
    given_D = generator.integers(0, classes, 4000)
    even_D, next_D = (given_D + generator.integers(1, classes, 4000)) % classes, (given_D + 1) % classes
    assert incv.looks_symmetric(given_D, even_D, classes)
    assert not incv.looks_symmetric(given_D, next_D, classes)
    assert not incv.looks_symmetric(given_D, np.where(generator.random(4000) < 0.8, next_D, even_D), classes)
    assert incv.looks_symmetric(given_D[:30], even_D[:30], classes)
    assert incv.looks_symmetric(np.array([0, 1]), np.array([1, 0]), 2)
    assert incv.looks_symmetric(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), 10)
