"""Label noise, as the AUL paper defines it and in a few classes only, for demonstrations and measurements.

Shapes: N samples, K classes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

LabelArray = npt.NDArray[np.int32]
NoiseName = Literal["uniform", "pair-flip", "asymmetric", "one-class"]


def flip_labels(
    label_N: LabelArray,
    *,
    classes: int,
    kind: NoiseName,
    rate: float,
    generator: np.random.Generator,
    exact: bool = True,
    among: tuple[int, int] = (0, 1),
) -> LabelArray:
    """Labels of which a share is wrong.

    - ``uniform``: a wrong label is any other class with equal probability;
    - ``pair-flip``: it is (y + 1) mod K;
    - ``asymmetric``: two classes are taken for each other, all others are right;
    - ``one-class``: samples of one class get any other label, all others are right.

    Args:
        label_N: True labels.
        classes: K, at least 2.
        kind: Which noise.
        rate: Share of wrong labels in [0, 1]; of ``asymmetric`` and ``one-class`` in the classes concerned.
        generator: For the draws.
        exact: Flip round(rate · count) samples; otherwise each on its own with probability ``rate``.
        among: The classes that ``asymmetric`` confuses, different ones; ``one-class`` takes the first.

    Raises:
        ValueError: a rate outside [0, 1], fewer than two classes, or classes that are not there.
    """
    if not 0 <= rate <= 1 or classes < 2:
        raise ValueError(f"rate must be in [0, 1] and classes at least 2, not {rate} and {classes}")
    if among[0] == among[1] or not all(0 <= label < classes for label in among):
        raise ValueError(f"two different classes in [0, {classes}) are needed, not {among}")
    concerned = {"asymmetric": list(among), "one-class": [among[0]]}.get(kind)
    pool = np.arange(len(label_N)) if concerned is None else np.flatnonzero(np.isin(label_N, concerned))
    chosen = round(rate * len(pool))
    wrong = generator.permutation(pool)[:chosen] if exact else pool[generator.random(len(pool)) < rate]
    noisy_N = label_N.copy()
    if kind == "asymmetric":
        noisy_N[wrong] = sum(among) - label_N[wrong]
    else:
        step = 1 if kind == "pair-flip" else generator.integers(1, classes, size=len(wrong))
        noisy_N[wrong] = (label_N[wrong] + step) % classes
    return noisy_N
