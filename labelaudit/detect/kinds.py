"""What is wrong with a sample: its label, its picture, nothing that can be decided, or a twin with another label.

Shapes: N samples, U pictures, P planted controls, A samples as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labelaudit.detect.confident import Beliefs
from labelaudit.detect.corruption import Corruption, Pictures, find_corrupted
from labelaudit.detect.curves import FloatArray
from labelaudit.detect.evidence import Evidence
from labelaudit.names import CONTROL_KINDS, KINDS, SPOILED_KINDS, KindName, StatisticName

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int32]
KindArray = npt.NDArray[np.int8]

CORRUPTED_ABOVE = 0.5
"""A picture with P(corrupted) above this is called corrupted."""

_UNDECIDED = 0.02
"""So large a share of untaught wrong labels would be called ambiguous. Wrong labels that were taught are less clear:
on Fashion-MNIST and CIFAR-10 between 1 and 8% of the suspicious ones are (docs/kinds.md)."""

_LEAST_SAMPLES = 50
_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Called:
    """What planted controls of one sort are called.

    Attributes:
        planted: One of `labelaudit.names.CONTROL_KINDS`, a wrong label, or of `labelaudit.names.SPOILED_KINDS`, a
            spoiled picture.
        expected: What they should be called.
        count: How many were planted.
        called: How many got each kind; the others were not found.
    """

    planted: str
    expected: KindName
    count: int
    called: dict[KindName, int]


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """The kind of every sample, and how far it is to be trusted.

    Attributes:
        kind_N: Index into `labelaudit.names.KINDS`; −1 where nothing is wrong.
        p_corrupted_N: P(corrupted); NaN where the picture is not known.
        corruption_N: Its log-odds, which rank; NaN likewise.
        ambiguous_below: A suspicious sample is ambiguous when the belief in the suggested label exceeds that in the
            given one by less than this.
        matrix: A row per sort of planted controls.
    """

    kind_N: KindArray
    p_corrupted_N: FloatArray
    corruption_N: FloatArray
    ambiguous_below: float
    matrix: tuple[Called, ...]

    def of(self, kind: KindName) -> BoolArray:
        """True for the samples of this kind: [N]."""
        chosen_N: BoolArray = self.kind_N == KINDS.index(kind)
        return chosen_N

    @property
    def corrupted(self) -> npt.NDArray[np.int64]:
        """The samples that are called corrupted, the surest first."""
        found = np.flatnonzero(self.of("corrupted"))
        return found[np.argsort(-self.corruption_N[found], kind="stable")]


def tell_kinds(
    evidence: Evidence,
    flagged_N: BoolArray,
    rank_by: StatisticName,
    digests: Sequence[str],
    pictures: Pictures | None,
    generator: np.random.Generator,
) -> Kinds:
    """Say of each sample what is wrong with it.

    - ``corrupted``: P(corrupted) > .5, suspicious or not (`labelaudit.detect.corruption.find_corrupted`);
    - ``duplicate``: the same picture is there with another label, suspicious or not;
    - ``ambiguous``: suspicious, but the probe did not prefer the suggested label to the given one as clearly as it
      would if that were wrong: see `ambiguous_below`;
    - ``mislabeled``: suspicious, and none of these.

    Args:
        evidence: Of N samples.
        flagged_N: The suspicious.
        rank_by: The statistic that ranks.
        digests: N texts, equal for equal files; empty where a file could not be read.
        pictures: What is known of the pictures; None where nothing is.
        generator: Draws.
    """
    found = None if pictures is None else find_corrupted(pictures, generator)
    p_N, score_N = (np.full(len(flagged_N), np.nan) for _ in range(2))
    if found is not None and pictures is not None:
        p_N[pictures.sample_U], score_N[pictures.sample_U] = found.p_U, found.score_U
    corrupted_N = p_N > CORRUPTED_ABOVE
    below = ambiguous_below(evidence, flagged_N, generator)
    kind_N = _suspicious_kinds(evidence.statistics.beliefs, flagged_N, below)
    kind_N[conflicting(evidence.label_N, _same_picture(digests, pictures))] = KINDS.index("duplicate")
    kind_N[corrupted_N] = KINDS.index("corrupted")
    labels = _labels_called(evidence, flagged_N, rank_by, below, corrupted_N)
    return Kinds(
        kind_N=kind_N,
        p_corrupted_N=p_N,
        corruption_N=score_N,
        ambiguous_below=below,
        matrix=(*labels, *(() if found is None else _pictures_called(found))),
    )


def ambiguous_below(evidence: Evidence, flagged_N: BoolArray, generator: np.random.Generator) -> float:
    """By how much the probe prefers the true label to a wrong one: the 2% quantile.

    A sample that is not suspicious is taken to have the right label y. Had it another label k, drawn evenly, then the
    belief in the best label but k would exceed that in k by max_{j≠k} p_j − p_k, p being mean probabilities over the
    training. That k was not taught makes the difference larger than that of real errors; so the quantile is a low one.

    Args:
        evidence: Of N samples.
        flagged_N: The suspicious.
        generator: Draws k.

    Returns:
        In [0, 1]; 0 with fewer than fifty samples that are not suspicious.
    """
    ordinary = np.flatnonzero(evidence.own_N & ~flagged_N)
    classes, beliefs = evidence.statistics.joint.classes, evidence.statistics.beliefs
    if len(ordinary) < _LEAST_SAMPLES or classes < 2:
        return 0.0
    wrong_A = (evidence.label_N[ordinary] + generator.integers(1, classes, len(ordinary))) % classes
    other_MA, is_wrong_MA = beliefs.other_MN[:, ordinary], beliefs.class_MN[:, ordinary] == wrong_A
    best_A = np.maximum(beliefs.given_N[ordinary], np.where(is_wrong_MA, 0.0, other_MA).max(axis=0))
    return max(0.0, float(np.quantile(best_A - np.where(is_wrong_MA, other_MA, 0.0).sum(axis=0), _UNDECIDED)))


def conflicting(label_N: IntArray, digests: Sequence[str]) -> BoolArray:
    """True for samples of which there is an equal picture with another label: [N].

    Args:
        label_N: Given labels.
        digests: N hexadecimal texts, equal for equal pictures; an empty one is equal to none.
    """
    # 64 bits are enough, and take a sixteenth of the memory of whole texts.
    prefix_N = np.array([digest[:_DIGITS].encode() for digest in digests], dtype=f"S{_DIGITS}")
    _, group_N = np.unique(prefix_N, return_inverse=True)
    known_N = np.array([bool(digest) for digest in digests], dtype=bool)
    groups = int(group_N.max(initial=-1)) + 1
    least_G, most_G = np.full(groups, np.iinfo(np.int32).max), np.full(groups, -1)
    np.minimum.at(least_G, group_N, label_N)
    np.maximum.at(most_G, group_N, label_N)
    differs_N: BoolArray = known_N & (least_G != most_G)[group_N]
    return differs_N


def _same_picture(digests: Sequence[str], pictures: Pictures | None) -> Sequence[str]:
    """The digest of the pixels where it is known, else that of the file."""
    if pictures is None:
        return digests
    merged = list(digests)
    for sample, digest in zip(pictures.sample_U.tolist(), pictures.digest_U.tolist(), strict=True):
        merged[sample] = digest
    return merged


def _suspicious_kinds(beliefs: Beliefs, flagged_N: BoolArray, below: float) -> KindArray:
    unclear_N = beliefs.alternative_belief_N - beliefs.given_N < below
    named_N = np.where(unclear_N, KINDS.index("ambiguous"), KINDS.index("mislabeled"))
    return np.where(flagged_N, named_N, -1).astype(np.int8)


def _labels_called(
    evidence: Evidence, flagged_N: BoolArray, rank_by: StatisticName, below: float, corrupted_N: BoolArray
) -> list[Called]:
    """What labels that were made wrong on purpose would be called; see `labelaudit.detect.power.measure_power`."""
    if evidence.controls is None or evidence.taught is None:
        return []
    own_N = flagged_N & evidence.own_N
    cut = evidence.statistics.suspicion(rank_by)[own_N].min() if own_N.any() else np.inf
    kind_N = _suspicious_kinds(evidence.taught.beliefs, evidence.taught.suspicion(rank_by) >= cut, below)
    kind_N[corrupted_N] = KINDS.index("corrupted")
    return [
        _called(kind, "mislabeled", kind_N[evidence.controls.of_kind(kind)])
        for kind in CONTROL_KINDS
        if evidence.controls.of_kind(kind).any()
    ]


def _pictures_called(found: Corruption) -> list[Called]:
    corrupted = np.int8(KINDS.index("corrupted"))
    return [
        _called(kind, "corrupted", np.where(p_P > CORRUPTED_ABOVE, corrupted, np.int8(-1)))
        for kind, p_P in zip(SPOILED_KINDS, found.p_PM.T, strict=True)
    ]


def _called(planted: str, expected: KindName, kind_P: KindArray) -> Called:
    called = {kind: int((kind_P == number).sum()) for number, kind in enumerate(KINDS)}
    return Called(planted=planted, expected=expected, count=len(kind_P), called=called)
