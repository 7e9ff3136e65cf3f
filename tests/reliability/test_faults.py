"""A worker that dies, a device without memory, SIGINT and SIGTERM: one line, and a run that can be resumed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
import torch

from labelaudit.engine.devices import compute_deterministically
from labelaudit.engine.loop import Training
from tests.cli.helpers import QUICK, file_bytes, run, start, succeed
from tests.cli.processes import running, wait_for


def test_a_training_without_memory_is_one_line_and_goes_on_with_more(tmp_path: Path, photos: Path) -> None:
    on_a_processor = RuntimeError("[enforce fail] DefaultCPUAllocator: can't")
    with mock.patch.object(Training, "forward", side_effect=on_a_processor):
        error = run("score", photos, "--run", tmp_path / "audit", *QUICK).error
    assert error == "the device ran out of memory at batch size 16; try --batch-size 8"
    succeed("score", photos, "--run", tmp_path / "audit", *QUICK)


def test_deterministic_asks_torch_for_it_and_changes_no_figure_on_a_processor(
    tmp_path: Path, photos: Path, finished: Path
) -> None:
    with mock.patch.dict(os.environ), torch.backends.cudnn.flags(enabled=True), contextlib.ExitStack() as after:
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
        after.callback(torch.use_deterministic_algorithms, False)
        succeed("score", photos, "--run", tmp_path / "same", "--deterministic", *QUICK)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
        compute_deterministically()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    for names in ("epoch-*", "*.csv"):
        assert file_bytes(tmp_path / "same", names) == file_bytes(finished, names)


@pytest.mark.long
def test_a_worker_of_torchrun_that_dies_leaves_a_run_that_goes_on(tmp_path: Path, photos: Path) -> None:
    audit = tmp_path / "audit"
    words = ("train-probe", photos, "--run", audit, "--epochs", "100", "--image-size", "8", "--threads", "1")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [*torchrun, "labelaudit", *map(str, words)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as parent:
        deadline = time.monotonic() + 180
        while not (audit / "losses/epoch-0001.parquet").exists():
            assert time.monotonic() < deadline
            assert parent.poll() is None
            time.sleep(0.01)
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
        parent.communicate(timeout=120)
    assert parent.returncode != 0
    with start(*words) as alone:  # nobody holds the run any more, and it goes on
        _, err = alone.communicate(timeout=240)
    assert alone.returncode == 0, err
    assert "Resuming after" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_training_with_one_line_and_a_code_of_its_own(tmp_path, photos, number: int, code: int) -> None:
    audit, options = tmp_path / "audit", ("--epochs", 400, "--batch-size", 16, "--image-size", 8, "--threads", 1)
    with running("score", photos, "--run", audit, *options, stderr=tmp_path / "stderr") as process:
        wait_for((audit / "checkpoint.pt").exists, process)
        os.kill(process.pid or 0, number)
        process.join(60)
        assert process.exitcode == code
    told = (tmp_path / "stderr").read_text()
    assert told.splitlines()[-1].startswith("Error: stopped by a signal. What is done is kept")
    assert "Traceback" not in told
    assert not (audit / ".lock").exists()
    assert not list(audit.rglob("*.partial"))
    epochs = len(list((audit / "losses").iterdir()))
    assert 1 <= epochs < 400
    assert f"({epochs} of 400 epochs)" in run("fit", audit).only_error


def test_a_second_signal_ends_a_cleanup_that_takes_too_long() -> None:
    script = """
import sys, time
from labelaudit.cli.console import stopped_by_signals
with stopped_by_signals():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaning up", flush=True)
        time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "cleaning up\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_an_ignored_signal_stays_ignored_and_the_caller_gets_its_handlers_back(handler: signal.Handlers) -> None:
    before = signal.signal(signal.SIGTERM, handler)
    try:
        succeed("methods")
    finally:
        assert signal.signal(signal.SIGTERM, before) is handler
