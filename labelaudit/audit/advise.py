"""How much noise a training would back-propagate that prefers samples with a high loss, or a high entropy.

Sources: Jiang et al. 2019 (Selective Backprop); "When does loss-based prioritization fail?", sections 3.2 and 4.

Shapes: S watched samples, R records of one epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from labelaudit.detect.constants import HARMLESS, MOST_WATCHED, POWERS
from labelaudit.names import PrioritizerName

FloatArray = npt.NDArray[np.float64]
TargetName = Literal["loss", "entropy"]


class PriorityWatch:
    """Watches, epoch by epoch, how likely each selector would have been to back-propagate a sample.

    Only the given and the most believed other probability are recorded, p_y and p_a. The entropy is the largest that
    fits them, the rest spread evenly over the other classes: −p_y ln p_y − p_a ln p_a − r ln(r / (K − 2)).

    Args:
        watched_S: Numbers of the samples, rising; `choose_watched` draws them.
        classes: K.
    """

    def __init__(self, watched_S: npt.NDArray[np.int64], classes: int) -> None:
        self._watched_S, self._classes = watched_S, classes
        self._epochs = 0
        self._chance: dict[tuple[TargetName, str], FloatArray] = {
            (target, share): np.zeros(len(watched_S)) for target in ("loss", "entropy") for share in POWERS
        }

    def add(
        self,
        sample_R: npt.NDArray[np.int32],
        loss_R: npt.NDArray[np.float32],
        margin_R: npt.NDArray[np.float32],
    ) -> None:
        """Add one epoch's records; an epoch that lacks a watched sample is passed over."""
        order_R = np.argsort(sample_R)
        place_S = np.searchsorted(sample_R, self._watched_S, sorter=order_R)
        if len(sample_R) == 0 or (place_S >= len(sample_R)).any():
            return
        record_S = order_R[place_S]
        if (sample_R[record_S] != self._watched_S).any():
            return
        loss_S, margin_S = loss_R[record_S].astype(np.float64), margin_R[record_S].astype(np.float64)
        for target, value_S in (("loss", loss_S), ("entropy", largest_entropy(loss_S, margin_S, self._classes))):
            rank_S = np.searchsorted(np.sort(value_S), value_S, side="left") / len(value_S)
            for share, power in POWERS.items():
                self._chance[target, share] += rank_S**power  # type: ignore[index]
        self._epochs += 1

    def chances(self) -> dict[tuple[TargetName, str], FloatArray]:
        """The mean probability of being back-propagated, by target and selectivity: [S] each."""
        return {name: chance_S / max(self._epochs, 1) for name, chance_S in self._chance.items()}


def choose_watched(seen_N: npt.NDArray[np.bool_], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """At most 20,000 of the samples that have records, rising."""
    seen = np.flatnonzero(seen_N)
    return seen if len(seen) <= MOST_WATCHED else np.sort(generator.choice(seen, MOST_WATCHED, replace=False))


def largest_entropy(loss_S: FloatArray, margin_S: FloatArray, classes: int) -> FloatArray:
    """The largest entropy in nats of a prediction with this loss and margin; see `PriorityWatch`.

    Args:
        loss_S: −ln p_y.
        margin_S: ln p_y − ln p_a.
        classes: K.
    """
    given_S, other_S = np.exp(-loss_S), np.exp(np.minimum(-loss_S - margin_S, 0.0))
    rest_S = np.maximum(1.0 - given_S - other_S, 0.0) if classes > 2 else np.zeros_like(given_S)
    entropy_S: FloatArray = rest_S * np.log(max(classes - 2, 1))
    for part_S in (given_S, other_S, rest_S):
        entropy_S = entropy_S - part_S * np.log(np.maximum(part_S, 1e-12))
    return entropy_S


@dataclass(frozen=True, kw_only=True)
class Selected:
    """What a selector would back-propagate.

    Attributes:
        selector: Its name.
        selectivity: Which share of the samples it back-propagates.
        noise_share: Which share of these is noise.
    """

    selector: PrioritizerName
    selectivity: str
    noise_share: float


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Whether to prioritize.

    Attributes:
        base_rate: The share of noise among all samples.
        selected: What each selector would take.
        safe: The fastest selector that takes hardly more noise than there is.
    """

    base_rate: float
    selected: tuple[Selected, ...]
    safe: PrioritizerName


def advise(noise_S: FloatArray, chances: dict[tuple[TargetName, str], FloatArray]) -> Advice:
    """Compare the noise that each selector would back-propagate with what there is: Σ p·P / Σ P against mean p.

    Selective Backprop is safe, and advised, where it takes at most `HARMLESS` more; else its entropy version where that
    does; else none.

    Args:
        noise_S: Probability that a sample is noise: its label wrong, or its picture corrupted.
        chances: As `PriorityWatch.chances` gives them.
    """
    base = float(noise_S.mean()) if len(noise_S) else 0.0
    selected = tuple(
        Selected(
            selector="selective-backprop" if target == "loss" else "selective-backprop-entropy",
            selectivity=share,
            noise_share=float((noise_S * chance_S).sum() / chance_S.sum()) if chance_S.sum() > 0 else base,
        )
        for (target, share), chance_S in chances.items()
    )
    order: tuple[PrioritizerName, ...] = ("selective-backprop", "selective-backprop-entropy")
    harmless = [
        name
        for name in order
        if all(entry.noise_share - base <= HARMLESS for entry in selected if entry.selector == name)
    ]
    return Advice(base_rate=base, selected=selected, safe=harmless[0] if harmless else "none")
