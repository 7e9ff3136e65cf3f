import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from labelaudit.detect.logistic import fit_logistic, logits


@pytest.mark.parametrize(("edges", "balanced"), [([0.3], False), ([0.3], True), ([-2, 0, 1, 2], False), ([1, 2], True)])
def test_the_regression_is_that_of_scikit_learn(edges, balanced):
    generator = np.random.default_rng(0)
    value_XF = generator.normal(size=(500, 3))
    kind_X = np.digitize(value_XF[:, 0] - value_XF[:, 2] + 0.5 * generator.normal(size=500), edges)
    count_K = np.bincount(kind_X)
    weight_X = (500 / len(count_K) / count_K)[kind_X] if balanced else None
    reference = LogisticRegression(tol=1e-8, max_iter=10_000, class_weight="balanced" if balanced else None)
    expected = reference.fit(value_XF, kind_X).decision_function(value_XF).reshape(500, -1)
    found = logits(fit_logistic(value_XF, kind_X, weight_X), value_XF)
    found, expected = (each - each[:, :1] if len(count_K) > 2 else each for each in (found, expected))
    np.testing.assert_allclose(found, expected, atol=1e-3)
