"""Held-out heads: linear classifiers side by side on embeddings, each without its own part of the data; without torch.

All heads are one product, and their gradient is written down. They are always computed in float32 on the processor.

Shapes: R rows, B batch, D features, F folds and their heads, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from labelaudit.detect import BoolArray, Float32Array, NumberArray
from labelaudit.engine.devices import count_threads
from labelaudit.engine.draws import Draws, derive_seed, split_places
from labelaudit.engine.optimizers import rate
from labelaudit.engine.settings import TrainingSettings
from labelaudit.hyperparameters import Hyperparameters
from labelaudit.run.losses import Observed, require_finite

_SMALL = 1_000_000
"""Heads of up to so many weights are trained by one thread, as are small networks (docs/benchmarks.md)."""


def draw_folds(label_R: NumberArray, folds: int, draws: Draws) -> NumberArray:
    """Draw a fold for each row; the folds of each class differ by one sample at most: int64 [R]."""
    order_R = draws.permutation(len(label_R))
    fold_R = np.empty_like(order_R)
    fold_R[order_R[np.argsort(label_R[order_R], kind="stable")]] = np.arange(len(order_R)) % folds
    return fold_R


def observe(logits_BK: Float32Array, label_B: NumberArray) -> Observed:
    """Return what is recorded of each sample; see `labelaudit.engine.step.observe`."""
    row_B = np.arange(len(label_B))
    given_B, other_BK = logits_BK[row_B, label_B], logits_BK.copy()
    other_BK[row_B, label_B] = -np.inf
    alternative_B = other_BK.argmax(axis=1).astype(np.int32)
    margin_B = given_B - other_BK[row_B, alternative_B]
    top_B = logits_BK.max(axis=1)
    return {
        "loss": np.log(np.exp(logits_BK - top_B[:, None]).sum(axis=1)) - (given_B - top_B),
        "margin": margin_B,
        "predicted": np.where(margin_B > 0, label_B, alternative_B).astype(np.int32),
        "alternative": alternative_B,
    }


def gradient(logits_BFK: Float32Array, label_B: NumberArray, taught_BF: BoolArray) -> Float32Array:
    """Return ∂ Σ_f L_f / ∂ logits [B, F, K]; L_f is the mean cross-entropy of head f on the rows that it is taught."""
    slope_BFK: Float32Array = np.exp(logits_BFK - logits_BFK.max(axis=2, keepdims=True))
    slope_BFK /= slope_BFK.sum(axis=2, keepdims=True)
    slope_BFK[np.arange(len(label_B)), :, label_B] -= 1.0
    slope_BFK *= (taught_BF / np.maximum(taught_BF.sum(axis=0), 1)).astype(np.float32)[:, :, None]
    return slope_BFK


class Heads:
    """F heads in training: weights [F · K, D] and biases [F · K], which `mean` makes one classifier."""

    def __init__(
        self, feature_RD: Float32Array, label_R: NumberArray, classes: int, settings: TrainingSettings, member: int = 0
    ) -> None:
        own = derive_seed(settings.seed, "member", member) if member else settings.seed
        self._feature_RD, self._label_R, self._classes = feature_RD, label_R, classes
        self._settings = replace(settings, seed=own)
        self._fold_R = draw_folds(label_R, settings.folds, Draws(derive_seed(settings.seed, "folds")))
        bound, features = feature_RD.shape[1] ** -0.5, feature_RD.shape[1]
        all_draws = [Draws(derive_seed(own + 1_000_003 * f, "initial weights")) for f in range(settings.folds)]
        weight = np.concatenate([draws.uniform(bound, classes, features) for draws in all_draws])
        bias = np.concatenate([draws.uniform(bound, classes) for draws in all_draws])
        self._parameters = [weight, bias]
        self._steppers = [stepper(parameter, settings) for parameter in self._parameters]

    def mean(self) -> dict[str, Float32Array]:
        """Return weight [K, D] and bias [K] of the classifier whose logits are the mean of the heads'."""
        weight, bias = (each.reshape(-1, self._classes, *each.shape[1:]).mean(axis=0) for each in self._parameters)
        return {"weight": weight, "bias": bias}

    def logits(self, feature_XD: Float32Array) -> Float32Array:
        """Return the mean logits of the heads for some rows: [X, K]."""
        mean = self.mean()
        logits_XK: Float32Array = feature_XD @ mean["weight"].T + mean["bias"]
        return logits_XK

    def run_epochs(self, advance: Callable[[int], None]) -> Iterator[Observed]:
        """Train every epoch, and yield what each row's own head, which is not taught it, said before each step."""
        settings, rows = self._settings, len(self._label_R)
        batches = split_places(rows, settings.batch_size)
        threads = 1 if self._parameters[0].size <= _SMALL else count_threads()
        for epoch in range(settings.epochs):
            order_R = Draws(derive_seed(settings.seed, "order", epoch)).permutation(rows)
            parts: list[Observed] = []
            with threadpool_limits(threads), np.errstate(over="ignore", invalid="ignore"):
                for step, places in enumerate(batches):
                    done = (epoch + step / len(batches)) / settings.epochs
                    parts.append(self._step(order_R[places], rate(settings, done, epoch * len(batches) + step)))
                    advance(places.stop - places.start)
            back_R = np.argsort(order_R)
            found = {name: np.concatenate([part[name] for part in parts])[back_R] for name in parts[0]}
            require_finite(found["loss"], epoch)
            yield found

    def _step(self, row_B: NumberArray, learning_rate: float) -> Observed:
        """Take a step on some rows, and return what their own heads said of them."""
        weight, bias = self._parameters
        x_BD, label_B, fold_B = self._feature_RD[row_B], self._label_R[row_B], self._fold_R[row_B]
        logits_BFK = (x_BD @ weight.T + bias).reshape(len(row_B), -1, self._classes)
        taught_BF = fold_B[:, None] != np.arange(logits_BFK.shape[1])
        slope_BX = gradient(logits_BFK, label_B, taught_BF).reshape(len(row_B), -1)
        for step, gradient_X in zip(self._steppers, (slope_BX.T @ x_BD, slope_BX.sum(axis=0)), strict=True):
            step(gradient_X, learning_rate)
        return observe(logits_BFK[np.arange(len(row_B)), fold_B], label_B)


def stepper(parameter: Float32Array, settings: Hyperparameters) -> Callable[[Float32Array, float], None]:
    """Return a function of gradient and rate that takes a step in place, as torch's SGD or Adam does."""
    first, second, steps = np.zeros_like(parameter), np.zeros_like(parameter), 0
    momentum, decay = np.float32(settings.momentum), np.float32(settings.weight_decay)

    def sgd(slope: Float32Array, learning_rate: float) -> None:
        nonlocal first
        slope += decay * parameter
        first *= momentum
        first += slope
        slope = slope + momentum * first if settings.nesterov else first
        parameter[:] -= np.float32(learning_rate) * slope

    def adam(slope: Float32Array, learning_rate: float) -> None:
        nonlocal first, second, steps
        steps += 1
        slope += decay * parameter
        first += (1 - momentum) * (slope - first)
        second += np.float32(1 - settings.beta2) * (slope**2 - second)
        root = np.sqrt(second) / np.float32((1 - settings.beta2**steps) ** 0.5) + np.float32(1e-8)
        parameter[:] -= np.float32(learning_rate / (1 - settings.momentum**steps)) * first / root

    return adam if settings.optimizer == "adam" else sgd
