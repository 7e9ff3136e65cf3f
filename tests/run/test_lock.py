"""File systems without flock: said once, nothing refused for it, and nothing in use for ever."""

import errno
import fcntl
import os
import warnings

import pytest

from labelaudit.errors import NoLocksWarning, RunError
from labelaudit.run.caches import PixelCache
from labelaudit.run.files import _warn_of_no_locks, write_text
from labelaudit.run.layout import RunFolder
from labelaudit.run.lock import held, holder


@pytest.fixture(autouse=True)
def not_warned_yet():
    _warn_of_no_locks.cache_clear()


@pytest.fixture
def no_locks(monkeypatch, request):
    """flock fails as it does where there are no locks; gives what undoes that."""

    def refuse(_handle, _operation):
        raise OSError(request.param, os.strerror(request.param))

    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        patch.setattr(fcntl, "flock", refuse)
        yield patch.undo
    assert [told.category for told in said] == [NoLocksWarning]


NONE = pytest.mark.parametrize(
    "no_locks", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], indirect=True, ids=errno.errorcode.get
)


@NONE
def test_everything_is_done_without_locks(tmp_path, no_locks):
    run = RunFolder(tmp_path / "run")
    with run.writing():
        write_text(run.suspicious, "one")
        assert holder(run.root / ".lock") is None
    (run.root / f".{run.suspicious.name}.partial").write_text("of a killed process, or of one that is still at work")
    with held(tmp_path / "a.lock", tmp_path) as is_alone:
        assert not is_alone
        write_text(run.suspicious, "two")
    assert run.suspicious.read_text() == "two"
    assert (run.root / f".{run.suspicious.name}.partial").read_text().startswith("of a killed")


@NONE
def test_a_run_is_not_in_use_for_ever_after_a_crash_with_or_without_locks(tmp_path, no_locks):
    run = RunFolder(tmp_path / "run")
    run.root.mkdir()
    (run.root / ".lock").write_text('{"pid": 1, "host": "gone"}')
    with run.writing():
        pass
    (run.root / ".lock").write_text('{"pid": 1, "host": "gone"}')
    no_locks()
    with run.writing(), pytest.raises(RunError, match=f"is in use by process {os.getpid()}"), run.writing():
        pytest.fail("two writers at once")


@NONE
def test_two_writers_of_a_cache_entry_do_not_mix_their_rows(no_locks):
    with PixelCache("key", 4).locked(lambda: None) as is_alone:
        assert not is_alone


def test_a_file_system_that_fails_is_not_one_without_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(Exception, match="Input/output error"), held(tmp_path / "a.lock", tmp_path):
        pytest.fail("held")
