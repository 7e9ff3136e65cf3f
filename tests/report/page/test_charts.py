from types import SimpleNamespace

import numpy as np

from labelaudit.report.page.charts import MISSING, gather_curves, histogram, quantise, thin, top_loss
from tests.report.helpers import noise
from tests.run.helpers import losses_of

LABELS = np.array([0, 0, 0, 1, 2], dtype=np.int32)
SUSPICIOUS = np.array([False, False, True, True, False])


def epoch(number, losses):
    return losses_of(list(losses.values()), epoch=number, sample=list(losses))


def gathered(*records):
    return gather_curves(records, np.array([3, 0]), LABELS, SUSPICIOUS, classes=4)


def test_curves_by_hand():
    curves = gathered(epoch(0, {4: 5.0, 3: 4.0, 2: 3.0, 1: 2.0, 0: 1.0}), epoch(1, {0: 0.5, 2: 7.0, 3: 1.0}))
    assert curves.sample_SE.tolist() == [[4.0, 1.0], [1.0, 0.5]]
    expected = [[2.0, 3.75], [4.0, 1.0], [5.0, np.nan], [np.nan, np.nan]]
    np.testing.assert_array_equal(curves.class_KE, np.array(expected, dtype=np.float32))
    suspicious, rest = curves.quartiles_23E
    np.testing.assert_allclose(suspicious, [[3.25, 2.5], [3.5, 4.0], [3.75, 5.5]])
    np.testing.assert_allclose(rest, [[1.5, 0.5], [2.0, 0.5], [3.5, 0.5]])


def test_a_long_curve_becomes_means():
    loss_SE = np.array([[1, 3, 5, 6, 9], [np.nan] * 5], dtype=np.float32)
    np.testing.assert_array_equal(thin(loss_SE, 3), [[2, 5.5, 9], [np.nan] * 3])
    assert thin(loss_SE, 5) is loss_SE
    assert thin(np.zeros((2, 150), dtype=np.float32)).shape == (2, 38)


def test_bytes_stand_for_roots_below_a_top_that_single_giants_do_not_set():
    loss = np.array([[0.0, 1.0, 4.0, 9.0, np.nan]], dtype=np.float32)
    assert quantise(loss, 4.0).tolist() == [[0, 127, 254, 254, MISSING]]
    many = np.ones(10_000, dtype=np.float32)
    many[17] = 1e6
    assert top_loss(many) == 1.0
    assert top_loss(np.zeros(5, dtype=np.float32)) == 1e-3


def test_a_histogram_needs_two_values_and_shows_them_whatever_the_quantiles():
    def drawn(*values):
        audit = SimpleNamespace(column=lambda _name: np.array(values), summary=noise())
        return histogram(audit, "aul", np.zeros(len(values), dtype=bool))

    assert drawn(np.nan, 1.0, 1.0) is None
    found = drawn(*[1.0] * 5000, 2.0)
    assert (found["low"], found["high"], found["rest"]) == (1.0, 2.0, [5000, *[0] * 6, 1])
