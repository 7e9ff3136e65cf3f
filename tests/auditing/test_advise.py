import numpy as np
import pytest

from labelaudit.auditing.advise import Advice, compare, largest_entropy, selection_chances
from labelaudit.detect.constants import HARMLESS
from tests.run.helpers import losses_of

LOSS, ENTROPY = "selective-backprop", "selective-backprop-entropy"


def chances_of(*losses):
    return selection_chances([losses_of(loss_R) for loss_R in losses], len(losses[0]), 10)


def test_chances_by_hand():
    chances = chances_of([0.1, 0.4, 0.2, 0.3], [4, 3, 2, 1])
    np.testing.assert_allclose(chances[LOSS, "50%"], [0 + 0.75, 0.75 + 0.5, 0.25 + 0.25, 0.5 + 0])
    np.testing.assert_allclose(chances[LOSS, "33%"][0], 0.75**2)


def test_entropy_by_hand_and_at_its_ends():
    for loss, margin, classes, expected in (
        # p = (1/2, 1/4, and the rest over two classes).
        (np.log(2), np.log(2), 4, np.log(2) / 2 + np.log(4) / 4 + np.log(8) / 4),
        (0.0, 50.0, 10, 0.0),
        (np.log(10), 0.0, 10, np.log(10)),
        (np.log(2), 0.0, 2, np.log(2)),
    ):
        assert largest_entropy(np.array([loss]), np.array([margin]), classes)[0] == pytest.approx(expected, abs=1e-9)
    # It does not know the label: the same prediction, (.7, .2, .1), against its first and its second class.
    one = largest_entropy(-np.log([0.7]), np.log([0.7 / 0.2]), 3)
    np.testing.assert_allclose(one, largest_entropy(-np.log([0.2]), np.log([0.2 / 0.7]), 3))


@pytest.mark.parametrize(
    ("noise_loss", "even_entropy", "safe"), [(5.0, False, "none"), (0.2, False, LOSS), (5.0, True, ENTROPY)]
)
def test_a_selector_is_safe_where_it_takes_hardly_more_noise_than_there_is(noise_loss, even_entropy, safe):
    noise_S = np.repeat([0.0, 1.0], [900, 100])
    loss_S = np.random.default_rng(0).uniform(0.9, 1.1, 1000) * np.where(noise_S > 0, noise_loss, 1.0)
    chances = chances_of(loss_S)
    for share in ("50%", "33%"):
        chances[ENTROPY, share] = np.full(1000, 0.5) if even_entropy else chances[LOSS, share]
    advice = compare(noise_S, chances)
    assert advice.base_rate == pytest.approx(0.1)
    assert advice.safe == safe
    half, third, entropy, _ = advice.noise_share.values()
    if noise_loss > 1:
        assert half == pytest.approx(0.1 * 0.95 / 0.5, abs=0.002)
        assert third == pytest.approx(1 - 0.9**3, abs=0.003)
        assert (entropy - 0.1 < HARMLESS) is even_entropy
    else:
        assert max(half, third) < 0.02


@pytest.mark.parametrize("safe", [LOSS, ENTROPY, "none"])
def test_the_advice_names_the_numbers_and_the_safe_selector(safe):
    figures = {(LOSS, "50%"): 0.19, (LOSS, "33%"): 0.27, (ENTROPY, "50%"): 0.11, (ENTROPY, "33%"): 0.12}
    first, second, last = Advice(base_rate=0.1, noise_share=figures, safe=safe).sentences
    assert ("is safe here" if safe == LOSS else "would hurt here") in first
    assert "19.0% (at 50%) and 27.0% (at 33%) is noise, of all samples 10.0%" in first
    assert "11.0% (at 50%) and 12.0% (at 33%)" in second
    assert last.startswith(f"Safe: --selector {safe}; ")
