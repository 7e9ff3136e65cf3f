"""How much an epoch of a training counts.

A network knows more the longer it is trained, until it begins to learn wrong labels by heart. So what it says late is
worth more, as long as it stands by what it said before. Both are read from the recorded margins alone.

Shapes: N samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LATENESS = 2
"""Margins of epoch e of a training count e² times (docs/log.md)."""

_LEAST_DOUBT = 0.05
"""Less doubt than this, in margin per sample, is no reason to trust an epoch less."""

_MEMORISED_BELOW = 0.25
"""Trust. Of 60 audits that memorised nothing the lowest trust was .55, of five that did the last was .09 at most
(docs/log.md)."""

_LEAST_TRUST = 1e-6
"""Not 0: a sample that was only seen in such an epoch has its statistics all the same."""

_LARGEST_MARGIN = 10.0
"""What is beyond has probabilities of 0 and 1: one diverging sample must not speak for all."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """How the epochs of a recording follow each other.

    Attributes:
        epochs: Of one training.
        members: Trainings that were recorded one after the other.
        lateness: The power of its number with which an epoch's margins count. A head on frozen features knows in its
            first epoch what it knows in its last: 0.
    """

    epochs: int
    members: int = 1
    lateness: int = LATENESS

    @property
    def recorded(self) -> int:
        """Epochs of all trainings."""
        return self.epochs * self.members


class EpochTrust:
    """Tells memorising from learning while the epochs go by.

    In each epoch e, the *doubted* samples are those with Σ_{f<e} f · m_f < 0: until then the probe spoke against their
    labels, and the more so the later. Their *doubt* is max(0, −Σ m_e) / N over the N samples with a record, which is 0
    where most of what was doubted is agreed with; times the share of samples that are not doubted, as a probe that
    doubts everything has not learned yet.
    An epoch's trust is 1 as long as the doubt grows, and else what is left of the largest doubt so far. On clean data
    there never is much doubt to be taken back, and all epochs are trusted.

    Args:
        samples: N.
        epochs: After so many another training begins, which is judged by itself. Default: it never does.
    """

    def __init__(self, samples: int, *, epochs: int | None = None) -> None:
        self._epochs = epochs
        self._seen = 0
        self._memorised_from: int | None = None
        self._largest = 0.0
        self._weighted_N = np.zeros(samples)

    @property
    def number(self) -> int:
        """The number, from 1, that the next epoch has in its training."""
        return 1 + (self._seen % self._epochs if self._epochs else self._seen)

    @property
    def memorised_from(self) -> int | None:
        """The number of the epoch from which on less than a quarter of the doubt is left; None where more is."""
        return self._memorised_from

    def add(self, present_N: npt.NDArray[np.bool_], margin_N: npt.NDArray[np.float32]) -> float:
        """The trust in the next epoch, in (0, 1].

        Args:
            present_N: Which samples have a record in it.
            margin_N: Their margins; 0 for the others.
        """
        if self.number == 1:
            self._memorised_from, self._largest = None, 0.0
            self._weighted_N[:] = 0.0
        bounded_N = np.clip(margin_N, -_LARGEST_MARGIN, _LARGEST_MARGIN).astype(np.float64)
        doubted_N = present_N & (self._weighted_N < 0)
        seen = max(int(np.count_nonzero(present_N)), 1)
        learned = 1.0 - np.count_nonzero(doubted_N) / seen
        doubt = max(0.0, -float(bounded_N[doubted_N].sum())) / seen * learned
        self._largest = max(self._largest, doubt)
        trust = 1.0 - (self._largest - doubt) / max(self._largest, _LEAST_DOUBT)
        if trust >= _MEMORISED_BELOW:
            self._memorised_from = None
        elif self._memorised_from is None:
            self._memorised_from = self.number
        self._weighted_N += self.number * bounded_N
        self._seen += 1
        return max(trust, _LEAST_TRUST)
