"""``labelaudit review``: the address, what is written, the end by Ctrl-C, and what is refused in one line."""

import json
import socket
import urllib.request
from pathlib import Path

from labelaudit.review.decisions import read_decisions
from tests.cli.helpers import reviewing, run, suspicious


def test_it_serves_until_ctrl_c_and_ends_with_the_next_command(audit: Path) -> None:
    with reviewing(audit, "--reviewer", "ann") as (address, told):
        with urllib.request.urlopen(address) as answer:
            assert b"<title>photos" in answer.read()
        body = json.dumps({"steps": [[[0, "change", "bee"]]]}).encode()
        origin = "/".join(address.split("/")[:3])
        headers = {"Content-Type": "application/json", "Origin": origin}
        urllib.request.urlopen(urllib.request.Request(address + "decisions", body, headers)).close()
    (decision,) = read_decisions(audit / "decisions.csv").values()
    assert (decision.path, decision.reviewer, decision.label) == ("ant/000.png", "ann", "bee")
    count = len(suspicious(audit))
    assert f"{count} suspicious labels to review. Decisions go to {audit}/decisions.csv" in "\n".join(told)
    then = f"labelaudit relabel {audit}"
    assert told[-1] == f"1 decision in {audit}/decisions.csv. To apply them: {then}"
    assert "1 label is changed, 0 images dropped, 0 kept" in run(*then.split()[1:], "--dry-run").out


def test_what_cannot_be_reviewed_is_one_line(audit: Path, tmp_path: Path) -> None:
    assert "is not a run folder" in run("review", tmp_path).error
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = run("review", audit, "--port", port, "--no-browser").error
    assert f"port {port} cannot be used" in error
    assert "give another --port" in error
