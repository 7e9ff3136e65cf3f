import errno
import math
import multiprocessing
import os
import signal
import threading
from pathlib import Path
from unittest import mock

import pytest

from labelaudit.errors import RunError, StorageError
from labelaudit.run.files import read_json, write_atomically, write_bytes, write_json, write_lines, write_text
from tests.helpers import failing
from tests.run.helpers import names_in, room_for


@pytest.fixture
def file(tmp_path):
    """A file with the text "old", alone in its folder; it must be the only one at the end of the test."""
    path = tmp_path / "run" / "noise.json"
    path.parent.mkdir()
    path.write_text("old")
    yield path
    assert names_in(path.parent) == ["noise.json"]


def half_then(end):
    def write(partial):
        partial.write_text("half of the n")
        end()

    return write


def test_a_killed_writer_leaves_the_old_file_and_does_not_block_the_next(file):
    write = half_then(lambda: os.kill(os.getpid(), signal.SIGKILL))
    child = multiprocessing.get_context("fork").Process(target=write_atomically, args=(file, write))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert file.read_text() == "old"
    write_text(file, "new")
    assert file.read_text() == "new"


@pytest.mark.parametrize(
    ("code", "message", "fix"),
    [
        (errno.ENOSPC, "no space left for {}", "free some space"),
        (errno.EROFS, "{} is not writable (read-only file system)", "another folder"),
        (errno.EACCES, "{} is not writable (permission denied)", "another folder"),
        (errno.EIO, "cannot write {}: Input/output error", "check the path and the disk"),
    ],
)
def test_a_writer_that_fails_leaves_the_old_file(file, code, message, fix):
    with pytest.raises(StorageError) as caught:
        write_atomically(file, half_then(failing(code)))
    assert str(caught.value).startswith(message.format(file))
    assert fix in str(caught.value)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(file, half_then(mock.Mock(side_effect=KeyboardInterrupt)))
    assert file.read_text() == "old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_after_the_writing_leaves_the_old_file(file, monkeypatch, step):
    monkeypatch.setattr(os, step, failing(errno.ENOSPC))
    with pytest.raises(StorageError, match="no space left"):
        write_text(file, "new")
    assert file.read_text() == "old"


def test_a_file_system_that_cannot_flush_folders_is_good_enough(file, monkeypatch):
    opened, fail = os.open, failing(errno.EINVAL)
    monkeypatch.setattr(os, "open", lambda path, *flags: (fail if Path(path).is_dir() else opened)(path, *flags))
    write_bytes(file, b"new")
    assert file.read_bytes() == b"new"


@pytest.mark.parametrize(
    "lines", [["x" * 100_000], ["x" * 10] * 200, ["one\n" * 100_000, None]], ids=["text", "lines", "broken off"]
)
def test_lines_that_cannot_all_be_written_leave_the_old_file(file, lines):
    with room_for(1000), pytest.raises((StorageError, TypeError), match=r"no space left|write"):
        write_lines(file, iter(lines))
    assert file.read_text() == "old"


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


def test_json_is_readable_and_without_nan(file):
    write_json(file, {"classes": ["猫"]})
    assert file.read_text("utf-8") == '{\n  "classes": [\n    "猫"\n  ]\n}\n'
    for number in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(file, {"rate": number})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}}', r"is damaged \(JSON is malformed"),
        (b"[" * 100_000, r"is damaged \("),
        (b"[1, 2]", r"is damaged \(Expected `object`, got `array`\)"),
        (None, r"noise\.json is missing"),
    ],
)
def test_missing_or_damaged_json_is_refused_with_its_place(tmp_path, content, message):
    file = tmp_path / "noise.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RunError, match=message) as caught:
        read_json(file)
    assert str(file) in caught.value.what
    assert caught.value.fix
    with pytest.raises(RunError, match=r"is damaged \(.*Is a directory"):
        read_json(tmp_path)
