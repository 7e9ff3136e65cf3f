import numpy as np
import pytest

from labelaudit.data.folder import scan
from labelaudit.data.labels_file import read_labels
from labelaudit.data.votes import Annotations, Vote, majority
from labelaudit.errors import DataError
from tests.data.helpers import plain_png, write_files


def labels_csv(folder, *lines):
    file = folder / "labels.csv"
    file.write_text("\n".join(["path,label,annotator", *lines]) + "\n")
    return file


def test_the_majority_by_hand():
    """Ann agrees with 3 of 4 others (trust 4/6), Bob with 2 of 3 (3/5), Cid with 1 of 3 (2/5)."""
    votes = [Vote("1", "ann", "x"), Vote("1", "bob", "x"), Vote("1", "cid", "y"), Vote("2", "ann", "y")]
    votes += [Vote("2", "cid", "y"), Vote("3", "bob", "a"), Vote("3", "ann", "z"), Vote("4", "dot", "w")]
    assert majority(votes) == ({"1": "x", "2": "y", "3": "z", "4": "w"}, 1)
    swapped = [
        vote._replace(annotator={"ann": "bob", "bob": "ann"}.get(vote.annotator, vote.annotator)) for vote in votes
    ]
    assert majority(swapped)[0] == {"1": "x", "2": "y", "3": "z", "4": "w"}
    assert majority([*swapped[:5], Vote("3", "cid", "a"), Vote("3", "ann", "z")])[0]["3"] == "z"


def test_annotators_who_share_no_image_are_tied_by_the_label():
    assert majority([Vote("1", "ann", "y"), Vote("1", "bob", "x")]) == ({"1": "x"}, 1)


def test_votes_are_read_and_numbered(tmp_path):
    images = {f"{name}.png": plain_png() for name in "abcd"}
    root = write_files(tmp_path / "images", images)
    lines = ["b.png,dog,bo", "a.png,cat,bo", "a.png,cat,ann", "a.png,otter,cy", "c.png,cat,ann", "d.png,dog,ann"]
    file = labels_csv(tmp_path, *lines)
    table = read_labels(file, root, list(images))
    assert table.label_of == {"b.png": "dog", "a.png": "cat", "c.png": "cat", "d.png": "dog"}
    assert table.notes == [f"6 labels by 3 annotators in {file}: each of 4 images has the label of most"]
    assert table.warnings == [f"1 label is of no class in {file}, as 'otter': no image has it from most"]
    spelled = read_labels(labels_csv(tmp_path, "a.png,cat,Ann", "b.png,cat,ann", "b.png,dog,Ann"))
    assert "the annotators 'Ann' and 'ann' in" in spelled.warnings[0]
    assert spelled.notes[0].endswith("; 1 tie goes to those whom the others agree with most")
    catalogue = scan(root, labels_file=labels_csv(tmp_path, *lines))
    assert catalogue.classes == ("cat", "dog")
    assert catalogue.label_N.tolist() == [0, 1, 0, 1]
    sample_V, annotator_V, label_V = catalogue.annotations.numbers(catalogue.classes)
    assert catalogue.annotations.annotators == ("ann", "bo", "cy")
    assert sample_V.tolist() == [0, 0, 0, 1, 2, 3]
    assert annotator_V.tolist() == [0, 1, 2, 1, 0, 0]
    assert label_V.tolist() == [0, 0, -1, 1, 0, 1]


def test_another_vote_is_other_data_also_with_the_same_majority(tmp_path):
    root = write_files(tmp_path / "images", {f"{name}.png": plain_png() for name in "ab"})
    fingerprints = {
        scan(root, labels_file=labels_csv(tmp_path, "a.png,cat,ann", "a.png,cat,bo", last, "b.png,dog,bo")).fingerprint
        for last in ("a.png,cat,cy", "a.png,dog,cy", "a.png,dog,di")
    }
    assert len(fingerprints) == 3
    plain = tmp_path / "plain.csv"
    plain.write_text("path,label\na.png,cat\nb.png,dog\n")
    assert scan(root, labels_file=plain).annotations is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png,cat,", r"line 3: no annotator for 'a\.png'; name who gave the label"),
        ("a.png,dog,ann", r"line 3: 'a\.png' appears twice for annotator 'ann'; keep one label per file and annotator"),
        ("a.png,,bo", r"line 3: no label for 'a\.png'"),
        ("a.png,cat,bo,di", r"line 3: 4 cells for 3 columns"),
    ],
)
def test_a_row_of_bad_form_is_refused_with_its_line(tmp_path, line, message):
    with pytest.raises(DataError, match=message):
        read_labels(labels_csv(tmp_path, "a.png,cat,ann", line))


def test_numbers_of_annotations_do_not_depend_on_the_order_of_the_rows():
    rows = [(2, "bo", "dog"), (0, "ann", "cat"), (0, "bo", "dog")]
    one, other = (Annotations.of(each).numbers(("cat", "dog")) for each in (rows, rows[::-1]))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, [[0, 0, 2], [0, 1, 1], [0, 1, 1]])
