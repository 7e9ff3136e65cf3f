from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from labelaudit.data.catalogue import LONELY, in_parallel, trainable
from labelaudit.errors import DataError
from tests.data.helpers import catalogue_of

SIX = [0, 0, 0, 1, 1, 1]


def test_threads_work_a_few_parts_ahead_only(monkeypatch):
    monkeypatch.setattr("labelaudit.data.catalogue.READERS", 1)
    work = mock.Mock(side_effect=list)
    stream = in_parallel(range(150), work, 1)
    next(stream)
    assert work.call_count <= 3
    assert len(list(stream)) == 149


def test_the_fingerprint_depends_on_paths_labels_and_contents_only():
    catalogue = catalogue_of(SIX)
    others = [
        replace(catalogue, paths=(*catalogue.paths[:5], "cat/other.png")),
        replace(catalogue, label_N=np.array([0, 0, 1, 1, 1, 1], dtype=np.int32)),
        replace(catalogue, sha256=(*catalogue.sha256[:5], "f" * 64)),
        replace(catalogue, classes=("cat", "wolf")),
        catalogue_of(SIX[:-1]),
    ]
    assert len({each.fingerprint for each in (catalogue, *others)}) == 6
    assert replace(catalogue, root=Path("/elsewhere")).fingerprint == catalogue.fingerprint
    assert catalogue.set_aside({0: "damaged"}).fingerprint == catalogue.fingerprint


def test_size_and_colour_are_those_of_the_readable_images():
    sizes = {"width_N": np.array([10, 50, 30, 2]), "height_N": np.array([40, 20, 30, 2])}
    grey_N = np.array([True, True, True, False])
    catalogue = catalogue_of([0, 0, 1, 1], **sizes, grey_N=grey_N, reasons=["", "", "", "damaged"])
    assert (catalogue.median_short_side, catalogue.is_grey) == (20, True)
    assert not replace(catalogue, reasons=("",) * 4).is_grey
    assert catalogue_of([0, 1], reasons=["damaged"] * 2).median_short_side == 0


def test_data_that_cannot_be_trained_on_are_refused():
    for catalogue, text in (
        (
            catalogue_of([0, 1], reasons=["empty file", "damaged: x"]),
            "none of the 2 images in /data can be read (cat/0.png: empty file); check that the files are images and",
        ),
        (catalogue_of([0, 0], classes=("cat",)), "/data has one class only ('cat'); an audit compares classes: give"),
        (
            catalogue_of([0, 0, 1, 1], reasons=["", "", "", "damaged"]),
            "/data: fewer than two readable images in class 'dog'; a label can only be judged from other images",
        ),
        (catalogue_of([0, 0, 1, 2, 3, 4, 5], classes="abcdef"), "class 'b', 'c', 'd' and 2 more; a label can only"),
    ):
        with pytest.raises(DataError) as caught:
            trainable(catalogue)
        assert text in str(caught.value)


def test_classes_of_one_readable_image_are_set_aside_with_a_warning():
    trainable(catalogue_of(SIX).set_aside({0: "damaged", 3: "damaged"}))
    reasons = [*[""] * 5, "damaged", "", "a pointer", "a pointer"]
    found = trainable(catalogue_of([0, 0, 1, 1, 2, 2, 3, 4, 4], classes="abcde", reasons=reasons))
    assert found.reasons == ("", "", "", "", LONELY, "damaged", LONELY, "a pointer", "a pointer")
    lonely, unread = found.warnings
    assert lonely.startswith("the classes 'c', 'd' are not in the audit: one readable image only")
    assert unread == "class 'e' is not in the audit: no image can be read (a pointer)"
    assert catalogue_of([0, 0, 1, 1]).warnings == []
