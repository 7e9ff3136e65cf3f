import json
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.helpers import file_bytes, interrupted, run, succeed, write_images
from tests.cli.processes import run_until_it_dies, running, wait_for

EPOCHS = 6
LONGER = ("--epochs", EPOCHS, "--batch-size", "16", "--image-size", "8", "--threads", "1")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images", each=20)


@pytest.fixture(scope="module")
def uninterrupted(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted") / "audit"
    succeed("train-probe", images, "--run", folder, *LONGER)
    return folder


def assert_same_run(folder: Path, reference: Path) -> None:
    assert file_bytes(folder / "losses") == file_bytes(reference / "losses")
    assert (folder / "probe.safetensors").read_bytes() == (reference / "probe.safetensors").read_bytes()
    assert json.loads((folder / "run.json").read_text())["status"] == "trained"
    assert not list(folder.rglob("*.partial"))


@pytest.mark.parametrize(
    ("function", "call"),
    [
        ("run.losses.write_epoch", EPOCHS // 2),
        ("auditing.training.write_checkpoint", EPOCHS // 2),
        ("auditing.probe.write_network", 1),
    ],
)
def test_stopped_between_any_two_writes(images, uninterrupted, tmp_path, function, call) -> None:
    folder = tmp_path / "audit"
    with interrupted(f"labelaudit.{function}", call=call):
        assert run("train-probe", images, "--run", folder, *LONGER).code == 130
    assert json.loads((folder / "run.json").read_text())["status"] == "training"
    if call > 1:  # what a killed process may leave behind does no harm
        (folder / "losses" / ".epoch-0003.parquet.partial").write_bytes(b"PAR1 half a file")
        (folder / ".checkpoint.pt.partial").write_bytes(b"half a checkpoint")
        (folder / "losses/epoch-0004.parquet").write_bytes(b"left over from an earlier life")
    (folder / ".lock").write_text('{"pid": 999999999, "host": "gone"}')
    succeed("train-probe", images, "--run", folder)
    assert_same_run(folder, uninterrupted)


def test_a_second_process_is_told_that_the_run_is_in_use(images, tmp_path) -> None:
    folder = tmp_path / "audit"
    with running("train-probe", images, "--run", folder, *LONGER, "--epochs", "200") as process:
        wait_for((folder / "losses/epoch-0000.parquet").exists, process)
        refused = run("train-probe", images, "--run", folder)
        assert f"is in use by process {process.pid} on " in refused.error
        assert "wait for it, or give another --run" in refused.error
    # The lock of a dead process binds nobody.
    assert "different settings" in run("train-probe", images, "--run", folder, "--seed", "5").error


def test_a_killed_retraining_ends_with_the_same_figures(images: Path) -> None:
    selector = ("--selector", "selective-backprop", "-S", "warm_up_epochs=0")
    words = ("retrain", images, "--method", "standard", "--val", images, *selector, *LONGER, "--out")
    succeed(*words, "whole")
    assert run_until_it_dies(*words, "out", dies_at=("replace", 7)) == -signal.SIGKILL
    for function, call in (("run.metrics.write_table", 4), ("retraining.recipe.write_network", 1)):
        with interrupted(f"labelaudit.{function}", call=call):
            assert run(*words, "out").code == 130
        assert not Path("out/result.json").exists()
    assert "Resuming after" in succeed(*words, "out").err
    assert pq.read_table("out/metrics.parquet")["epoch"].to_pylist() == list(range(EPOCHS))
    for name in ("metrics.parquet", "model.safetensors", "result.json", f"picks/epoch-{EPOCHS - 1:04}.parquet"):
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()
    assert not list(Path("out").rglob("*.partial"))
