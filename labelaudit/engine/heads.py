"""Held-out heads: linear classifiers side by side on embeddings, each without its own part of the data; without torch.

All heads are one product, and their gradient is written down. They are always computed in float32 on the processor.

Shapes: R rows, B batch, D features, F folds and their heads, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from labelaudit.detect import BoolArray, Float32Array, NumberArray
from labelaudit.engine.devices import count_threads
from labelaudit.engine.draws import make_draws, split_places
from labelaudit.engine.optimizers import rate
from labelaudit.engine.settings import TrainingSettings
from labelaudit.run.losses import Observed, require_finite

_SMALL = 1_000_000
"""Heads of up to so many weights are trained by one thread, as are small networks (docs/benchmarks.md)."""


def draw_folds(
    label_R: NumberArray,
    folds: int,
    generator: np.random.Generator,
    apart: Sequence[str] = (),
    split_R: npt.NDArray[np.str_] | None = None,
) -> NumberArray:
    """Draw a fold for each row; the folds of each class differ by one sample at most: int64 [R].

    The splits ``apart`` are the last folds, and nothing is drawn for their rows; ``split_R`` has the rows' splits.
    """
    fold_R = np.full(len(label_R), -1)
    for number, name in enumerate(apart, folds - len(apart)):
        fold_R[split_R == name] = number
    order_R = generator.permutation(np.flatnonzero(fold_R < 0))
    by_class_R = order_R[np.argsort(label_R[order_R], kind="stable")]
    fold_R[by_class_R] = np.arange(len(order_R)) % max(folds - len(apart), 1)
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
    """F heads in training; their ``parameters``, weights [F · K, D] and biases [F · K], `mean` makes one classifier."""

    def __init__(
        self,
        feature_RD: Float32Array,
        label_R: NumberArray,
        fold_R: NumberArray,
        classes: int,
        settings: TrainingSettings,
    ) -> None:
        self._feature_RD, self._label_R, self._fold_R = feature_RD, label_R, fold_R
        self._classes, self._settings = classes, settings
        generator, features = make_draws(settings.seed, "initial weights"), feature_RD.shape[1]
        shapes = (settings.folds * classes, features), (settings.folds * classes,)
        bound = features**-0.5
        self.parameters = [generator.uniform(-bound, bound, shape).astype(np.float32) for shape in shapes]
        self._velocities = [np.zeros_like(parameter) for parameter in self.parameters]

    def mean(self) -> dict[str, Float32Array]:
        """Return weight [K, D] and bias [K] of the classifier whose logits are the mean of the heads'."""
        weight, bias = (each.reshape(-1, self._classes, *each.shape[1:]).mean(axis=0) for each in self.parameters)
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
        threads = 1 if self.parameters[0].size <= _SMALL else count_threads()
        for epoch in range(settings.epochs):
            order_R = make_draws(settings.seed, "order", epoch).permutation(rows)
            parts: list[Observed] = []
            with threadpool_limits(threads), np.errstate(over="ignore", invalid="ignore"):
                for step, places in enumerate(batches):
                    done, steps = (epoch + step / len(batches)) / settings.epochs, epoch * len(batches) + step
                    parts.append(self._step(order_R[places], rate(settings, done, steps)))
                    advance(places.stop - places.start)
            back_R = np.argsort(order_R)
            found = {name: np.concatenate([part[name] for part in parts])[back_R] for name in parts[0]}
            require_finite(found["loss"], epoch)
            yield found

    def _step(self, row_B: NumberArray, learning_rate: float) -> Observed:
        """Take a step on some rows, and return what their own heads said of them."""
        weight, bias = self.parameters
        x_BD, label_B, fold_B = self._feature_RD[row_B], self._label_R[row_B], self._fold_R[row_B]
        logits_BFK = (x_BD @ weight.T + bias).reshape(len(row_B), -1, self._classes)
        taught_BF = fold_B[:, None] != np.arange(logits_BFK.shape[1])
        slope_BX = gradient(logits_BFK, label_B, taught_BF).reshape(len(row_B), -1)
        for place, slope in enumerate((slope_BX.T @ x_BD, slope_BX.sum(axis=0))):
            self._descend(place, slope, learning_rate)
        return observe(logits_BFK[np.arange(len(row_B)), fold_B], label_B)

    def _descend(self, place: int, slope: Float32Array, learning_rate: float) -> None:
        """Take a step of one parameter in place, as torch's SGD does."""
        settings, parameter, velocity = self._settings, self.parameters[place], self._velocities[place]
        momentum = np.float32(settings.momentum)
        slope += np.float32(settings.weight_decay) * parameter
        velocity *= momentum
        velocity += slope
        parameter -= np.float32(learning_rate) * (slope + momentum * velocity if settings.nesterov else velocity)
