"""The labels of several annotators, and the majority of them.

Shapes: V votes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from labelaudit.detect import IntArray


class Vote(NamedTuple):
    """The label that an annotator gave an image."""

    path: str
    annotator: str
    label: str


@dataclass(frozen=True)
class Annotations:
    """The V votes on the samples of a catalogue, sorted: number of the sample, annotator, label.

    A label that no majority chose is no class.
    """

    rows: tuple[tuple[int, str, str], ...]

    @cached_property
    def annotators(self) -> tuple[str, ...]:
        """The names of the annotators, sorted."""
        return tuple(sorted({annotator for _, annotator, _ in self.rows}))

    def numbers(self, classes: Sequence[str]) -> tuple[IntArray, IntArray, IntArray]:
        """Return sample_V, annotator_V and label_V as numbers; a label that is no class is −1."""
        class_of = {name: number for number, name in enumerate(classes)}
        annotator_of = {name: number for number, name in enumerate(self.annotators)}
        found = [(sample, annotator_of[who], class_of.get(label, -1)) for sample, who, label in self.rows]
        sample_V, annotator_V, label_V = np.array(found, dtype=np.int32).T
        return sample_V, annotator_V, label_V


def majority(votes: Sequence[Vote]) -> tuple[dict[str, str], int]:
    """Return the label that most annotators gave each path, in the order of the votes, and how many were tied.

    Of tied labels, the one of the annotators wins whom the others agree with most: by the sum over them of

        (1 + how many others on the same images gave the same label) / (2 + how many others there were).

    That is half for those who share no image; after that the order of the labels decides.
    """
    by_path: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for vote in votes:
        by_path[vote.path][vote.label] += 1
    same: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for vote in votes:
        same[vote.annotator] += by_path[vote.path][vote.label] - 1
        others[vote.annotator] += by_path[vote.path].total() - 1
    trust: defaultdict[tuple[str, str], float] = defaultdict(float)
    for vote in votes:
        trust[vote.path, vote.label] += (1 + same[vote.annotator]) / (2 + others[vote.annotator])
    label_of, ties = {}, 0
    for path, count in by_path.items():
        most = max(count.values())
        tied = sorted(label for label in count if count[label] == most)
        label_of[path] = max(tied, key=lambda label: trust[path, label])
        ties += len(tied) > 1
    return label_of, ties
