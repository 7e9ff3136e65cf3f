import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.cells import csv_lines
from labelaudit.data.folder import scan
from labelaudit.data.labels_file import read_labels, read_labels_csv
from labelaudit.errors import DataError
from tests.data.helpers import plain_png, write_files


def labels_csv(folder, text):
    file = folder / "labels.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_paths_and_labels_come_in_the_order_of_the_file(tmp_path):
    file = labels_csv(tmp_path, "path,label\nb/2.png,dog\na/1.png,cat\n")
    assert list(read_labels_csv(file).items()) == [("b/2.png", "dog"), ("a/1.png", "cat")]


def test_other_columns_any_order_blank_lines_and_spaces_do_not_matter(tmp_path):
    file = labels_csv(tmp_path, "label,split,path\n cat ,train,a.png\n\ndog,test,b.png\n")
    assert read_labels_csv(file) == {"a.png": "cat", "b.png": "dog"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"\xef\xbb\xbfpath,label\na.png,cat\n", id="byte-order-mark"),
        pytest.param(b"path,label\r\na.png,cat\r\n", id="crlf"),
        pytest.param(b"path,label\ra.png,cat\r", id="cr"),
        pytest.param(b"path,label\na.png,cat", id="no-last-line-end"),
        pytest.param(b'"path","label"\n"a.png","cat"\n', id="quoted"),
        pytest.param(b"path,label\n./a.png,cat\n", id="dot"),
        pytest.param(b"path;label;note\na.png;cat;a, b\n", id="semicolons"),
        pytest.param(b'label;path\n"cat";"a.png"\n', id="quoted-semicolons"),
        pytest.param(b"\xef\xbb\xbfsep=;\r\npath;label\r\na.png;cat\r\n", id="separator-line"),
        pytest.param(b"\xef\xbb\xbf\xef\xbb\xbfpath,label\na.png,cat\n", id="two-byte-order-marks"),
        pytest.param("path\tlabel\r\na.png\tcat\r\n".encode("utf-16"), id="utf-16-tabs"),
        pytest.param(b'path, label\na.png, "cat"\n', id="spaces"),
        pytest.param(b"path,label,\na.png,cat,,\n,,\n", id="surplus-commas"),
        pytest.param(b"File_Name,Class\na.png,cat\n", id="other-names"),
    ],
)
def test_what_spreadsheets_make_of_a_csv_is_read(tmp_path, text):
    assert read_labels_csv(labels_csv(tmp_path, text)) == {"a.png": "cat"}


@pytest.mark.parametrize("character", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_the_line_ends_of_csv_end_a_line(tmp_path, character):
    file = labels_csv(tmp_path, f"path,label\na{character}b.png,cat\n")
    assert read_labels_csv(file) == {f"a{character}b.png": "cat"}


names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1).filter(
    lambda name: name.strip() and name not in (".", "..")
)


def test_names_that_were_guarded_from_spreadsheets_are_what_they_were(tmp_path):
    file = labels_csv(tmp_path, "path,label\n'=1.png,'-cat\n''=1.png,'tis\n=2.png,+raw\n")
    assert read_labels_csv(file) == {"=1.png": "-cat", "'=1.png": "'tis", "=2.png": "+raw"}


@given(st.dictionaries(names | names.map('a,"b"\nc\r{}\u2028'.format), names.map(str.strip), min_size=1))
def test_every_name_survives_the_csv(tmp_path_factory, labels):
    text = io.StringIO(newline="")
    text.writelines(csv_lines(("path", "label"), labels.items()))
    file = labels_csv(tmp_path_factory.getbasetemp(), text.getvalue())
    assert read_labels_csv(file) == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\na.png\n", r"has no column label \(its first line has 'path'\)\W its first line must name"),
        ("id,breed\na.png,cat\n", r"has no column path and no column label"),
        ("", r"has no column path and no column label"),
        ("path,label\n", r"lists no files\W give one line per image"),
        ("path,label\na.png,cat\na.png,dog\n", r"line 3: 'a\.png' is there twice\W keep one label a file"),
        ("path,label\na/b.png,cat\na//./b.png,cat\n", r"line 3: 'a/b\.png' is there twice"),
        ("path,label\na.png,cat\n,dog\n", r"line 3: no path"),
        ("path,label\na.png,\n", r"line 2: no label for 'a\.png'"),
        ("path,label\na.png,  \n", r"line 2: no label for 'a\.png'"),
        ("path,label\na.png\n", r"line 2: no label for 'a\.png'"),
        ("path,label\n/etc/a.png,cat\n", r"line 2: '/etc/a\.png' leads out of the image folder\W give paths below"),
        ("path,label\n../a.png,cat\n", r"'\.\./a\.png' leads out of the image folder"),
        ("path,label\na/../../b.png,cat\n", r"leads out of the image folder"),
        ("path,label\na\0.png,cat\n", r"leads out of the image folder|is not a readable CSV"),
        ('path,label\n"a.png,cat\n', r"is not a readable CSV"),
        (b"path,label\n\xff.png,cat\n", r"is not UTF-8 text\W save it as CSV in UTF-8"),
        ("path,label\na.png,fox, red\n", r"line 2: 3 cells for 2 columns\W put quotes"),
        ("path;label\na.png;fox\nb.png;fox;red\n", r"line 3: 3 cells for 2 columns"),
        ("path,label,label\na.png,cat,dog\n", r"line 1: the columns 'label' and 'label' are for the same"),
        ("Path,file,image,class\na.png,b,c,cat\n,,,dog\n", r"line 3: no path"),
        ("file,image,class\na.png,b.png,cat\n", r"line 1: the columns 'file' and 'image' are for the same"),
        ("path,label\nC:\\data\\a.png,cat\n", r"leads out of the image folder"),
    ],
)
def test_an_unusable_file_is_refused_with_the_place(tmp_path, text, message):
    file = labels_csv(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_labels_csv(file)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the labels file .*labels\.csv: (?i:no such file)"):
        read_labels_csv(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("listed", "meant"),
    [
        ("cat\\0.png", "cat/0.png"),
        ("C:\\data\\images\\cat\\0.png", "cat/0.png"),
        ("/somewhere/else/cat/0.png", "cat/0.png"),
        ("images/cat/0.png", "cat/0.png"),
        ("{root}/cat/0.png", "cat/0.png"),
        ("cat/0", "cat/0.png"),
        ("Cat/0.PNG", "cat/0.png"),
        (" cat/0.png", "cat/0.png"),
        ("dog/cafe\u0301.png", "dog/caf\u00e9.png"),
        ("x" * 300 + "/cat/0.png", "cat/0.png"),
        ("cat/../dog/x.png", None),
        ("/etc/passwd", None),
    ],
)
def test_paths_of_other_programs_are_matched_with_the_folder(tmp_path, listed, meant):
    root = write_files(tmp_path / "images", {"cat/0.png": b"", "dog/caf\u00e9.png": b"", "back\\slash.png": b""})
    images = ["cat/0.png", "dog/caf\u00e9.png", "back\\slash.png"]
    listed = listed.format(root=root)
    file = labels_csv(tmp_path, f"path,label\nback\\slash.png,owl\n{listed},cat\n")
    if meant is None:
        with pytest.raises(DataError, match=r"line 3: .* leads out of the image folder"):
            read_labels(file, root, images)
        return
    found = read_labels(file, root, images)
    assert found.label_of == {"back\\slash.png": "owl", meant: "cat"}
    assert f"as {meant!r} for {listed!r}" in found.notes[0]


def test_folders_before_a_path_that_are_there_are_not_taken_off(tmp_path):
    root = write_files(tmp_path / "images", {"0.png": b"", "val/1.png": b""})
    write_files(tmp_path / "other", {"0.png": b""})
    for listed in ("val/0.png", "other/0.png"):
        file = labels_csv(tmp_path, f"path,label\n{listed},cat\n")
        assert read_labels(file, root, ["0.png", "val/1.png"]).label_of == {listed: "cat"}
    file = labels_csv(tmp_path, "path,label\n../images/0.png,cat\n")
    assert read_labels(file, root, ["0.png"]).label_of == {"0.png": "cat"}


@pytest.mark.parametrize(
    ("listed", "meant"),
    [
        ("cat/my%20cat.png", "cat/my cat.png"),
        ("cat%2Fa.png", "cat/a.png"),
        ("https://host/set/cat/my%20cat.png", "cat/my cat.png"),
        ("my cat.png", "cat/my cat.png"),
        ("a.png", "a.png"),  # there are two
        ("my%20cat.png", "my%20cat.png"),
    ],
)
def test_encoded_paths_and_bare_names_are_taken_where_they_are_certain(tmp_path, listed, meant):
    images = ["cat/a.png", "cat/my cat.png", "dog/a.png"]
    file = labels_csv(tmp_path, f"path,label\n{listed},cat\n")
    root = write_files(tmp_path / "images", dict.fromkeys(images, b""))
    assert list(read_labels(file, root, images).label_of)[-1] == meant


@pytest.mark.parametrize(
    ("listed", "fix"),
    [
        ("cat/a.jpg", "if 'cat/a.png' is meant, write that"),
        ("'cat/a.png", "if 'cat/a.png' is meant, write that"),
        ("b.png", "give paths below the folder, as 'cat/a.png'"),
    ],
)
def test_a_file_none_of_whose_paths_is_there_is_refused(tmp_path, listed, fix):
    root = write_files(tmp_path / "images", {"cat/a.png": plain_png(), "dog/a.png": plain_png()})
    with pytest.raises(DataError, match=f"none of the 1 paths in .* leads to a file .*{fix}"):
        scan(root, labels_file=labels_csv(tmp_path, f"path,label\n{listed},cat\n"))


@pytest.mark.parametrize(("one", "other"), [("CAT", "cat"), ("1", "1.0"), ("\u00e9", "e\u0301")])
def test_labels_that_look_like_one_are_warned_of(tmp_path, one, other):
    (warning,) = read_labels(labels_csv(tmp_path, f"path,label\na.png,{one}\nb.png,{other}\nc.png,2\n")).warnings
    assert "are two classes; if one is meant, write them alike" in warning


def test_lines_are_counted_from_the_first(tmp_path):
    with pytest.raises(DataError, match="line 3: no label"):
        read_labels(labels_csv(tmp_path, "sep=;\npath;label\na.png;\n"))


def test_labels_that_look_like_none_or_several_are_warned_of(tmp_path):
    none, several = read_labels(
        labels_csv(tmp_path, "path,label\na.png,cat\nb.png,nan\nc.png,cat|dog\nd.png,a|b\n")
    ).warnings
    assert "labels.csv are 'nan'," in none
    assert "look like several, as 'cat|dog'" in several
