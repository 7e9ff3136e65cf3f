"""``labelaudit review``: the address, what is written, the end by Ctrl-C, and what is refused in one line."""

import errno
import json
import os
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from labelaudit.review.decisions import read_decisions
from labelaudit.run.layout import RunFolder
from tests.cli.helpers import run, start
from tests.report.page.helpers import MadeUp, make_run, write_noise_images


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    folder = tmp_path_factory.mktemp("review")
    names = [f"{name}/{number:03d}.png" for name in ("ant", "bee") for number in range(20)]
    return make_run(folder / "run", write_noise_images(folder / "zoo", names), wrong=names[:8])


def test_it_serves_until_ctrl_c_and_ends_with_the_next_command(made: MadeUp) -> None:
    with start("review", made.run.root, "--no-browser", "--reviewer", "ann") as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        with urllib.request.urlopen(address) as answer:
            assert b"<title>zoo" in answer.read()
        body = json.dumps({"steps": [[[0, "change", "bee"]]]}).encode()
        headers = {
            "Content-Type": "application/json",
            "Origin": address.partition("/")[0] + "//" + address.split("/")[2],
        }
        urllib.request.urlopen(urllib.request.Request(address + "decisions", body, headers)).close()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    (decision,) = read_decisions(made.run.decisions).values()
    assert (decision.path, decision.reviewer, decision.label) == ("ant/000.png", "ann", "bee")
    assert f"8 suspicious labels to review. Decisions go to {made.run.decisions}" in err
    then = f"labelaudit relabel {made.run.root}"
    assert err.splitlines()[-1] == f"1 decision in {made.run.decisions}. To apply them: {then}"
    assert "1 change, 0 dropped, 0 kept" in run(*then.split()[1:], "--dry-run").out


def test_what_cannot_be_reviewed_is_one_line(made: MadeUp, tmp_path: Path) -> None:
    assert "is not a run folder" in run("review", tmp_path).error
    assert (
        "is not a folder; give the folder that the images are in now"
        in run("review", made.run.root, "--data", tmp_path / "x").error
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = run("review", made.run.root, "--port", port, "--no-browser").error
        assert f"port {port} cannot be used" in error
        assert "give another --port" in error


def test_a_run_folder_that_cannot_be_written_is_refused_before_anybody_decides(
    made: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = os.open

    def open_or_fail(file: object, *rest: Any) -> int:
        if file == made.run.decisions:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return usual(file, *rest)

    monkeypatch.setattr(os, "open", open_or_fail)
    error = run("review", made.run.root, "--no-browser").error
    assert error == f"{made.run.decisions} is not writable (read-only file system); choose another folder"


def test_a_damaged_ledger_is_named(made: MadeUp, tmp_path: Path) -> None:
    place = RunFolder(tmp_path / "run")
    place.root.mkdir()
    for file in made.run.root.iterdir():
        if file.is_file():
            (place.root / file.name).write_bytes(file.read_bytes())
    place.decisions.write_text("no,ledger\n")
    assert f"{place.decisions} is no ledger of decisions" in run("review", place.root, "--no-browser").error
