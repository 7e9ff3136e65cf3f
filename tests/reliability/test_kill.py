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
import torch
from safetensors.torch import save_file

from labelaudit.engine.pretrained import build_network
from tests.cli.helpers import succeed, write_images
from tests.cli.processes import running

KILLS = int(os.environ.get("LABELAUDIT_KILLS", "1"))
MOST_IN_A_ROW = 4 if KILLS > 1 else 2
DEADLINE_SECONDS = 120.0
LATER = {"train-probe", "retrain", "fit", "report"}
"""Commands of the long run only: they write as the others do."""

TRAINING = "--image-size 8 --augment none --precision float32 --threads 1 --batch-size 32 --quiet"


def images(inputs: Path) -> None:
    write_images(inputs / "images", each=30, wrong=3)


def audit(inputs: Path) -> None:
    images(inputs)
    succeed("score", inputs / "images", "--run", inputs / "audit", "--epochs", "3", *TRAINING.split())


def many_images(inputs: Path) -> None:
    write_images(inputs / "images", each=130, size=16)
    for damaged in sorted((inputs / "images/bee").iterdir())[::25]:
        damaged.write_bytes(damaged.read_bytes()[:-40])


def backbone(inputs: Path) -> None:
    many_images(inputs)
    network = build_network("labelaudit_probe", weights="scratch", num_classes=4, channels=3, seed=0)
    save_file(network.state_dict(), inputs / "backbone.safetensors")


def copy_audit(inputs: Path, place: Path) -> None:
    shutil.copytree(inputs / "audit", place / "audit")


TRAIN = f"train-probe INPUTS/images --run PLACE/audit {TRAINING}"
SCORE = f"score INPUTS/images --run PLACE/audit --epochs 3 -o PLACE/list.csv {TRAINING}"
RETRAIN = f"retrain INPUTS/images --weights INPUTS/audit/weights.csv --out PLACE/out --val INPUTS/images {TRAINING}"
FROZEN = "--probe frozen --folds 2 --epochs 2 --model labelaudit_probe --network-weights INPUTS/backbone.safetensors"
JOBS = {
    "score": (images, None, SCORE),
    "train-probe": (images, None, f"{TRAIN} --members 3 --epochs 4"),
    "fit": (audit, copy_audit, "fit PLACE/audit --rank-by aum --quiet"),
    "report": (audit, copy_audit, "report PLACE/audit --quiet --write json=PLACE/report.json"),
    "retrain": (audit, None, f"{RETRAIN} --epochs 8"),
    "pixel cache": (many_images, None, f"{TRAIN} --epochs 1"),
    "embedding cache": (backbone, None, f"{TRAIN} {FROZEN}"),
}
"""By name: what writes the inputs, what makes the place as it is before the command, and the command."""

CONSTANTS = {"labelaudit.run.caches._NOTE_SECONDS": 0.0, "labelaudit.engine.features._PART": 64}
"""Set in the killed processes: small caches are written as large ones are."""


@pytest.mark.parametrize("job", [pytest.param(job, marks=[pytest.mark.long] * (job in LATER)) for job in JOBS])
def test_a_command_that_is_killed_and_run_again_has_the_outcome_of_an_undisturbed_one(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_inputs, begin, text = JOBS[job]
    inputs, place, chance = tmp_path / "inputs", tmp_path / "place", random.Random(job)
    words = [word.replace("INPUTS", str(inputs)).replace("PLACE", str(place)) for word in text.split()]
    environment = {"LABELAUDIT_CACHE": str(place / "cache"), "LABELAUDIT_CACHE_GB": "1"}

    def run(seconds: float, *, again: bool = False) -> int:
        """The exit code of the command, which is killed after some seconds."""
        if not again:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            if begin:
                begin(inputs, place)
        with running(*words, environment=environment, constants=CONSTANTS) as process:
            process.join(seconds)
            process.kill()
            process.join()
            return process.exitcode

    make_inputs(inputs)
    with running("methods") as process:  # starts the server that forks the processes
        process.join()
    began = time.monotonic()
    assert run(DEADLINE_SECONDS) == 0
    seconds, expected, kills = time.monotonic() - began, outcome_of(place), 0
    while kills < KILLS:
        code, in_a_row = -signal.SIGKILL, 0
        while code == -signal.SIGKILL and in_a_row < MOST_IN_A_ROW:
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
    """The content of every file by its path; without times of day, and caches by what is in them.

    Raises:
        AssertionError: a partial file or a lock is left over.
    """
    found: dict[str, object] = {}
    for path in sorted(path for path in place.rglob("*") if not path.is_dir()):
        name = path.relative_to(place).as_posix()
        assert not path.name.startswith("."), f"{path} is left over"
        assert path.suffix not in (".partial", ".note", ".lock"), f"{path} is left over"
        if name.startswith("cache/embeddings/"):
            for row in pq.read_table(path, columns=["sha256", "embedding", "reason"]).to_pylist():
                found[f"embedding {row['sha256']}"] = row
        elif path.name == "seconds.parquet":  # wall times: only the epochs that have one are compared
            found[name] = pq.read_table(path).column("epoch").to_pylist()
        elif path.suffix == ".json":
            times = ("created", "finished")
            found[name] = {key: value for key, value in json.loads(path.read_text()).items() if key not in times}
        else:
            found[name] = path.read_bytes()
    return found


def require_whole(place: Path) -> None:
    """Read every file that a killed command left under its final name."""
    for path in place.rglob("*.parquet"):
        pq.read_table(path)
    for path in place.rglob("*.json"):
        json.loads(path.read_bytes())
    for path in place.rglob("*.pt"):
        torch.load(path, weights_only=True)
