import errno
import fcntl
import os
import threading
import warnings

import pytest

from labelaudit.auditing.begin import clear
from labelaudit.errors import NoLocksWarning, RunError, StorageError
from labelaudit.run.files import _warn_of_no_locks, held, holder, write_text
from labelaudit.run.layout import RunFolder, earlier_runs, judged_before, newest, next_run, runs_in
from tests.helpers import failing


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"schema_version": 1, "st', r"run\.json is damaged"),
        (b"{}", "has schema None"),
        (b'{"schema_version": "1"}', r"has schema '1', this version reads 1\W use the"),
    ],
)
def test_a_damaged_description_or_an_unknown_schema_is_refused_and_left_alone(run, content, message):
    run.root.mkdir()
    run.description.write_bytes(content)
    with pytest.raises(RunError, match=message):
        run.read_description()
    with pytest.raises(RunError, match=message):
        run.update_description(status="finished")
    assert run.description.read_bytes() == content


def test_results_without_a_description_are_not_gone_on_from(run):
    run.root.mkdir()
    clear(run)
    run.losses.mkdir()
    run.noise.touch()
    with pytest.raises(RunError, match=r"run has losses, noise\.json but no run\.json"):
        clear(run)


def test_a_writer_that_ends_or_fails_frees_the_folder_and_two_folders_do_not_wait_for_each_other(run):
    with pytest.raises(KeyError), run.writing():
        raise KeyError
    with run.writing(), run.retraining("standard", 0).writing():
        pass
    assert [path.name for path in run.root.iterdir()] == ["retrain"]


def test_a_lock_is_waited_for_and_leaves_no_file(tmp_path):
    file, told, order = tmp_path / "a.lock", threading.Event(), []
    owner = f"process {os.getpid()} on {os.uname().nodename}"

    def second():
        with held(file, tmp_path, wait=told.set):
            order.append("second")

    with held(file, tmp_path):
        assert holder(file) == owner
        for content, found in ((file.read_text(), owner), ("{", "another process")):
            file.write_text(content)
            with pytest.raises(RunError, match=f"is in use by {found}"), held(file, tmp_path):
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
    _warn_of_no_locks.cache_clear()
    run = RunFolder(tmp_path / "run")
    partial, left = run.root / f".{run.suspicious.name}.partial", '{"pid": 1, "host": "gone"}'
    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        patch.setattr(fcntl, "flock", failing(code))
        with run.writing():
            write_text(run.suspicious, "one")
            assert holder(run.root / ".lock") is None
        partial.write_text("of a killed process, or of one that is still at work")
        (run.root / ".lock").write_text(left)
        with run.writing(), held(tmp_path / "a.lock", tmp_path) as is_alone:
            assert not is_alone
            write_text(run.suspicious, "two")
    assert [told.category for told in said] == [NoLocksWarning]
    assert run.suspicious.read_text() == "two"
    assert partial.read_text().startswith("of a killed")
    (run.root / ".lock").write_text(left)
    with run.writing(), pytest.raises(RunError, match=f"is in use by process {os.getpid()}"), run.writing():
        pytest.fail("two writers at once")


def test_a_file_system_that_fails_is_not_one_without_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    with pytest.raises(StorageError, match="Input/output error"), held(tmp_path / "a.lock", tmp_path):
        pytest.fail("held")


def begin(folder, *, judged=False):
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    run.write_description({})
    if judged:
        run.noise.write_text("{}")
    return run


def test_runs_are_in_the_order_of_their_numbers(tmp_path):
    assert runs_in(tmp_path / "nowhere") == []
    runs = {number: begin(tmp_path / number) for number in ("10", "2", "9")}
    for other in ("0", "02", "1b", "²", "retrain"):
        (tmp_path / other).mkdir()
        (tmp_path / other / "run.json").write_text("{}")
    (tmp_path / "11").mkdir()  # not begun
    assert runs_in(tmp_path) == [runs["2"], runs["9"], runs["10"]]
    assert next_run(tmp_path).root == tmp_path / "11"
    assert next_run(tmp_path / "nowhere").root == tmp_path / "nowhere/1"


def test_a_path_means_the_newest_run_with_verdicts_or_the_newest(tmp_path):
    assert newest(tmp_path / "nowhere").root == tmp_path / "nowhere"
    first = begin(tmp_path / "photos/1")
    assert newest(tmp_path / "photos") == first
    second = begin(tmp_path / "photos/2", judged=True)
    third = begin(tmp_path / "photos/3")
    assert newest(tmp_path / "photos") == second
    assert newest(tmp_path / "photos", judged=False) == third
    assert newest(first.root) == first
    assert earlier_runs(third) == [first, second]
    assert (judged_before(third), judged_before(second)) == (second, None)
    assert earlier_runs(RunFolder(tmp_path / "photos")) == []
