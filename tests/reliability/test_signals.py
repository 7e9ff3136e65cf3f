"""SIGINT and SIGTERM: one line, 128 + the signal's number, and a run that goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.helpers import run, start, succeed, write_images

_LONG = ("--epochs", "400", "--batch-size", "16", "--image-size", "8", "--threads", "1")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_training_cleanly_and_it_goes_on(tmp_path: Path, number: signal.Signals, code: int) -> None:
    pictures, folder = write_images(tmp_path / "pictures"), tmp_path / "audit"
    with start("score", pictures, "--run", folder, *_LONG) as process:
        _wait_for(folder / "checkpoint.pt", process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == ""
    assert err.splitlines()[-1].startswith("Error: stopped by a signal. What is done is kept")
    assert "Traceback" not in err
    assert not (folder / ".lock").exists()
    assert not list(folder.rglob("*.partial"))
    epochs = len(list((folder / "losses").iterdir()))
    assert 1 <= epochs < 400
    refused = run("fit", folder)  # whole, but not trained to the end
    assert f"({epochs} of 400 epochs)" in refused.only_error


def test_a_signal_before_the_command_is_loaded_leaves_no_traceback() -> None:
    for wait in (0.05, 0.15, 0.3):
        with start("score", "nowhere") as process:
            time.sleep(wait)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
        assert process.returncode in (143, -signal.SIGTERM, 2)
        assert "Traceback" not in err


def test_a_second_signal_ends_at_once_what_does_not_want_to_end() -> None:
    script = """
import sys, time
from labelaudit.cli.streams import stopped_by_signals
with stopped_by_signals():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("putting down", flush=True)
        time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "putting down\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        succeed("methods")
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_caller_gets_its_handlers_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    succeed("methods")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def _wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert process.poll() is None, os.fspath(path)
