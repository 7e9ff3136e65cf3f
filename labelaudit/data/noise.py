"""Draw label noise, as the two papers define it and in a few classes only, for demonstrations and measurements.

Shapes: N samples, S of them chosen, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

LabelArray = npt.NDArray[np.int32]
NoiseName = Literal["uniform", "pair-flip", "random-labels", "asymmetric", "one-class"]


def choose_samples(
    count: int, rates: Sequence[float], *, generator: np.random.Generator, exact: bool = True
) -> LabelArray:
    """Draw which of several rates, together at most 1, chooses each of N samples: its number, or −1, as int32 [N].

    With ``exact`` round(rate · N) samples are chosen; otherwise each on its own with probability ``rate``.
    """
    bounds, place_N = np.cumsum(rates), np.argsort(generator.permutation(count)) if exact else generator.random(count)
    number_N = np.searchsorted(np.round(bounds * count) if exact else bounds, place_N, side="right")
    return np.where(number_N < len(rates), number_N, -1).astype(np.int32)


def draw_labels(
    label_S: LabelArray,
    *,
    classes: int,
    kind: Literal["uniform", "pair-flip", "random-labels"],
    generator: np.random.Generator,
) -> LabelArray:
    """Draw new labels for samples that are chosen to get one, from their true labels; see `flip_labels`."""
    if kind == "pair-flip":
        return (label_S + 1) % classes
    least = 0 if kind == "random-labels" else 1
    step_S = generator.integers(least, classes, size=len(label_S))
    return ((label_S + step_S) % classes).astype(label_S.dtype)


def flip_labels(
    label_N: LabelArray,
    *,
    classes: int,
    kind: NoiseName,
    rate: float,
    generator: np.random.Generator,
    among: tuple[int, int] = (0, 1),
) -> LabelArray:
    """Return labels of which round(rate · count) are chosen and drawn anew.

    - ``uniform``: a wrong label is any other class with equal probability;
    - ``pair-flip``: it is (y + 1) mod K;
    - ``random-labels``: it is drawn from all K classes ("When does loss-based prioritization fail?", section 3.1);
    - ``asymmetric``: two classes are taken for each other, all others are right;
    - ``one-class``: samples of one class get any other label, all others are right.

    ``rate`` is in [0, 1]; of ``asymmetric`` and ``one-class`` it is the share in the classes concerned. ``among`` are
    the classes that ``asymmetric`` confuses, different ones; ``one-class`` takes the first.
    """
    concerned = {"asymmetric": list(among), "one-class": [among[0]]}.get(kind)
    pool = np.arange(len(label_N)) if concerned is None else np.flatnonzero(np.isin(label_N, concerned))
    chosen = generator.permutation(pool)[: round(rate * len(pool))]
    noisy_N = label_N.copy()
    if kind == "asymmetric":
        noisy_N[chosen] = sum(among) - label_N[chosen]
    else:
        drawn = "uniform" if kind == "one-class" else kind
        noisy_N[chosen] = draw_labels(label_N[chosen], classes=classes, kind=drawn, generator=generator)
    return noisy_N
