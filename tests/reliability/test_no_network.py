"""The main path opens no connection: a process in which every connection is refused runs it to the end."""

import os
import subprocess
import sys
from pathlib import Path

from tests.cli.helpers import CLASSES, QUICK, write_images

_GUARDED = """
import sys

asked = []

def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg",
                 "socket.bind", "urllib.Request", "http.client.connect", "ftplib.connect", "smtplib.connect"}:
        asked.append((event, arguments))
        raise RuntimeError(f"the network is asked for: {event} {arguments}")

sys.addaudithook(refuse)
from labelaudit.__main__ import main

def run(words):
    sys.argv = ["labelaudit", *words]
    try:
        main()
    except SystemExit as ended:
        return ended.code or 0
    return 0

for words in WORDS:
    assert run(words) == 0, words
assert not asked, asked
print("never asked")
assert run(DOWNLOAD) == 2
assert asked
"""


def test_the_main_path_asks_for_no_network_and_the_guard_sees_a_download(tmp_path: Path) -> None:
    small = write_images(tmp_path / "small")
    large = write_images(tmp_path / "large", classes=CLASSES[:2], each=3, size=80)
    audit = str(tmp_path / "audit")
    words = [
        ["score", str(small), "--run", audit, "-o", str(tmp_path / "list.csv"), *QUICK],
        ["report", audit, "--write", f"sarif={tmp_path}/labels.sarif"],
        ["fit", audit, "--rank-by", "aum"],
        ["export", audit, "--to", "huggingface"],
        ["retrain", str(small), "--weights", f"{audit}/weights.csv", "--out", str(tmp_path / "net"), *QUICK],
        ["score", str(large), "--run", str(tmp_path / "frozen"), "--epochs", "2"],
    ]
    download = ["score", str(small), "--run", str(tmp_path / "b"), "--model", "resnet10t.c3_in1k", "--pretrained"]
    script = _GUARDED.replace("WORDS", repr(words)).replace("DOWNLOAD", repr(download))
    offline = {"HF_HOME": str(tmp_path / "hub"), "TORCH_HOME": str(tmp_path / "torch"), "HF_HUB_OFFLINE": "0"}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", **offline}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("never asked\n")
    assert "embedded weights" in done.stderr
    assert "cannot be downloaded" in done.stderr
