import pytest

from labelaudit.data.folder import scan
from labelaudit.data.labels_file import Vote, majority, read_labels
from labelaudit.errors import DataError
from tests.data.helpers import labels_csv, plain_png, write_files


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfpath,label\na.png,cat\n",
        b"path,label\r\na.png,cat\r\n",
        b"path,label\ra.png,cat\r",
        b"path;label;note\na.png;cat;a, b\n",
        "path\tlabel\r\na.png\tcat\r\n".encode("utf-16"),
        b'path, label\na.png, "cat"\n',
        b"path,label,\na.png,cat,,\n,,\n",
        b"File_Name,Class\na.png,cat\n",
    ],
)
def test_variants_of_csv_from_spreadsheets_are_read(tmp_path, text):
    assert read_labels(labels_csv(tmp_path, text)).label_of == {"a.png": "cat"}


def test_names_are_read_as_they_are_and_without_the_guard_against_formulas(tmp_path):
    for character in "\u2028\x85\x0b\x0c\x1c":  # only the line ends of CSV end a line
        file = labels_csv(tmp_path, f"path,label\na{character}b.png,cat\n")
        assert read_labels(file).label_of == {f"a{character}b.png": "cat"}
    file = labels_csv(tmp_path, "path,label\n'=1.png,'-cat\n''=1.png,'tis\n=2.png,+raw\n")
    assert read_labels(file).label_of == {"=1.png": "-cat", "'=1.png": "'tis", "=2.png": "+raw"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\na.png\n", r"has no column label \(its first line has 'path'\)\W its first line must name"),
        ("", r"has no column path and no column label \(its first line has nothing\)"),
        ("path,label\n", r"lists no files\W give one line per image: path,label"),
        ("path,label\na/b.png,cat\na//./b.png,cat\n", r"line 3: 'a/b\.png' appears twice\W keep one label per file"),
        ("path,label\na.png,cat\n,dog\n", r"line 3: no path; give the path of an image"),
        ("path,label\na.png,\n", r"line 2: no label for 'a\.png'; give its label"),
        ("path,label\n/etc/a.png,cat\n", r"line 2: '/etc/a\.png' leads out of the image folder\W give paths below"),
        ("path,label\na/../../b.png,cat\n", r"leads out of the image folder"),
        ("path,label\na\0.png,cat\n", r"leads out of the image folder|is not a readable CSV"),
        ('path,label\n"a.png,cat\n', r"is not a readable CSV from line 2 on"),
        (b"path,label\n\xff.png,cat\n", r"is not UTF-8 text\W save it as CSV in UTF-8"),
        ("path,label\na.png,fox, red\n", r"line 2: 3 cells for 2 columns\W put quotes"),
        ("path,label,split\na.png,cat,\n", r"line 2: '' is no split for 'a\.png'; give each image one, as train"),
        ("path,label,split\na.png,cat,a=b\n", r"line 2: 'a=b' is no split"),
        (
            "path,label,annotator,split\na.png,cat,bo,x\na.png,cat,di,y\n",
            r"line 3: 'y' is no split for 'a\.png', which is in x above",
        ),
        ("path,label,annotator\na.png,cat,\n", r"line 2: no annotator for 'a\.png'; name who gave the label"),
        (
            "path,label,annotator\na.png,cat,ann\na.png,dog,ann\n",
            r"line 3: 'a\.png' appears twice for annotator 'ann'; keep one label per file and annotator",
        ),
        ("path,label,annotator\na.png,cat,bo,di\n", r"line 2: 4 cells for 3 columns"),
        ("file,image,class\na.png,b.png,cat\n", r"line 1: the columns 'file' and 'image' mean the same"),
    ],
)
def test_an_unusable_file_is_refused_with_the_place(tmp_path, text, message):
    file = labels_csv(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_labels(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("listed", "meant"),
    [
        ("cat\\0.png", "cat/0.png"),
        ("C:\\data\\images\\cat\\0.png", "cat/0.png"),
        ("/somewhere/else/cat/0.png", "cat/0.png"),
        ("{root}/cat/0.png", "cat/0.png"),
        ("cat/0", "cat/0.png"),
        ("dog/cafe\u0301.png", "dog/caf\u00e9.png"),
        ("x" * 300 + "/cat/0.png", "cat/0.png"),
        ("cat/my%20cat.png", "cat/my cat.png"),
        ("https://host/set/cat/my%20cat.png", "cat/my cat.png"),
        ("my cat.png", "cat/my cat.png"),
    ],
)
def test_paths_of_other_programs_are_matched_with_the_folder(tmp_path, listed, meant):
    images = ["cat/0.png", "dog/0.png", "dog/caf\u00e9.png", "back\\slash.png", "cat/my cat.png"]
    root = write_files(tmp_path / "images", dict.fromkeys(images, b""))
    listed = listed.format(root=root)
    found = read_labels(labels_csv(tmp_path, f"path,label\nback\\slash.png,owl\n{listed},cat\n"), root, images)
    assert found.label_of == {"back\\slash.png": "owl", meant: "cat"}
    assert f"as {meant!r} for {listed!r}" in found.notes[0]


def test_ambiguous_paths_are_not_changed(tmp_path):
    images = ["cat/0.png", "dog/0.png", "1.png", "val/1.png"]
    root = write_files(tmp_path / "images", dict.fromkeys(images, b""))
    write_files(tmp_path / "other", {"1.png": b""})
    for listed in ("0.png", "my%20cat.png", "val/0.png", "other/1.png"):
        file = labels_csv(tmp_path, f"path,label\n{listed},cat\n")
        assert list(read_labels(file, root, images).label_of) == [listed]
    file = labels_csv(tmp_path, "path,label\n../images/1.png,cat\n")
    assert list(read_labels(file, root, images).label_of) == ["1.png"]
    for listed in ("cat/../dog/x.png", "/etc/passwd"):
        with pytest.raises(DataError, match=r"line 2: .* leads out of the image folder"):
            read_labels(labels_csv(tmp_path, f"path,label\n{listed},cat\n"), root, images)


def test_a_column_makes_splits_of_which_some_may_be_asked_for(tmp_path):
    root = write_files(tmp_path / "images", {f"{name}.png": plain_png() for name in "abcd"})
    rows = ("a.png,cat,test,x", "b.png,cat,train,x", "c.png,dog,extra,x", "d.png,dog,train,y", "d.png,cat,train,x")
    file = labels_csv(tmp_path, "\n".join(("path,label,Split,annotator", *rows)))
    whole = scan(root, labels_file=file)
    assert (whole.splits, whole.split_N) == (("extra", "train", "test"), ("test", "train", "extra", "train"))
    some = scan(root, labels_file=file, split=["test", "train"])
    assert (some.splits, some.paths) == (("test", "train"), ("a.png", "b.png", "d.png"))
    assert [(row.reason, row.files) for row in some.left_out] == [("outside the folders of --split", 1)]
    assert len(some.annotations.rows) == 4
    with pytest.raises(DataError, match=r"there is no val in the column split of .*; there are: extra, train, test"):
        scan(root, labels_file=file, split=["val"])
    # Other splits are other data, though the labels are the same.
    file.write_text(file.read_text().replace("b.png,cat,train", "b.png,cat,test"))
    assert scan(root, labels_file=file).fingerprint != whole.fingerprint


def test_suspicious_labels_are_warned_of(tmp_path):
    for one, other in (("CAT", "cat"), ("1", "1.0"), ("\u00e9", "e\u0301")):
        (warning,) = read_labels(labels_csv(tmp_path, f"path,label\na.png,{one}\nb.png,{other}\nc.png,2\n")).warnings
        assert "are two classes; if one is meant, write them alike" in warning
    text = "path,label\na.png,cat\nb.png,nan\nc.png,cat|dog\nd.png,a|b\n"
    none, several = read_labels(labels_csv(tmp_path, text)).warnings
    assert none.startswith("1 label is 'nan' in ")
    assert several.startswith("1 label looks like several in ")


def test_a_file_without_a_path_of_the_folder_is_refused(tmp_path):
    root = write_files(tmp_path / "images", {"cat/a.png": plain_png(), "dog/a.png": plain_png()})
    meant = "if 'cat/a.png' is meant, write that"
    below = "give paths below the folder, as 'cat/a"
    for listed, fix in (("cat/a.jpg", meant), ("'cat/a.png", meant), ("b.png", below)):
        with pytest.raises(DataError, match=f"none of the 1 paths in .* leads to a file .*{fix}"):
            scan(root, labels_file=labels_csv(tmp_path, f"path,label\n{listed},cat\n"))


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
