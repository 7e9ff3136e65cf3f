"""The commands under torchrun on two machines: one voice, one set of files. One launch runs them all."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from labelaudit.engine.world import joined
from tests.cli.helpers import QUICK, read_rows, run

CO_TEACHING = ("--method", "co-teaching", "-P", "warm_up_epochs=1", *QUICK)


def main(photos: Path, folder: Path) -> None:
    """Run every command in this process, a machine with cache and folders of its own, and keep how it ended."""
    machine = folder / os.environ["RANK"]
    shutil.copytree(photos, machine / "differing")
    if machine.name == "1":
        (machine / "differing/cat/003.png").unlink()
    os.environ["LABELAUDIT_CACHE"] = str(machine / "cache")
    os.chdir(machine)
    commands = (
        ("score", photos, "--run", "audit", "-o", "-", *QUICK),
        ("train-probe", "differing", "--run", "other", *QUICK, "--image-size", "8"),
        ("train-probe", "nowhere", "--run", "other", *QUICK),
        ("retrain", photos, "--val", photos, "--out", "together", "--run", "audit", *CO_TEACHING),
    )
    with joined(torch.device("cpu")):
        outcomes = [vars(run(*words)) for words in commands]
    (machine / "outcomes.json").write_text(json.dumps(outcomes))


def torchrun(*words: object) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        launch = f"-m torch.distributed.run --nnodes 2 --master-port {listener.getsockname()[1]} --node-rank"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    agents = [
        subprocess.Popen(
            [sys.executable, *launch.split(), node, "-m", "tests.cli.test_torchrun", *map(str, words)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for node in "01"
    ]
    texts = [agent.communicate(timeout=240)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], "".join(texts)


def test_two_processes_work_as_one(photos: Path, finished: Path, tmp_path: Path) -> None:
    torchrun(photos, tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}/outcomes.json").read_text()) for rank in range(2))
    assert [each["code"] for each in first] == [each["code"] for each in second] == [0, 2, 2, 0]
    assert not any(each["out"] or each["err"] for each in second), second
    score, differing, mistake, retrain = first

    for line in ("Probe: training labelaudit_probe", "Ranked list: "):
        assert score["err"].count(line) == 1, score["err"]
    for epoch in range(4):
        name = f"losses/epoch-{epoch:04d}.parquet"
        together, alone = pq.read_table(tmp_path / "0/audit" / name), pq.read_table(finished / name)
        assert together.column("sample").to_pylist() == list(range(48))
        losses = [table.column("loss").to_numpy() for table in (together, alone)]
        np.testing.assert_allclose(*losses, rtol=5e-2, atol=1e-2)  # rounding, magnified
    expected = read_rows((finished / "suspicious.csv").read_text())[:8]
    assert [row["path"] for row in read_rows(score["out"])[:8]] == [row["path"] for row in expected]

    assert differing["err"].count("Error: differing/cat/003.png cannot be read on ") == 1, differing["err"]
    assert mistake["err"].count("Error: there is no folder") == 1, mistake["err"]

    assert retrain["err"].count("Trained with co-teaching") == 1
    assert pq.read_table(tmp_path / "0/together/metrics.parquet")["epoch"].to_pylist() == list(range(4))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
