"""SIGINT and SIGTERM: one line, exit code 128 + the signal's number, and a run that can be resumed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.helpers import run, start, succeed, write_images


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_training_cleanly(tmp_path: Path, number: signal.Signals, code: int) -> None:
    images, folder = write_images(tmp_path / "images"), tmp_path / "audit"
    options = ("--epochs", "400", "--batch-size", "16", "--image-size", "8", "--threads", "1")
    with start("score", images, "--run", folder, *options) as process:
        deadline = time.monotonic() + 60
        while process.poll() is None and not (folder / "checkpoint.pt").exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert err.splitlines()[-1].startswith("Error: stopped by a signal. What is done is kept")
    assert "Traceback" not in err
    assert not (folder / ".lock").exists()
    assert not list(folder.rglob("*.partial"))
    epochs = len(list((folder / "losses").iterdir()))
    assert 1 <= epochs < 400
    assert f"({epochs} of 400 epochs)" in run("fit", folder).only_error


@pytest.mark.parametrize("wait_seconds", [0.05, 0.3])
def test_a_signal_before_the_command_is_loaded_leaves_no_traceback(wait_seconds: float) -> None:
    with start("score", "nowhere") as process:
        time.sleep(wait_seconds)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode in (143, -signal.SIGTERM, 2)
    assert "Traceback" not in err


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


def test_an_ignored_signal_stays_ignored_and_the_caller_gets_its_handlers_back() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        succeed("methods")
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    succeed("methods")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
