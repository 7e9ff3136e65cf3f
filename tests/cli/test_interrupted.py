"""Work that was killed goes on as if nothing had happened."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.helpers import file_bytes, interrupted, run, start, succeed, write_images
from tests.cli.processes import run_until_it_dies, running, wait_for

EPOCHS = 8
LONGER = ("--epochs", EPOCHS, "--batch-size", "16", "--image-size", "8", "--threads", "1")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "pictures", each=50)


@pytest.fixture(scope="module")
def uninterrupted(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted") / "audit"
    succeed("train-probe", pictures, "--run", folder, *LONGER)
    return folder


def losses(folder: Path) -> dict[str, bytes]:
    return file_bytes(folder / "losses")


def assert_same_run(folder: Path, reference: Path) -> None:
    assert losses(folder) == losses(reference)
    assert (folder / "probe.safetensors").read_bytes() == (reference / "probe.safetensors").read_bytes()
    assert json.loads((folder / "run.json").read_text())["status"] == "trained"
    assert not list(folder.rglob("*.partial"))


def epoch_file(folder: Path, epoch: int) -> Path:
    return folder / "losses" / f"epoch-{epoch:04d}.parquet"


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_killed_again_and_again_while_a_file_is_written(
    pictures: Path, uninterrupted: Path, tmp_path: Path, function: str
) -> None:
    # A file is flushed, renamed, and its folder flushed. Each process gets through two or three epochs before it dies.
    words = ("train-probe", pictures, "--run", tmp_path / "audit", *LONGER)
    calls = {"replace": 7, "fsync": 11}[function]
    ends = [run_until_it_dies(*words, dies_at=(function, calls))]
    while ends[-1] != 0 and len(ends) < 10:
        ends.append(run_until_it_dies(*words, dies_at=(function, calls)))
    assert ends[:2] == [-signal.SIGKILL] * 2
    assert ends[-1] == 0
    assert_same_run(tmp_path / "audit", uninterrupted)


def test_killed_at_random_moments_and_run_again(pictures: Path, uninterrupted: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    folder = tmp_path / "audit"
    killed = 0
    for _ in range(6):
        with running("train-probe", pictures, "--run", folder, *LONGER) as process:
            wait_for((folder / ".lock").exists, process)
            process.join(chance.uniform(0.0, 0.3))
            process.kill()
            process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        killed += process.exitcode != 0
    succeed("train-probe", pictures, "--run", folder, *LONGER)
    assert killed >= 1
    assert_same_run(folder, uninterrupted)


def test_a_whole_command_line_is_killed_and_score_finishes_the_work(
    pictures: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "audit"
    with start("score", pictures, "--run", folder, *LONGER) as process:
        deadline = time.monotonic() + 60
        while process.poll() is None and not epoch_file(folder, 2).exists():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "noise.json").exists()
    outcome = succeed("score", pictures, "--run", folder, "-o", "-", "--top", "3")
    assert len(outcome.out.splitlines()) == 4
    assert_same_run(folder, uninterrupted)


def test_ctrl_c_ends_with_130_and_the_run_goes_on(pictures: Path, uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    with running("train-probe", pictures, "--run", folder, *LONGER) as process:
        wait_for((folder / "checkpoint.pt").exists, process)
        os.kill(process.pid, signal.SIGINT)
        process.join(30)
    assert process.exitcode == 130
    assert not (folder / ".lock").exists()
    outcome = succeed("train-probe", pictures, "--run", folder)
    assert "Going on after" in outcome.err
    assert_same_run(folder, uninterrupted)


@pytest.mark.parametrize(
    "function", ["audit.probe.write_epoch", "audit.training.write_checkpoint", "audit.training.write_network"]
)
def test_stopped_between_any_two_writes(pictures: Path, uninterrupted: Path, tmp_path: Path, function: str) -> None:
    folder = tmp_path / "audit"
    call = 1 if function == "audit.training.write_network" else EPOCHS // 2
    with interrupted(f"labelaudit.{function}", call=call):
        assert run("train-probe", pictures, "--run", folder, *LONGER).code == 130
    assert json.loads((folder / "run.json").read_text())["status"] == "training"
    succeed("train-probe", pictures, "--run", folder)
    assert_same_run(folder, uninterrupted)


def test_half_written_files_of_a_killed_process_do_no_harm(pictures: Path, uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    with interrupted("labelaudit.audit.training.write_checkpoint", call=3):
        run("train-probe", pictures, "--run", folder, *LONGER)
    (folder / "losses" / ".epoch-0003.parquet.partial").write_bytes(b"PAR1 half a file")
    (folder / ".checkpoint.pt.partial").write_bytes(b"half a checkpoint")
    (folder / ".lock").write_text('{"pid": 999999999, "host": "gone"}')
    epoch_file(folder, 5).write_bytes(b"left over from an earlier life")
    succeed("train-probe", pictures, "--run", folder)
    assert_same_run(folder, uninterrupted)


def test_the_losses_on_disk_are_whole_at_every_moment(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    with running("train-probe", pictures, "--run", folder, *LONGER) as process:
        seen = 0
        while process.is_alive():
            for path in (folder / "losses").glob("epoch-*.parquet") if folder.exists() else []:
                assert pq.read_metadata(path).num_rows == 200
                seen += 1
    assert process.exitcode == 0
    assert seen > EPOCHS


def test_a_second_process_is_told_that_the_run_is_in_use(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    with running("train-probe", pictures, "--run", folder, *LONGER, "--epochs", "200") as process:
        wait_for(epoch_file(folder, 0).exists, process)
        refused = run("train-probe", pictures, "--run", folder)
        assert f"is in use by process {process.pid} on " in refused.error
        assert "wait for it, or give another --run" in refused.error
        process.kill()
        process.join()
    # The lock of a dead process is nobody's.
    again = run("train-probe", pictures, "--run", folder, "--seed", "5")
    assert "other settings" in again.error


def test_a_killed_retraining_ends_with_the_same_figures(pictures: Path, tmp_path: Path) -> None:
    words = ("retrain", pictures, "--method", "standard", "--val", pictures, *LONGER)
    succeed(*words, "--out", "reference")
    ends = [run_until_it_dies(*words, "--out", tmp_path / "out", dies_at=("replace", calls)) for calls in (6, 7)]
    assert ends == [-signal.SIGKILL] * 2
    assert "Going on after" in succeed(*words, "--out", "out").err
    assert pq.read_table("out/metrics.parquet")["epoch"].to_pylist() == list(range(EPOCHS))
    for name in ("metrics.parquet", "model.safetensors", "result.json"):
        assert Path("out", name).read_bytes() == Path("reference", name).read_bytes()
    assert not list(Path("out").rglob("*.partial"))


@pytest.mark.parametrize(
    "function", ["retrain.recipe.write_metrics", "audit.training.write_checkpoint", "audit.training.write_network"]
)
def test_a_retraining_stopped_between_two_writes_ends_with_the_same_figures(pictures: Path, function: str) -> None:
    words = ("retrain", pictures, "--method", "standard", *LONGER, "--epochs", "4")
    succeed(*words, "--out", "reference")
    with interrupted(f"labelaudit.{function}", call=1 if function.endswith("network") else 3):
        assert run(*words, "--out", "out").code == 130
    assert not Path("out/result.json").exists()
    assert "Going on after" in succeed(*words, "--out", "out").err
    for name in ("metrics.parquet", "model.safetensors", "result.json"):
        assert Path("out", name).read_bytes() == Path("reference", name).read_bytes()
