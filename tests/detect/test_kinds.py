"""What is wrong with a sample."""

import numpy as np
import pytest

from labelaudit.detect.controls import Controls
from labelaudit.detect.corruption import Pictures
from labelaudit.detect.evidence import Evidence
from labelaudit.detect.kinds import ambiguous_below, conflicting, tell_kinds
from labelaudit.names import CONTROL_KINDS, KINDS, SPOILED_KINDS
from tests.detect.helpers import beliefs_of, statistics_of
from tests.detect.test_corruption import natural, pictures_of

CLASSES = 5


def evidence_of(given, other, *, label_N=None, controls=None, taught=None):
    """Samples of class 0 whose given label is believed so much, and class 1 so much."""
    given, other = np.asarray(given, dtype=float), np.asarray(other, dtype=float)
    label_N = np.zeros(len(given), dtype=np.int32) if label_N is None else np.asarray(label_N, dtype=np.int32)
    statistics = statistics_of(
        -np.log(given), label_N=label_N, beliefs=beliefs_of(given, [np.full(len(given), 1)], [other]), classes=CLASSES
    )
    return Evidence(
        label_N=label_N,
        statistics=statistics,
        last_wrong_N=other > given,
        controls=controls,
        taught=taught,
    )


def told(evidence, flagged, *, digests=None, pictures=None):
    count = len(evidence.label_N)
    flagged_N = np.isin(np.arange(count), flagged)
    return tell_kinds(
        evidence, flagged_N, "aul", digests or [f"{i}" for i in range(count)], pictures, np.random.default_rng(0)
    )


def names(kinds):
    return [None if number < 0 else KINDS[number] for number in kinds.kind_N]


def test_a_clear_wish_for_another_label_is_an_error_and_a_faint_one_is_ambiguous():
    given = [0.9] * 200 + [0.02, 0.3, 0.5]
    other = [0.05] * 200 + [0.95, 0.45, 0.4]
    kinds = told(evidence_of(given, other), [200, 201, 202])
    # An ordinary sample would prefer its label to one that it does not believe in by .9, to class 1 by .85.
    assert kinds.ambiguous_below == pytest.approx(0.85, abs=0.06)
    assert names(kinds) == [None] * 200 + ["mislabeled", "ambiguous", "ambiguous"]


def test_the_limit_is_the_second_percentile_of_ordinary_samples():
    # One in fifty ordinary samples is undecided; the suspicious ones do not count.
    given = np.array(([0.9] * 39 + [0.5]) * 20 + [0.01] * 300)
    evidence = evidence_of(given, np.zeros(len(given)))
    flagged_N = given < 0.1
    assert ambiguous_below(evidence, flagged_N, np.random.default_rng(0)) == pytest.approx(0.5)
    few = evidence_of([0.9] * 49, [0.0] * 49)
    assert ambiguous_below(few, np.zeros(49, dtype=bool), np.random.default_rng(0)) == 0.0


def test_the_limit_is_never_below_nothing():
    given, other = np.full(400, 0.2), np.full(400, 0.7)
    assert ambiguous_below(evidence_of(given, other), np.zeros(400, dtype=bool), np.random.default_rng(0)) >= 0.0


def test_equal_pictures_with_different_labels_are_duplicates_suspicious_or_not():
    label_N = np.array([0, 1, 0, 0, 1, 1], dtype=np.int32)
    digests = ["a", "a", "b", "b", "", ""]
    assert conflicting(label_N, digests).tolist() == [True, True, False, False, False, False]
    kinds = told(evidence_of([0.1] * 6, [0.8] * 6, label_N=label_N), [1, 2], digests=digests)
    assert names(kinds) == ["duplicate", "duplicate", "mislabeled", None, None, None]
    assert not conflicting(np.empty(0, dtype=np.int32), []).any()


def with_blank(count=300, *, blank=(3, 4)):
    x_BCHW = natural(count, np.random.default_rng(0))
    x_BCHW[list(blank)] = 200
    return pictures_of(x_BCHW, np.random.default_rng(0))


def test_a_corrupted_picture_is_corrupted_whatever_its_label():
    given, other = np.full(300, 0.9), np.full(300, 0.05)
    given[[3, 7]], other[[3, 7]] = 0.01, 0.97
    kinds = told(evidence_of(given, other), [3, 7], pictures=with_blank())
    assert names(kinds)[3] == names(kinds)[4] == "corrupted"
    assert names(kinds)[7] == "mislabeled"
    assert sorted(kinds.corrupted.tolist()) == [3, 4]
    assert kinds.p_corrupted_N[[3, 4]].min() > 0.5 > kinds.p_corrupted_N[7]
    assert sum(name is not None for name in names(kinds)) == 3


def test_the_surest_corrupted_picture_comes_first():
    kinds = told(evidence_of([0.9] * 300, [0.05] * 300), [], pictures=with_blank(blank=(3, 9, 12)))
    assert (np.diff(kinds.corruption_N[kinds.corrupted]) <= 0).all()
    assert len(kinds.corrupted) == 3


def test_pixels_tell_duplicates_that_files_do_not():
    pictures = with_blank(blank=())
    digest_U = np.array([f"{i}" for i in range(300)])
    digest_U[7] = digest_U[250]
    pictures = Pictures(**{**vars(pictures), "digest_U": digest_U})
    label_N = (np.arange(300) // 150).astype(np.int32)
    kinds = told(evidence_of([0.9] * 300, [0.05] * 300, label_N=label_N), [], pictures=pictures)
    assert np.flatnonzero(kinds.of("duplicate")).tolist() == [7, 250]


def test_without_pictures_nothing_is_said_of_them():
    kinds = told(evidence_of([0.9] * 60, [0.05] * 60), [1])
    assert np.isnan(kinds.p_corrupted_N).all()
    assert kinds.matrix == ()


def test_the_matrix_counts_planted_pictures_and_labels():
    kind_N = np.full(300, -1, dtype=np.int32)
    kind_N[:4] = CONTROL_KINDS.index("random")
    controls = Controls(kind_N=kind_N, label_N=np.where(kind_N >= 0, 1, 0).astype(np.int32))
    given, other = np.full(300, 0.9), np.full(300, 0.05)
    taught_given, taught_other = given.copy(), other.copy()
    # Found and clear, found and faint, not found; the fourth is clear, but its picture is blank.
    taught_given[:4], taught_other[:4] = [0.01, 0.3, 0.8, 0.01], [0.97, 0.4, 0.1, 0.97]
    given[10] = 0.35
    taught = evidence_of(taught_given, taught_other).statistics
    evidence = evidence_of(given, other, controls=controls, taught=taught)
    kinds = told(evidence, [10], pictures=with_blank(blank=(3,)))
    labels = kinds.matrix[0]
    assert (labels.planted, labels.expected, labels.count) == ("random", "mislabeled", 4)
    assert labels.called == {"mislabeled": 1, "corrupted": 1, "ambiguous": 1, "duplicate": 0}
    assert [row.planted for row in kinds.matrix[1:]] == list(SPOILED_KINDS)
    assert all(row.expected == "corrupted" and row.count == 200 for row in kinds.matrix[1:])
    assert kinds.matrix[-1].called["corrupted"] == 200
