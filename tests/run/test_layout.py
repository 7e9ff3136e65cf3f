import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from labelaudit.errors import RunError, StorageError
from labelaudit.run.layout import SCHEMA_VERSION, RunFolder

HOLD_THE_FOLDER = """
import sys, time
from pathlib import Path
from labelaudit.run.layout import RunFolder
with RunFolder(Path(sys.argv[1])).writing():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


@pytest.fixture
def holder(run):
    """Another process that writes to the run folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD_THE_FOLDER, str(run.root)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def described(run, value=None):
    run.root.mkdir(parents=True, exist_ok=True)
    run.write_description({"status": "training"} if value is None else value)
    return run


def test_files_have_the_names_that_other_tools_rely_on(run):
    paths = [getattr(run, name) for name in vars(RunFolder) if not name.startswith("_")]
    assert {str(path.relative_to(run.root)) for path in paths if isinstance(path, Path)} == {
        *("run.json", "samples.parquet", "pictures.parquet", "losses", "checkpoint.pt", "probe.safetensors"),
        *("scores.parquet", "noise.json", "suspicious.csv", "corrupted.csv", "unreadable.csv"),
        *("weights.csv", "weights.npy", "report.html"),
        *("metrics.parquet", "seconds.parquet", "picks", "model.safetensors", "result.json", "verified.pt"),
    }
    assert run.pilot.root == run.root / "pilot"
    assert run.retraining("co-teaching", 7).root == run.root / "retrain" / "co-teaching-seed7"


def test_a_description_is_read_back_with_its_schema_and_updated(run):
    with pytest.raises(RunError, match=r"run is not a run folder \(it has no run\.json\)"):
        run.read_description()
    assert not run.exists
    described(run, {"status": "training", "seed": 3})
    assert run.exists
    assert run.read_description() == {"schema_version": SCHEMA_VERSION, "status": "training", "seed": 3}
    run.update_description(status="finished", device="cpu")
    expected = {"schema_version": SCHEMA_VERSION, "status": "finished", "seed": 3, "device": "cpu"}
    assert run.read_description() == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *((content, r"run\.json is damaged") for content in (b"", b'{"schema_version": 1, "st', b"[1]", b"\xff\xff")),
        (b"{}", "has schema None"),
        *(
            (json.dumps({"schema_version": schema}).encode(), rf"has schema {schema!r}, this version reads 1\W use the")
            for schema in (SCHEMA_VERSION + 1, 0, None, str(SCHEMA_VERSION))
        ),
    ],
)
def test_a_damaged_description_or_an_unknown_schema_is_refused_and_left_alone(run, content, message):
    described(run).description.write_bytes(content)
    with pytest.raises(RunError, match=message):
        run.read_description()
    with pytest.raises(RunError, match=message):
        run.update_description(status="finished")
    assert run.description.read_bytes() == content


def test_results_without_a_description_are_not_gone_on_from(run):
    run.root.mkdir()
    run.require_fresh()
    run.losses.mkdir()
    run.noise.touch()
    with pytest.raises(RunError, match=r"run has losses, noise\.json but no run\.json"):
        run.require_fresh()


def test_writing_makes_the_folder_and_leaves_it_free(run):
    deep = RunFolder(run.root / "a" / "b")
    with deep.writing():
        assert deep.root.is_dir()
    with deep.writing():
        pass
    assert not list(deep.root.iterdir())


def test_a_second_writer_in_the_same_process_is_refused(run):
    refused = pytest.raises(RunError, match=f"is in use by process {os.getpid()} on ")
    with run.writing(), refused, RunFolder(run.root).writing():
        pytest.fail("two writers at once")
    with run.writing():
        pass


def test_a_writer_that_fails_frees_the_folder_and_two_folders_do_not_wait_for_each_other(run):
    with pytest.raises(KeyError), run.writing():
        raise KeyError
    with run.writing(), run.retraining("standard", 0).writing():
        pass


def test_a_second_process_is_told_who_writes_and_a_killed_one_holds_nothing(run, holder):
    with pytest.raises(RunError) as caught, run.writing():
        pytest.fail("two writers at once")
    assert caught.value.what == f"{run.root} is in use by process {holder.pid} on {socket.gethostname()}"
    assert "another --run" in caught.value.fix

    holder.kill()
    holder.wait()
    with run.writing():
        owner = json.loads((run.root / ".lock").read_text())
        assert owner == {"pid": os.getpid(), "host": socket.gethostname()}


def test_an_owner_that_left_no_name_is_another_process(run, holder):
    (run.root / ".lock").write_text("{")
    with pytest.raises(RunError, match="is in use by another process"), run.writing():
        pytest.fail("two writers at once")


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"cannot write .*file/run"), RunFolder(tmp_path / "file" / "run").writing():
        pytest.fail("no folder")


def test_a_disk_without_room_for_the_owner_frees_the_folder(run, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StorageError, match="no space left"), run.writing():
            pytest.fail("no owner")
    with run.writing():
        pass
