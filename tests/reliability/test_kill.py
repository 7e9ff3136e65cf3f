"""Kill commands at random moments, run them again to the end, and compare the outcome with an undisturbed run.

After every kill, each file under its final name must be whole. At the end every file must have the bytes of the
undisturbed run, and nothing else may lie about. ``LABELAUDIT_KILLS=25`` kills every command so often (default: once).
"""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import save_file

from labelaudit.auditing.training import read_checkpoint
from labelaudit.engine.pretrained import build_network
from tests.cli.helpers import succeed, write_images
from tests.cli.processes import running
from tests.engine.helpers import training_settings

KILLS = int(os.environ.get("LABELAUDIT_KILLS", "1"))
DEADLINE_SECONDS = 120.0
TRAINING = "--image-size 8 --augment none --precision float32 --threads 1 --batch-size 32 --quiet"
TRAIN = f"train-probe INPUTS/images --run PLACE/audit {TRAINING}"
JOBS = {
    "score": f"score INPUTS/images --run PLACE/audit --epochs 3 -o PLACE/list.csv {TRAINING}",
    "train-probe": f"{TRAIN} --members 3 --epochs 4",
    "fit": "fit PLACE/audit --rank-by aum --quiet",
    "report": "report PLACE/audit --quiet --write json=PLACE/report.json",
    "retrain": "retrain INPUTS/images --weights INPUTS/audit/weights.csv --out PLACE/out --val INPUTS/images "
    f"--epochs 8 {TRAINING}",
    "pixel cache": f"{TRAIN} --epochs 1",
    "embedding cache": f"{TRAIN} --probe frozen --folds 2 --epochs 2 --model labelaudit_probe --network-weights "
    "INPUTS/backbone.safetensors",
}
QUICK_JOBS = {"score", "pixel cache", "embedding cache"}
"""The others write as these do, and are killed in the long run only."""

CONSTANTS = {"labelaudit.engine.features._PART": 64}
"""Set in the killed processes: small caches are written as large ones are."""


def make_inputs(job: str, inputs: Path) -> None:
    """Write the images, many and some of them damaged for a cache, and what else the command reads."""
    many = job.endswith("cache")
    write_images(inputs / "images", each=130 if many else 30, wrong=0 if many else 3, size=16 if many else 8)
    for damaged in sorted((inputs / "images/bee").iterdir())[::25] if many else ():
        damaged.write_bytes(damaged.read_bytes()[:-40])
    if job == "embedding cache":
        network = build_network(training_settings(model="labelaudit_probe"), 4, seed=0)
        save_file(network.state_dict(), inputs / "backbone.safetensors")
    if job in ("fit", "report", "retrain"):
        succeed("score", inputs / "images", "--run", inputs / "audit", "--epochs", "3", *TRAINING.split())


@pytest.mark.parametrize("job", [pytest.param(job, marks=[pytest.mark.long] * (job not in QUICK_JOBS)) for job in JOBS])
def test_a_command_that_is_killed_and_run_again_has_the_outcome_of_an_undisturbed_one(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs, place, chance = tmp_path / "inputs", tmp_path / "place", random.Random(job)
    words = [word.replace("INPUTS", str(inputs)).replace("PLACE", str(place)) for word in JOBS[job].split()]
    environment = {"LABELAUDIT_CACHE": str(place / "cache"), "LABELAUDIT_CACHE_GB": "1"}

    def run(seconds: float, *, again: bool = False) -> int:
        """The exit code of the command, which is killed after some seconds."""
        if not again:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            if job in ("fit", "report"):
                shutil.copytree(inputs / "audit", place / "audit")
        with running(*words, environment=environment, constants=CONSTANTS) as process:
            process.join(seconds)
            process.kill()
            process.join()
            return process.exitcode

    make_inputs(job, inputs)
    with running("methods") as process:  # starts the server that forks the processes
        process.join()
    began = time.monotonic()
    assert run(DEADLINE_SECONDS) == 0
    seconds, expected, kills = time.monotonic() - began, outcome_of(place), 0
    while kills < KILLS:
        code, in_a_row = -signal.SIGKILL, 0
        while code == -signal.SIGKILL and in_a_row < (4 if KILLS > 1 else 2):
            code = run(chance.uniform(0, seconds), again=in_a_row > 0)
            assert code in (0, -signal.SIGKILL)
            in_a_row += 1
            require_whole(place)
            kills += code != 0
        assert run(DEADLINE_SECONDS, again=True) == 0
        found = outcome_of(place)
        assert found.keys() == expected.keys()
        assert not [name for name, content in found.items() if content != expected[name]]


def outcome_of(place: Path) -> dict[str, object]:
    """The content of every file by its path; without times of day, and caches by what is in them."""
    found: dict[str, object] = {}
    for path in sorted(path for path in place.rglob("*") if not path.is_dir()):
        name = path.relative_to(place).as_posix()
        is_left_over = path.name.startswith(".") or path.suffix in (".partial", ".note", ".lock")
        assert not is_left_over, f"{path} is left over"
        if name.startswith("cache/embeddings/"):
            for row in pq.read_table(path, columns=["sha256", "embedding", "reason"]).to_pylist():
                found[f"embedding {row['sha256']}"] = row
        elif path.name == "seconds.parquet":  # wall times: only the epochs that have one are compared
            found[name] = pq.read_table(path).column("epoch").to_pylist()
        elif path.suffix == ".json":
            found[name] = {**json.loads(path.read_text()), "created": "", "finished": ""}
        else:
            found[name] = path.read_bytes()
    return found


def require_whole(place: Path) -> None:
    """Read every file that a killed command left under its final name."""
    readers = {".parquet": pq.read_table, ".json": lambda path: json.loads(path.read_bytes()), ".pt": read_checkpoint}
    for path in place.rglob("*"):
        if path.suffix in readers:
            readers[path.suffix](path)
