from dataclasses import replace

import numpy as np
import pytest

from labelaudit.auditing.splits import find_leaked, judged_apart, split_figures
from labelaudit.data.catalogue import splits_of
from labelaudit.run.tables import Findings
from tests.detect.helpers import verdicts_with
from tests.run.helpers import catalogue_of

PATHS = ("test/cat/0.png", "test/cat/1.png", "train/cat/0.png", "train/cat/1.png", "train/dog/0.png", "train/dog/1.png")

UNEQUAL = np.full(6, -1, dtype=np.int32)


def labeled():
    """The six images; of a split and a class each."""
    known = {"split": ("train", "test"), "split_N": splits_of(PATHS, ("train", "test"))}
    return replace(catalogue_of(PATHS), classes=("cat", "dog"), label_N=np.array([0, 0, 0, 0, 1, 1], np.int32), **known)


def near(*groups):
    """Groups of copies, the best first."""
    sample_F = np.array([sample for group in groups for sample in group], dtype=np.int64)
    group_F = np.repeat(np.arange(len(groups), dtype=np.int32), [len(group) for group in groups])
    return Findings(name="near-duplicate", sample_F=sample_F, score_F=sample_F / 10, group_F=group_F)


def test_copies_in_another_split_are_leaked_and_name_the_best_one_there():
    # Two groups across the splits; one within train.
    found = find_leaked(near([2, 0, 4], [3, 5], [1, 5]), UNEQUAL, labeled().split_N)
    assert found.name == "leaked"
    assert found.sample_F.tolist() == [2, 0, 4, 1, 5]
    assert found.other_F.tolist() == [0, 2, 0, 5, 1]
    assert found.group_F.tolist() == [0, 0, 0, 2, 2]
    assert found.score_F.tolist() == [0.2, 0.0, 0.4, 0.1, 0.5]


def test_an_equal_image_is_named_before_a_better_copy():
    equal_N = np.array([0, 1, -1, 1, 0, -1], dtype=np.int32)
    found = find_leaked(near([2, 0, 4, 1, 3]), equal_N, labeled().split_N)
    assert dict(zip(found.sample_F.tolist(), found.other_F.tolist(), strict=True)) == {2: 0, 0: 4, 4: 0, 1: 3, 3: 1}


def test_without_splits_or_copies_nothing_is_leaked():
    for found in (find_leaked(near([2, 0]), UNEQUAL, []), find_leaked(near(), UNEQUAL, labeled().split_N)):
        assert len(found.sample_F) == 0
    assert len(find_leaked(near([2, 4], [0, 1]), UNEQUAL, labeled().split_N).sample_F) == 0


def test_figures_of_each_split_by_hand():
    catalogue = labeled()
    verdicts = verdicts_with([0.75, 0.25, 0.0, 0.0, 0.5, np.nan], [0, 4, 1, 2, 3])
    leaked = find_leaked(near([2, 0], [1, 5]), UNEQUAL, catalogue.split_N)
    train, test = split_figures(catalogue, verdicts, leaked)
    assert (train.name, train.samples, train.suspicious, train.leaked, train.contradicting) == ("train", 4, 0, 2, 1)
    assert (test.name, test.samples, test.suspicious, test.leaked, test.contradicting) == ("test", 2, 1, 2, 1)
    assert (train.noise_rate, test.noise_rate) == (0.5 / 3, 0.5)
    assert split_figures(replace(catalogue, split=("train",)), verdicts, leaked) == ()


@pytest.mark.parametrize(
    ("train", "val", "apart"),
    [
        ([30, 30], [30, 10], ("val",)),
        ([30, 30], [30, 30], ("train", "val")),
        ([30, 29], [1, 1], ()),  # the second class is rare in the other split
        ([30, 29], [9, 0], ("val",)),  # and not in this one
        ([30, 30], [30, 31], ("train",)),
        ([0, 0], [30, 31], ()),
    ],
)
def test_splits_are_judged_by_others_that_have_enough_of_each_class(train, val, apart):
    label_N = np.repeat([0, 1, 0, 1], [*train, *val]).astype(np.int32)
    split_N = ("train",) * sum(train) + ("val",) * sum(val)
    catalogue = replace(catalogue_of(["x"] * len(label_N)), label_N=label_N, split=("train", "val"), split_N=split_N)
    assert judged_apart(catalogue) == apart
    assert judged_apart(replace(catalogue, split=("train",))) == ()
