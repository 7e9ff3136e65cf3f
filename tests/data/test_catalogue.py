from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.data.catalogue import LONELY, trainable
from labelaudit.errors import DataError
from tests.data.helpers import catalogue_of

SIX = [0, 0, 0, 1, 1, 1]


def with_item(values, place, value):
    return (*values[:place], value, *values[place + 1 :])


def test_fingerprint_tells_apart_paths_labels_and_contents():
    catalogue = catalogue_of(SIX)
    others = [
        replace(catalogue, paths=with_item(catalogue.paths, 2, "cat/other.png")),
        replace(catalogue, label_N=np.array([0, 0, 1, 1, 1, 1], dtype=np.int32)),
        replace(catalogue, sha256=with_item(catalogue.sha256, 2, "f" * 64)),
        replace(catalogue, classes=("cat", "wolf")),
        catalogue_of(SIX[:-1]),
    ]
    fingerprints = [catalogue.fingerprint] + [other.fingerprint for other in others]
    assert len(set(fingerprints)) == len(fingerprints)
    assert all(len(fingerprint) == 64 and int(fingerprint, 16) for fingerprint in fingerprints)


def test_fingerprint_does_not_depend_on_the_place_or_on_what_was_set_aside():
    catalogue = catalogue_of(SIX)
    assert replace(catalogue, root=Path("/elsewhere")).fingerprint == catalogue.fingerprint
    assert catalogue.set_aside({0: "damaged"}).fingerprint == catalogue.fingerprint


@given(st.dictionaries(st.integers(0, 5), st.text(min_size=1)))
def test_setting_aside_marks_these_samples_and_no_others(reasons):
    catalogue = catalogue_of(SIX).set_aside(reasons)
    assert set(np.flatnonzero(~catalogue.readable_N).tolist()) == set(reasons)
    assert {sample: catalogue.reasons[sample] for sample in reasons} == reasons
    assert len(catalogue) == 6


def test_the_first_reason_stays_and_the_original_is_untouched():
    first = catalogue_of(SIX).set_aside({1: "empty file"})
    second = first.set_aside({1: "later", 2: "damaged"})
    assert second.reasons == ("", "empty file", "damaged", "", "", "")
    assert first.reasons == ("", "empty file", "", "", "", "")
    assert first.set_aside({}) is first


def test_median_short_side_counts_readable_pictures_only():
    catalogue = catalogue_of(
        [0, 0, 1, 1],
        width_N=np.array([10, 50, 30, 2], dtype=np.int32),
        height_N=np.array([40, 20, 30, 2], dtype=np.int32),
        reasons=["", "", "", "damaged"],
    )
    assert catalogue.median_short_side == 20
    assert catalogue_of([0, 1], reasons=["damaged"] * 2).median_short_side == 0


def test_one_readable_picture_with_colour_makes_the_data_coloured():
    grey_N = np.array([True, False, True])
    assert not catalogue_of([0, 0, 1], grey_N=grey_N).is_grey
    assert catalogue_of([0, 0, 1], grey_N=grey_N, reasons=["", "damaged", ""]).is_grey


def test_two_classes_of_two_readable_pictures_can_be_trained_on():
    trainable(catalogue_of([0, 0, 1, 1]))
    trainable(catalogue_of([0, 0, 0, 1, 1, 1]).set_aside({0: "damaged", 3: "damaged"}))


def test_data_without_a_readable_picture_is_refused_with_an_example():
    with pytest.raises(DataError) as caught:
        trainable(catalogue_of([0, 1], reasons=["empty file", "damaged: x"]))
    assert caught.value.what == "none of the 2 images in /data can be read (cat/0.png: empty file)"
    assert caught.value.fix == "check that the files are images and that you may read them"


def test_a_single_class_is_refused_by_name():
    with pytest.raises(DataError) as caught:
        trainable(catalogue_of([0, 0, 0], classes=("cat",)))
    assert caught.value.what == "/data has one class only ('cat')"
    assert "at least two class folders" in caught.value.fix


def test_one_class_of_two_readable_pictures_is_refused_and_the_others_named():
    with pytest.raises(DataError) as caught:
        trainable(catalogue_of([0, 0, 1, 1], reasons=["", "", "", "damaged"]))
    assert caught.value.what == "/data: fewer than two readable images in class 'dog'"
    assert "in at least two classes: add images" in caught.value.fix
    with pytest.raises(DataError, match="class 'b', 'c', 'd' and 2 more"):
        trainable(catalogue_of([0, 0, 1, 2, 3, 4, 5], classes="abcdef"))


def test_classes_of_one_readable_picture_are_set_aside_with_a_warning():
    reasons = [*[""] * 5, "damaged", "", "a pointer", "a pointer"]
    found = trainable(catalogue_of([0, 0, 1, 1, 2, 2, 3, 4, 4], classes="abcde", reasons=reasons))
    assert found.reasons == ("", "", "", "", LONELY, "damaged", LONELY, "a pointer", "a pointer")
    lonely, unread = found.warnings
    assert lonely.startswith("the classes 'c', 'd' are not in the audit: one readable image only")
    assert unread == "class 'e' is not in the audit: no image can be read (a pointer)"
    assert catalogue_of([0, 0, 1, 1]).warnings == []
