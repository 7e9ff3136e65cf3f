"""The main path opens no connection: a process in which every connection is refused runs it to the end."""

import os
import subprocess
import sys
from pathlib import Path

from tests.cli.helpers import CLASSES, QUICK, run, succeed, write_images

ROOT = Path(__file__).parents[2]
CONNECTIONS = {f"socket.{name}" for name in ["connect", "getaddrinfo", "gethostbyname", "sendto", "sendmsg", "bind"]}
CONNECTIONS |= {"urllib.Request", "http.client.connect", "ftplib.connect", "smtplib.connect"}


def main_path(place: Path) -> None:
    """Run the main path, and a download that needs the network, in a process that has none."""
    asked = []

    def refuse(event: str, arguments: object) -> None:
        if event in CONNECTIONS:
            asked.append(event)
            raise RuntimeError(f"the network is asked for: {event} {arguments}")

    sys.addaudithook(refuse)
    small, audit = place / "small", place / "audit"
    succeed("score", small, "--run", audit, "-o", place / "list.csv", *QUICK)
    succeed("report", audit, "--write", f"sarif={place}/labels.sarif")
    succeed("fit", audit, "--rank-by", "aum")
    succeed("export", audit, "--to", "huggingface")
    succeed("retrain", small, "--weights", audit / "weights.csv", "--out", place / "net", *QUICK)
    assert "embedded weights" in succeed("score", place / "large", "--run", place / "frozen", "--epochs", 2).err
    assert asked == []
    if "openvino" in sys.modules:  # it embedded the images, and would send statistics of its use
        assert sys.modules["openvino_telemetry"] is None
        assert not (Path.home() / "intel").exists()
    download = run("score", small, "--run", place / "b", "--model", "resnet10t.c3_in1k", "--pretrained")
    assert "cannot be downloaded" in download.error
    assert asked


def test_the_main_path_asks_for_no_network_and_the_guard_sees_a_download(tmp_path: Path) -> None:
    write_images(tmp_path / "small")
    write_images(tmp_path / "large", classes=CLASSES[:2], each=3, size=80)
    (tmp_path / "home").mkdir()
    caches = {"LABELAUDIT_CACHE": "cache", "HF_HOME": "hub", "TORCH_HOME": "torch", "HOME": "home"}
    places = {name: str(tmp_path / folder) for name, folder in caches.items()}
    environment = {**os.environ, **places, "HF_HUB_OFFLINE": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.reliability.test_no_network", str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    main_path(Path(sys.argv[1]))
