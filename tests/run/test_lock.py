"""Locks between processes, and file systems without flock."""

import errno
import fcntl
import os
import threading
import warnings

import pytest

from labelaudit.errors import NoLocksWarning, RunError, StorageError
from labelaudit.run.caches import PixelCache
from labelaudit.run.files import _warn_of_no_locks, held, holder, write_text
from labelaudit.run.layout import RunFolder


def test_a_lock_is_waited_for_and_leaves_no_file(tmp_path):
    file, told, order = tmp_path / "a.lock", threading.Event(), []
    owner = f"process {os.getpid()} on {os.uname().nodename}"

    def second():
        with held(file, tmp_path, wait=told.set):
            order.append("second")

    with held(file, tmp_path):
        assert holder(file) == owner
        with pytest.raises(RunError, match=f"is in use by {owner}"), held(file, tmp_path):
            pass
        thread = threading.Thread(target=second)
        thread.start()
        assert told.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert holder(file) is None
    assert not file.exists()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "a.lock").symlink_to("precious")
    with pytest.raises(StorageError, match="cannot write"), held(tmp_path / "a.lock", tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], ids=errno.errorcode.get)
def test_without_locks_everything_works_and_one_warning_says_so(tmp_path, monkeypatch, code):
    def refuse(_handle, _operation):
        raise OSError(code, os.strerror(code))

    _warn_of_no_locks.cache_clear()
    run = RunFolder(tmp_path / "run")
    partial, left = run.root / f".{run.suspicious.name}.partial", '{"pid": 1, "host": "gone"}'
    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        patch.setattr(fcntl, "flock", refuse)
        with run.writing():
            write_text(run.suspicious, "one")
            assert holder(run.root / ".lock") is None
        partial.write_text("of a killed process, or of one that is still at work")
        (run.root / ".lock").write_text(left)
        with run.writing(), held(tmp_path / "a.lock", tmp_path) as is_alone:
            assert not is_alone
            write_text(run.suspicious, "two")
        with PixelCache("key", 4).locked(lambda: None) as is_alone:
            assert not is_alone
    assert [told.category for told in said] == [NoLocksWarning]
    assert run.suspicious.read_text() == "two"
    assert partial.read_text().startswith("of a killed")
    (run.root / ".lock").write_text(left)
    with run.writing(), pytest.raises(RunError, match=f"is in use by process {os.getpid()}"), run.writing():
        pytest.fail("two writers at once")


def test_a_file_system_that_fails_is_not_one_without_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(StorageError, match="Input/output error"), held(tmp_path / "a.lock", tmp_path):
        pytest.fail("held")
