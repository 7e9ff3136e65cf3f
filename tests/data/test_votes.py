from labelaudit.data.folder import scan
from labelaudit.data.labels_file import read_labels
from labelaudit.data.votes import Vote, majority
from tests.data.helpers import labels_csv, plain_png, write_files


def votes_csv(folder, *lines):
    return labels_csv(folder, "\n".join(["path,label,annotator", *lines]) + "\n")


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
    file = votes_csv(tmp_path, *lines)
    table = read_labels(file, root, list(images))
    assert table.label_of == {"b.png": "dog", "a.png": "cat", "c.png": "cat", "d.png": "dog"}
    assert table.notes == [f"6 labels by 3 annotators in {file}: each of 4 images has the label of most"]
    assert table.warnings == [f"1 label is of no class in {file}, as 'otter': no image has it from most"]
    spelled = read_labels(votes_csv(tmp_path, "a.png,cat,Ann", "b.png,cat,ann", "b.png,dog,Ann"))
    assert "the annotators 'Ann' and 'ann' in" in spelled.warnings[0]
    assert spelled.notes[0].endswith("; 1 tie goes to those whom the others agree with most")
    catalogue = scan(root, labels_file=votes_csv(tmp_path, *lines))
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
        scan(root, labels_file=votes_csv(tmp_path, "a.png,cat,ann", "a.png,cat,bo", last, "b.png,dog,bo")).fingerprint
        for last in ("a.png,cat,cy", "a.png,dog,cy", "a.png,dog,di")
    }
    assert len(fingerprints) == 3
    plain = labels_csv(tmp_path, "path,label\na.png,cat\nb.png,dog\n")
    assert scan(root, labels_file=plain).annotations is None
