"""The commands under torchrun: several processes, one voice, one set of files. One launch runs them all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from labelaudit.engine.world import joined
from tests.cli.helpers import QUICK, read_rows, run

CO_TEACHING = ("--method", "co-teaching", "-P", "noise_rate=.2", "-P", "warm_up_epochs=1", *QUICK)


def main(photos: Path, folder: Path) -> None:
    """Run every command in this process, and keep how it ended."""
    commands = (
        ("score", photos, "--run", folder / "audit", "-o", "-", *QUICK),
        ("train-probe", photos / "nowhere", "--run", folder / "other", *QUICK),
        ("retrain", photos, "--val", photos, "--out", folder / "together", *CO_TEACHING),
    )
    with joined(torch.device("cpu")):
        outcomes = [vars(run(*words)) for words in commands]
    (folder / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(outcomes))


def torchrun(*words: object) -> None:
    launch = "-m torch.distributed.run --nproc-per-node=2 --standalone -m tests.cli.test_torchrun"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, *launch.split(), *map(str, words)]
    ended = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_two_processes_work_as_one(photos: Path, finished: Path, tmp_path: Path) -> None:
    torchrun(photos, tmp_path)
    first, second = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2))
    assert [each["code"] for each in first] == [each["code"] for each in second] == [0, 2, 0]
    assert not any(each["out"] or each["err"] for each in second), second
    score, mistake, retrain = first

    for line in ("Probe: training labelaudit_probe", "Ranked list: "):
        assert score["err"].count(line) == 1, score["err"]
    for epoch in range(4):
        name = f"losses/epoch-{epoch:04d}.parquet"
        together, alone = pq.read_table(tmp_path / "audit" / name), pq.read_table(finished / name)
        assert together.column("sample").to_pylist() == list(range(48))
        losses = [table.column("loss").to_numpy() for table in (together, alone)]
        np.testing.assert_allclose(*losses, rtol=5e-2, atol=1e-2)  # rounding, magnified
    expected = read_rows((finished / "suspicious.csv").read_text())[:8]
    assert [row["path"] for row in read_rows(score["out"])[:8]] == [row["path"] for row in expected]

    assert mistake["err"].count("Error: there is no folder") == 1, mistake["err"]

    assert retrain["err"].count("Trained with co-teaching") == 1
    assert pq.read_table(tmp_path / "together/metrics.parquet")["epoch"].to_pylist() == list(range(4))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
