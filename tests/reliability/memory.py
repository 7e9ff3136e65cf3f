"""A command in a process of its own, and the most memory that it held."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cli.helpers import Outcome


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How a command ended, and its peak of resident memory in MB (10⁶ bytes); 0 where the system has no /proc."""

    outcome: Outcome
    peak_megabytes: float
    seconds: float


def run_measured(*words: object, environment: Mapping[str, str], cwd: Path, timeout: float = 240) -> Measured:
    """Run ``labelaudit`` with these words to its end."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "labelaudit", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1", **environment},
    )
    peak = [0.0]

    def watch() -> None:
        # The kernel's own peak, read as long as there is a process: the last reading is at most 20 ms old.
        while process.poll() is None:
            peak[0] = max(peak[0], _peak_bytes(process.pid) / 1e6)
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
        watcher.join()
    return Measured(
        outcome=Outcome(process.returncode, out, err), peak_megabytes=peak[0], seconds=time.monotonic() - began
    )


def _peak_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return 0
