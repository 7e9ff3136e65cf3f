"""What is wrong between the splits of a data set: copies across them, classes that one lacks, labels of each.

Shapes: N samples, F findings, G groups of copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from labelaudit.data.catalogue import Catalogue
from labelaudit.detect import IntArray, NumberArray
from labelaudit.detect.constants import LEAST_OF_CLASS
from labelaudit.detect.verdicts import Verdicts
from labelaudit.run.documents import SplitNoise
from labelaudit.run.tables import Findings
from labelaudit.text import listed, plural


def find_leaked(near: Findings, equal_N: IntArray, split_N: Sequence[str]) -> Findings:
    """Return the images with a copy in another split; each names an equal one there, or else the best copy there.

    ``near`` are the near duplicates by group, the best copy first; ``equal_N`` are those of `equal_images`, and
    ``split_N`` are N names, or none without splits.
    """
    sample_F, group_F = np.asarray(near.sample_F), near.group_F
    if not split_N or not len(sample_F) or group_F is None:
        none = np.empty(0, dtype=np.int64)
        return Findings(name="leaked", sample_F=none, score_F=none.astype(np.float64))
    split_F = np.unique(split_N, return_inverse=True)[1][sample_F]
    place_F, equal_F = _elsewhere(group_F, split_F), equal_N[sample_F]
    twice = np.flatnonzero(equal_F >= 0)
    equal_place = _elsewhere(equal_F[twice], split_F[twice])
    place_F[twice[equal_place >= 0]] = twice[equal_place[equal_place >= 0]]
    found = np.flatnonzero(place_F >= 0)
    return Findings(
        name="leaked",
        sample_F=sample_F[found],
        score_F=None if near.score_F is None else near.score_F[found],
        group_F=group_F[found],
        other_F=sample_F[place_F[found]],
    )


def _elsewhere(group_F: NumberArray, split_F: NumberArray) -> NumberArray:
    """Return the place of the first of the same group in another split, −1 where there is none: [F]."""
    _, first_G, group_F = np.unique(group_F, return_index=True, return_inverse=True)
    is_away_F = split_F != split_F[first_G][group_F]
    away = np.flatnonzero(is_away_F)
    away_G = np.full(len(first_G), -1)
    found_G, first = np.unique(group_F[away], return_index=True)
    away_G[found_G] = away[first]
    place_F: NumberArray = np.where(is_away_F, first_G[group_F], away_G[group_F])
    return place_F


def split_figures(catalogue: Catalogue, verdicts: Verdicts, leaked: Findings) -> tuple[SplitNoise, ...]:
    """Return the figures of each split, in the order in which they were named; none where there is only one."""
    names = np.array(catalogue.split_N)
    if len(catalogue.splits) < 2:
        return ()
    seen_N, label_N = np.isfinite(verdicts.p_mislabeled_N), catalogue.label_N
    leaked_N, contradicting_N = np.zeros((2, len(catalogue)), dtype=bool)
    leaked_N[leaked.sample_F] = True
    if leaked.other_F is not None:
        contradicting_N[leaked.sample_F] = label_N[leaked.sample_F] != label_N[leaked.other_F]

    def figures(name: str) -> SplitNoise:
        inside_N = names == name
        rate = float(verdicts.raw_posterior_N[inside_N & seen_N].mean()) if (inside_N & seen_N).any() else None
        return SplitNoise(
            name=name,
            samples=int(inside_N.sum()),
            noise_rate=rate,
            suspicious=int((verdicts.flagged_N & inside_N).sum()),
            leaked=int((leaked_N & inside_N).sum()),
            contradicting=int((contradicting_N & inside_N).sum()),
        )

    return tuple(map(figures, catalogue.splits))


def judged_apart(catalogue: Catalogue) -> tuple[str, ...]:
    """Return the splits that heads trained on the other splits can judge.

    These have at most half of the images, and of each of their classes `LEAST_OF_CLASS` images are in other splits.
    """
    names, label_N, used_N = np.array(catalogue.split_N), catalogue.label_N, catalogue.used_N

    def is_apart(name: str) -> bool:
        inside_N = names == name
        own_N, other_N = inside_N & used_N, ~inside_N & used_N
        count_K = np.bincount(label_N[other_N], minlength=len(catalogue.classes))
        return 0 < own_N.sum() <= other_N.sum() and bool((count_K[label_N[own_N]] >= LEAST_OF_CLASS).all())

    return tuple(filter(is_apart, catalogue.splits)) if len(catalogue.splits) > 1 else ()


def absent_classes(catalogue: Catalogue) -> Iterator[str]:
    """Yield a sentence for each split without readable images of a class that another split has."""
    names, label_N, used_N = np.array(catalogue.split_N), catalogue.label_N, catalogue.used_N
    there = set(label_N[used_N].tolist())
    for name in catalogue.splits if len(names) else ():
        if absent := sorted(there - set(label_N[used_N & (names == name)].tolist())):
            what = plural(len(absent), "class", "classes")
            which = listed([catalogue.classes[label] for label in absent], 3)
            yield f"The split {name} has no images of {what} that another split has: {which}."
