"""The commands under torchrun: several processes, one voice, one set of files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.cli.helpers import QUICK, succeed

ROOT = Path(__file__).parents[2]


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "--",
        "labelaudit",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=240, check=False
    )


def test_two_processes_give_one_audit(photos: Path, finished: Path) -> None:
    ended = torchrun("score", photos, "--run", "audit", "-o", "-", *QUICK)
    assert ended.returncode == 0, ended.stderr
    for line in ("Probe: training labelaudit_probe", "Ranked list: "):
        assert ended.stderr.count(line) == 1, ended.stderr
    assert ended.stdout.count("rank,path,given_label") == 1
    for epoch in range(4):
        name = f"losses/epoch-{epoch:04d}.parquet"
        together, alone = pq.read_table(f"audit/{name}"), pq.read_table(finished / name)
        assert together.column("sample").to_pylist() == list(range(48))
        losses = [table.column("loss").to_numpy() for table in (together, alone)]
        np.testing.assert_allclose(*losses, rtol=5e-2, atol=1e-2)  # rounding, magnified
    expected = (finished / "suspicious.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in ended.stdout.splitlines()[:9]] == [row.split(",")[1] for row in expected[:9]]


def test_a_mistake_is_told_once(photos: Path) -> None:
    ended = torchrun("train-probe", photos / "nowhere", "--run", "audit", *QUICK)
    assert ended.returncode != 0
    assert ended.stderr.count("Error: there is no folder") == 1, ended.stderr


def test_two_processes_retrain_two_networks_with_two_seeds(photos: Path) -> None:
    words = ("retrain", photos, "--method", "co-teaching", "-P", "noise_rate=.2", "-P", "warm_up_epochs=1")
    words = (*words, "--seeds", "0,1", "--val", photos, *QUICK, "--out")
    ended = torchrun(*words, "together")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("Trained with co-teaching") == 2
    succeed(*words, "alone")
    for seed in (0, 1):
        together, alone = (
            pq.read_table(f"{out}/co-teaching-seed{seed}/metrics.parquet").to_pylist() for out in ("together", "alone")
        )
        assert [row["epoch"] for row in together] == list(range(4))
        assert together[1]["train_loss"] == pytest.approx(alone[1]["train_loss"], rel=5e-2)
