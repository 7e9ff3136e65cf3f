"""What is wrong between the splits of a data set: copies across them, classes that one lacks, labels of each.

Shapes: N samples, F findings, G groups of copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from labelaudit.data.catalogue import Catalogue
from labelaudit.detect.verdicts import Verdicts
from labelaudit.run.documents import SplitNoise
from labelaudit.run.findings import Findings
from labelaudit.text import listed, plural


def find_leaked(near: Findings, split_names: Sequence[str]) -> Findings:
    """Return the images with a copy in another split; each names the best copy there.

    ``near`` are the near duplicates by group, the best copy first; ``split_names`` are N names, or none without splits.
    """
    sample_F, group_F = np.asarray(near.sample_F), near.group_F
    if not split_names or not len(sample_F) or group_F is None:
        none = np.empty(0, dtype=np.int64)
        return Findings(name="leaked", sample_F=none, score_F=none.astype(np.float64))
    split_F = np.unique(split_names, return_inverse=True)[1][sample_F]
    group_F = np.unique(group_F, return_inverse=True)[1]
    best_G = np.unique(group_F, return_index=True)[1]
    # Of each group, the best copy, and the best one of the other splits.
    away = np.flatnonzero(split_F != split_F[best_G][group_F])
    other_G = np.full(len(best_G), -1)
    found_G, first = np.unique(group_F[away], return_index=True)
    other_G[found_G] = away[first]
    is_leaked_F = other_G[group_F] >= 0
    place_F = np.where(split_F == split_F[best_G][group_F], other_G[group_F], best_G[group_F])
    return replace(
        near,
        name="leaked",
        sample_F=sample_F[is_leaked_F],
        score_F=None if near.score_F is None else near.score_F[is_leaked_F],
        group_F=None if near.group_F is None else near.group_F[is_leaked_F],
        other_F=sample_F[place_F][is_leaked_F].astype(np.int32),
    )


def split_figures(catalogue: Catalogue, verdicts: Verdicts, leaked: Findings) -> tuple[SplitNoise, ...]:
    """Return the figures of each split, in the order in which they were named; none where there is only one."""
    names = np.array(catalogue.split_names)
    if len(catalogue.split) < 2 or not len(names):
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

    return tuple(map(figures, catalogue.split))


def absent_classes(catalogue: Catalogue) -> Iterator[str]:
    """Yield a sentence for each split without readable images of a class that another split has."""
    names, label_N, used_N = np.array(catalogue.split_names), catalogue.label_N, catalogue.used_N
    if len(catalogue.split) < 2 or not len(names):
        return
    there = set(label_N[used_N].tolist())
    for name in catalogue.split:
        if absent := sorted(there - set(label_N[used_N & (names == name)].tolist())):
            what = plural(len(absent), "class", "classes")
            which = listed([catalogue.classes[label] for label in absent], 3)
            yield f"The split {name} has no images of {what} that another split has: {which}."
