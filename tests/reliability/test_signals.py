"""SIGINT and SIGTERM: one line, exit code 128 + the signal's number, and a run that can be resumed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cli.helpers import run, start, succeed, write_images
from tests.cli.processes import running, wait_for


def training(place: Path) -> tuple[object, ...]:
    """A command that trains for longer than any test waits, in ``place / "audit"``."""
    options = ("--epochs", "400", "--batch-size", "16", "--image-size", "8", "--augment", "none", "--threads", "1")
    return "score", write_images(place / "images"), "--run", place / "audit", *options


def require_resumable(folder: Path) -> None:
    assert not (folder / ".lock").exists()
    assert not list(folder.rglob("*.partial"))
    epochs = len(list((folder / "losses").iterdir()))
    assert 1 <= epochs < 400
    assert f"({epochs} of 400 epochs)" in run("fit", folder).only_error


def test_sigterm_ends_a_training_with_one_line(tmp_path: Path) -> None:
    with start(*training(tmp_path)) as process:
        deadline = time.monotonic() + 60
        while process.poll() is None and not (tmp_path / "audit/checkpoint.pt").exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "")
    assert err.splitlines()[-1].startswith("Error: stopped by a signal. What is done is kept")
    assert "Traceback" not in err
    require_resumable(tmp_path / "audit")


def test_sigint_ends_a_training_with_its_own_exit_code(tmp_path: Path) -> None:
    with running(*training(tmp_path)) as process:
        wait_for((tmp_path / "audit/checkpoint.pt").exists, process)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)
        process.join(60)
        assert process.exitcode == 130
    require_resumable(tmp_path / "audit")


def test_a_signal_before_the_command_is_loaded_leaves_no_traceback() -> None:
    with start("score", "nowhere") as process:
        time.sleep(0.3)
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
