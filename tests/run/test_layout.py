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
    names = {
        name: str(path.relative_to(run.root))
        for name, kind in vars(RunFolder).items()
        if isinstance(kind, property) and isinstance(path := getattr(run, name), Path)
    }
    assert run.pilot.root == run.root / "pilot"
    assert names == {
        "description": "run.json",
        "samples": "samples.parquet",
        "losses": "losses",
        "checkpoint": "checkpoint.pt",
        "verified": "verified.pt",
        "probe": "probe.safetensors",
        "scores": "scores.parquet",
        "noise": "noise.json",
        "suspicious": "suspicious.csv",
        "pictures": "pictures.parquet",
        "corrupted": "corrupted.csv",
        "unreadable": "unreadable.csv",
        "weights_csv": "weights.csv",
        "weights_npy": "weights.npy",
        "page": "report.html",
        "metrics": "metrics.parquet",
        "seconds": "seconds.parquet",
        "picks": "picks",
        "model": "model.safetensors",
        "result": "result.json",
    }


def test_a_retraining_has_a_folder_for_its_method_and_seed(run):
    assert run.retraining("co-teaching", 7).root == run.root / "retrain" / "co-teaching-seed7"


def test_a_description_is_read_back_with_its_schema(run):
    described(run, {"status": "training", "seed": 3})
    assert run.read_description() == {"schema_version": SCHEMA_VERSION, "status": "training", "seed": 3}


def test_an_update_replaces_what_it_names_and_keeps_the_rest(run):
    described(run, {"status": "training", "seed": 3}).update_description(status="finished", device="cpu")
    assert run.read_description() == {
        "schema_version": SCHEMA_VERSION,
        "status": "finished",
        "seed": 3,
        "device": "cpu",
    }


def test_a_folder_is_a_run_once_it_has_a_description(run):
    assert not run.exists
    run.root.mkdir()
    assert not run.exists
    assert described(run).exists


def test_a_folder_that_is_no_run_is_refused(run):
    with pytest.raises(RunError, match=r"run is not a run folder \(it has no run\.json\)"):
        run.read_description()


@pytest.mark.parametrize("content", [b"", b'{"schema_version": 1, "st', b"[1]", b"\xff\xff"])
def test_a_damaged_description_is_refused(run, content):
    described(run).description.write_bytes(content)
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        run.read_description()
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        run.update_description(status="finished")
    assert run.description.read_bytes() == content


@pytest.mark.parametrize("schema", [SCHEMA_VERSION + 1, 0, None, str(SCHEMA_VERSION)])
def test_an_unknown_schema_is_refused_and_left_alone(run, schema):
    described(run).description.write_text(json.dumps({"schema_version": schema}))
    with pytest.raises(RunError, match=rf"has schema {schema!r}, this version reads {SCHEMA_VERSION}\W use the"):
        run.update_description(status="finished")
    assert json.loads(run.description.read_text()) == {"schema_version": schema}


def test_a_description_without_a_schema_is_refused(run):
    described(run).description.write_text("{}")
    with pytest.raises(RunError, match="has schema None"):
        run.read_description()


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


def test_a_writer_that_fails_frees_the_folder(run):
    with pytest.raises(KeyError), run.writing():
        raise KeyError
    with run.writing():
        pass


def test_two_run_folders_do_not_wait_for_each_other(run):
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
