"""``labelaudit review``: the address, what is written, the end by Ctrl-C, and what is refused in one line."""

import json
import socket
import urllib.request
from pathlib import Path

import pytest

from labelaudit.review.decisions import read_decisions
from tests.cli.helpers import reviewing, run
from tests.report.page.helpers import MadeUp, make_run, write_noise_images


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    folder = tmp_path_factory.mktemp("review")
    names = [f"{name}/{number:03d}.png" for name in ("ant", "bee") for number in range(20)]
    return make_run(folder / "run", write_noise_images(folder / "zoo", names), wrong=names[:8])


def test_it_serves_until_ctrl_c_and_ends_with_the_next_command(made: MadeUp) -> None:
    with reviewing(made.run.root, "--reviewer", "ann") as (address, told):
        with urllib.request.urlopen(address) as answer:
            assert b"<title>zoo" in answer.read()
        body = json.dumps({"steps": [[[0, "change", "bee"]]]}).encode()
        origin = "/".join(address.split("/")[:3])
        headers = {"Content-Type": "application/json", "Origin": origin}
        urllib.request.urlopen(urllib.request.Request(address + "decisions", body, headers)).close()
    (decision,) = read_decisions(made.run.decisions).values()
    assert (decision.path, decision.reviewer, decision.label) == ("ant/000.png", "ann", "bee")
    assert f"8 suspicious labels to review. Decisions go to {made.run.decisions}" in "\n".join(told)
    then = f"labelaudit relabel {made.run.root}"
    assert told[-1] == f"1 decision in {made.run.decisions}. To apply them: {then}"
    assert "1 change, 0 dropped, 0 kept" in run(*then.split()[1:], "--dry-run").out


def test_what_cannot_be_reviewed_is_one_line(made: MadeUp, tmp_path: Path) -> None:
    assert "is not a run folder" in run("review", tmp_path).error
    error = run("review", made.run.root, "--data", tmp_path / "x").error
    assert "is not a folder; give the folder that the images are in now" in error
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = run("review", made.run.root, "--port", port, "--no-browser").error
    assert f"port {port} cannot be used" in error
    assert "give another --port" in error
