import errno
import math
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.errors import RunError, StorageError
from labelaudit.run.files import (
    read_json,
    storage_errors,
    write_atomically,
    write_bytes,
    write_json,
    write_lines,
    write_text,
)
from tests.run.helpers import names_in, room_for


@pytest.fixture
def file(tmp_path):
    """A file with something in it, alone in its folder."""
    path = tmp_path / "run" / "noise.json"
    path.parent.mkdir()
    path.write_text("old")
    return path


def half_then(error):
    def write(partial):
        partial.write_text("half of the n")
        raise error

    return write


def refused(code):
    return OSError(code, os.strerror(code))


def test_a_file_is_written_whole_and_alone(file):
    write_atomically(file, lambda partial: partial.write_text("new"))
    assert file.read_text() == "new"
    assert names_in(file.parent) == ["noise.json"]


def test_a_file_that_was_not_there_appears(file):
    write_atomically(file.with_name("new.json"), lambda partial: partial.write_text("new"))
    assert names_in(file.parent) == ["new.json", "noise.json"]


def test_until_the_writer_is_done_the_old_file_is_there(file):
    def write(partial):
        partial.write_text("new")
        assert partial.parent == file.parent
        assert file.read_text() == "old"

    write_atomically(file, write)
    assert file.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), refused(errno.EIO)], ids=repr)
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(file, error):
    with pytest.raises((type(error), StorageError)):
        write_atomically(file, half_then(error))
    assert file.read_text() == "old"
    assert names_in(file.parent) == ["noise.json"]


def test_errors_that_are_not_the_disks_stay_what_they_are(file):
    with pytest.raises(ValueError, match="a bug"):
        write_atomically(file, half_then(ValueError("a bug")))


def test_a_killed_writer_leaves_the_old_file_and_does_not_hinder_the_next(file):
    script = """
import os, signal, sys
from pathlib import Path
from labelaudit.run.files import write_atomically
def write(partial):
    partial.write_text("half of the n")
    os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), write)
"""
    killed = subprocess.run([sys.executable, "-c", script, str(file)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert file.read_text() == "old"
    write_text(file, "new")
    assert file.read_text() == "new"
    assert names_in(file.parent) == ["noise.json"]


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_return(file, monkeypatch):
    steps = []
    flush, rename = os.fsync, os.replace

    def noted_flush(handle):
        steps.append("flush folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "flush file")
        flush(handle)

    def noted_rename(source, target):
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_flush)
    monkeypatch.setattr(os, "replace", noted_rename)
    write_text(file, "new")
    assert steps == ["flush file", "rename", "flush folder"]


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        (errno.ENOSPC, "no space left for {}", "free some space"),
        (errno.EDQUOT, "no space left for {}", "free some space"),
        (errno.EFBIG, "no space left for {}", "free some space"),
        (errno.EROFS, "{} may not be written (read-only file system)", "another folder"),
        (errno.EACCES, "{} may not be written (permission denied)", "another folder"),
        (errno.EIO, "cannot write {}: Input/output error", "check the path and the disk"),
    ],
)
def test_what_the_disk_says_becomes_what_and_where_and_what_to_do(file, code, message, remedy):
    with pytest.raises(StorageError) as caught:
        write_atomically(file, half_then(refused(code)))
    assert caught.value.what == message.format(file)
    assert remedy in caught.value.fix
    assert file.read_text() == "old"
    assert names_in(file.parent) == ["noise.json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_after_the_writing_leaves_the_old_file(file, monkeypatch, step):
    def fail(*_):
        raise refused(errno.ENOSPC)

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(StorageError, match="no space left"):
        write_text(file, "new")
    assert file.read_text() == "old"
    assert names_in(file.parent) == ["noise.json"]


def test_a_file_system_that_cannot_flush_folders_is_good_enough(file, monkeypatch):
    opened = os.open

    def fail_for_folders(path, *arguments):
        if Path(path).is_dir():
            raise refused(errno.EINVAL)
        return opened(path, *arguments)

    monkeypatch.setattr(os, "open", fail_for_folders)
    write_bytes(file, b"new")
    assert file.read_bytes() == b"new"


def test_a_disk_that_is_full_in_earnest(file):
    with room_for(1000), pytest.raises(StorageError, match="no space left"):
        write_text(file, "x" * 100_000)
    assert file.read_text() == "old"
    assert names_in(file.parent) == ["noise.json"]


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match=r"cannot write .*out\.csv: No such file or directory"):
        write_text(tmp_path / "nowhere" / "out.csv", "new")


def test_a_folder_in_the_place_of_the_file_stays(tmp_path):
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        write_text(tmp_path / "out.csv", "new")
    assert names_in(tmp_path) == ["out.csv"]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text(pipe, "new")
    reader.join(5)
    assert received == ["new"]
    assert pipe.is_fifo()


def test_relative_names_with_a_colon_are_files_like_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("run-12:30").mkdir()
    write_text(Path("run-12:30/out.csv"), "new")
    assert (tmp_path / "run-12:30" / "out.csv").read_text() == "new"


def test_other_errors_pass_through_where_the_disks_are_turned():
    with pytest.raises(KeyError), storage_errors(Path("x")):
        raise KeyError


texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts)
def test_text_is_utf8_and_its_line_ends_are_kept(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "text"
    write_text(file, text)
    assert file.read_bytes() == text.encode("utf-8")


@given(st.lists(texts))
def test_lines_are_written_one_after_the_other_as_they_are(tmp_path_factory, lines):
    file = tmp_path_factory.getbasetemp() / "lines"
    write_lines(file, iter(lines))
    assert file.read_bytes() == "".join(lines).encode("utf-8")


def test_lines_that_break_off_leave_the_old_file(file):
    def lines():
        yield "one\n" * 100_000
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        write_lines(file, lines())
    assert file.read_text() == "old"
    assert names_in(file.parent) == ["noise.json"]


@pytest.mark.parametrize("each", [10, 10_000])
def test_lines_that_find_no_room_leave_the_old_file(file, each):
    with room_for(1000), pytest.raises(StorageError, match="no space left"):
        write_lines(file, ("x" * each for _ in range(200)))
    assert file.read_text() == "old"
    assert names_in(file.parent) == ["noise.json"]


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(texts, plain_values, max_size=3))
def test_what_is_written_as_json_is_read_back(tmp_path_factory, value):
    file = tmp_path_factory.getbasetemp() / "value.json"
    write_json(file, value)
    assert read_json(file) == value


def test_json_can_be_read_by_people(file):
    write_json(file, {"classes": ["猫"]})
    assert file.read_text("utf-8") == '{\n  "classes": [\n    "猫"\n  ]\n}\n'


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_json_has_not_are_refused(file, number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(file, {"rate": number})
    assert file.read_text() == "old"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is damaged \("),
        (b'{"a": 1', r"is damaged \("),
        (b'{"a": 1}}', r"is damaged \(Extra data"),
        (b"\xff\xfe\xfd", r"is damaged \("),
        (b"\0" * 64, r"is damaged \("),
        (b"[" * 100_000, r"is damaged \("),
        (b"[1, 2]", r"is damaged \(not a JSON object\)"),
        (b"null", r"is damaged \(not a JSON object\)"),
    ],
)
def test_damaged_json_is_refused_with_its_place(file, content, message):
    file.write_bytes(content)
    with pytest.raises(RunError, match=message) as caught:
        read_json(file)
    assert str(file) in caught.value.what
    assert caught.value.fix


def test_missing_json_and_a_folder_in_its_place_are_refused(tmp_path):
    with pytest.raises(RunError, match=r"noise\.json is missing"):
        read_json(tmp_path / "noise.json")
    with pytest.raises(RunError, match=r"is damaged \(.*Is a directory"):
        read_json(tmp_path)
