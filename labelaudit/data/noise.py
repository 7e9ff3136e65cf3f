"""Label noise as the AUL paper defines it, for demonstrations and measurements.

Shapes: N samples, K classes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

LabelArray = npt.NDArray[np.int32]
NoiseName = Literal["uniform", "pair-flip"]


def flip_labels(
    label_N: LabelArray,
    *,
    classes: int,
    kind: NoiseName,
    rate: float,
    generator: np.random.Generator,
    exact: bool = True,
) -> LabelArray:
    """Labels of which a share is wrong.

    ``uniform``: a wrong label is any other class with equal probability. ``pair-flip``: it is (y + 1) mod K.

    Args:
        label_N: True labels.
        classes: K, at least 2.
        kind: Which noise.
        rate: Share of wrong labels in [0, 1].
        generator: For the draws.
        exact: Flip round(rate · N) samples; otherwise each on its own with probability ``rate``.

    Raises:
        ValueError: a rate outside [0, 1], or fewer than two classes.
    """
    if not 0 <= rate <= 1 or classes < 2:
        raise ValueError(f"rate must be in [0, 1] and classes at least 2, not {rate} and {classes}")
    count = len(label_N)
    if exact:
        wrong = generator.permutation(count)[: round(rate * count)]
    else:
        wrong = np.flatnonzero(generator.random(count) < rate)
    step = generator.integers(1, classes, size=len(wrong)) if kind == "uniform" else 1
    noisy_N = label_N.copy()
    noisy_N[wrong] = (label_N[wrong] + step) % classes
    return noisy_N
