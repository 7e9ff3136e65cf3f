"""Logistic regression of a few figures: what scikit-learn does, without the half second that loading it takes.

Shapes: X rows, F figures, K kinds, Z columns of logits: 1 for two kinds, else K.
"""

from __future__ import annotations

import numpy as np

from labelaudit.detect import FloatArray, NumberArray


def fit_logistic(value_XF: FloatArray, kind_X: NumberArray, weight_X: FloatArray | None = None) -> FloatArray:
    """Return the coefficients [F + 1, Z], the last row constant, that minimize Σ_x weight · CE + Σ coefficients² / 2.

    The constants are not penalized. Two kinds have the logit of the second, more a logit each.
    """
    from scipy.optimize import minimize

    kinds, total = int(kind_X.max()) + 1, len(kind_X) if weight_X is None else weight_X.sum()
    free = slice(1, None) if kinds == 2 else slice(None)
    one_XF, target_XK = _with_one(value_XF), np.eye(kinds)[kind_X]
    share_X1 = (np.ones(len(kind_X)) if weight_X is None else weight_X)[:, None] / total
    shape = one_XF.shape[1], target_XK[:, free].shape[1]
    penalty = np.repeat(np.arange(shape[0]) < shape[0] - 1, shape[1]) / total

    def log_p(coefficient: FloatArray) -> FloatArray:
        logit_XK = np.zeros(target_XK.shape)
        logit_XK[:, free] = one_XF @ coefficient.reshape(shape)
        log_p_XK: FloatArray = logit_XK - logit_XK.max(axis=1, keepdims=True)
        log_p_XK -= np.log(np.exp(log_p_XK).sum(axis=1, keepdims=True))
        return log_p_XK

    def loss(coefficient: FloatArray) -> tuple[float, FloatArray]:
        log_p_XK, penalized = log_p(coefficient), penalty * coefficient
        gradient_FZ = one_XF.T @ (share_X1 * (np.exp(log_p_XK) - target_XK))[:, free]
        value = penalized @ coefficient / 2 - (share_X1 * target_XK * log_p_XK).sum()
        return float(value), gradient_FZ.ravel() + penalized

    def curvature(coefficient: FloatArray) -> FloatArray:
        p_XZ = np.exp(log_p(coefficient))[:, free]
        between_XZZ = share_X1[:, :, None] * (p_XZ[:, :, None] * np.eye(shape[1]) - p_XZ[:, :, None] * p_XZ[:, None])
        hessian: FloatArray = np.einsum("xf,xzy,xg->fzgy", one_XF, between_XZZ, one_XF, optimize=True)
        hessian = hessian.reshape(penalty.size, penalty.size)
        hessian += np.diag(penalty)
        return hessian

    # Not trust-exact: it may never end where the Hessian is nearly singular, as that of constants is (SciPy 12513).
    start, options = np.zeros(penalty.size), {"xtol": 1e-8}
    found: FloatArray = minimize(loss, start, jac=True, hess=curvature, method="Newton-CG", options=options).x
    return found.reshape(shape)


def logits(coefficient_FZ: FloatArray, value_XF: FloatArray) -> FloatArray:
    """Return the logits of rows by the coefficients: [X, Z]."""
    logit_XZ: FloatArray = _with_one(value_XF) @ coefficient_FZ
    return logit_XZ


def _with_one(value_XF: FloatArray) -> FloatArray:
    return np.concatenate([value_XF, np.ones((len(value_XF), 1))], axis=1)
