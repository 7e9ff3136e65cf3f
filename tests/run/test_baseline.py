"""Reading the suspicious labels of an earlier audit."""

import csv
from pathlib import Path

import pytest

from labelaudit.errors import DataError, RunError
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import read_baseline


def write(file: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = ("path", "given_label", "sha256")) -> Path:
    with open(file, "w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])
    return file


def test_hash_and_label_are_read_whatever_the_other_columns_are(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", [("new\nline.png", 'a,"b"\r\nc', "ff"), ("x", "猫", "ee"), ("y", "猫", "ee")])
    assert read_baseline(file) == {("ff", 'a,"b"\r\nc'), ("ee", "猫")}
    more = write(tmp_path / "b.csv", [("ff", "1", "ant")], ("sha256", "kind", "given_label"))
    assert read_baseline(more) == {("ff", "ant")}


def test_a_list_without_rows_is_an_empty_baseline(tmp_path: Path) -> None:
    assert read_baseline(write(tmp_path / "a.csv", [])) == frozenset()


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("\ufeffsha256,given_label\nff,ant\n".encode())
    assert read_baseline(tmp_path / "a.csv") == {("ff", "ant")}


def test_a_run_folder_stands_for_its_list(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_description({"status": "trained"})
    with pytest.raises(RunError, match="has no verdicts yet; run labelaudit fit"):
        read_baseline(tmp_path)
    write(folder.suspicious, [("a.png", "ant", "ff")])
    assert read_baseline(tmp_path) == {("ff", "ant")}


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        read_baseline(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.csv has no column given_label and sha256"),
        (b"path,given_label\na,ant\n", r"a\.csv has no column sha256"),
        (b"given_label,sha256\nant,\n", r"a\.csv line 2 has no content hash"),
        (b"given_label,sha256\nant\n", r"a\.csv line 2 has no content hash"),
        (b"sha256,given_label\nff\n", r"a\.csv line 2 has no content hash"),
        (b"given_label,sha256\n\xff,ff\n", "is not a list of suspicious labels"),
        (b'given_label,sha256\n"cut,ff', "is not a list of suspicious labels"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_baseline(tmp_path / "a.csv")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*nowhere\.csv: no such file or directory; give a run folder or"):
        read_baseline(tmp_path / "nowhere.csv")
