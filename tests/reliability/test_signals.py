"""SIGINT and SIGTERM: one line, exit code 128 + the signal's number, and a run that can be resumed."""

import os
import signal
import subprocess
import sys

import pytest

from tests.cli.helpers import run, succeed
from tests.cli.processes import running, wait_for


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
