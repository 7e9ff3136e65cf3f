"""Several processes are to give what one gives, whatever their number and however the data divide among them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from labelaudit.engine.parallel import ALONE, World
from labelaudit.errors import DataError
from tests.engine.train_together import train_together

ROOT = Path(__file__).parents[2]


def torchrun(processes: int, script: str, *arguments: object, nodes: int = 1, timeout: float = 240) -> None:
    """Run a module with torchrun, on one machine or on several that all are this one."""
    port = 29600 + os.getpid() % 1000
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    agents = []
    for node in range(nodes):
        where = [f"--nnodes={nodes}", f"--node-rank={node}", "--master-addr=127.0.0.1", f"--master-port={port}"]
        launch = ["torch.distributed.run", f"--nproc-per-node={processes}"]
        command = [sys.executable, "-m", *launch, *(where if nodes > 1 else ["--standalone"]), "-m", script]
        heard = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        agents.append(subprocess.Popen([*command, *map(str, arguments)], env=environment, cwd=ROOT, **heard))
    outputs = [agent.communicate(timeout=timeout)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0] * nodes, "\n".join(outputs)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    train_together(folder, methods=True)
    return {file.stem: np.load(file) for file in folder.glob("*.npz")}


@pytest.mark.parametrize(
    ("processes", "nodes", "what"), [(2, 1, ["methods"]), (3, 1, []), (1, 2, [])], ids=["2", "3", "2 machines"]
)
def test_any_number_of_processes_gives_the_losses_of_one(alone, processes, nodes, what, tmp_path):
    torchrun(processes, "tests.engine.train_together", tmp_path, *what, nodes=nodes)
    for name, expected in alone.items():
        if name.startswith("method ") and not what:
            continue
        found = np.load(tmp_path / f"{name}.npz")
        for epoch, (found_N, expected_N) in enumerate(zip(found["loss_EN"], expected["loss_EN"], strict=True)):
            # Rounding differs, and a training magnifies it from epoch to epoch.
            np.testing.assert_allclose(found_N, expected_N, rtol=1e-3, atol=1e-4 * 10**epoch, err_msg=name)
        if not name.startswith("method "):
            np.testing.assert_array_equal(found["times_EN"], expected["times_EN"])
            np.testing.assert_allclose(found["running_mean"], expected["running_mean"], rtol=1e-2, atol=1e-3)
            np.testing.assert_allclose(found["p_NC"], expected["p_NC"], atol=5e-3)
            assert np.abs(expected["loss_EN"][1] - expected["loss_EN"][0]).mean() > 0.01
    seen = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(processes * nodes)]
    assert len({each["digest"] for each in seen}) == 1
    # An error of the first process reaches all.
    assert {each["error"] for each in seen} == {"no images; look elsewhere"}
    assert [each["told"] for each in seen] == [False] + [True] * (len(seen) - 1)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 64])
def test_shares_cut_a_batch_into_even_parts_in_order(count, size):
    shares = [range(count)[World(rank=rank, size=size).share(count)] for rank in range(size)]
    assert [place for share in shares for place in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_nothing_is_gathered_and_errors_pass():
    part = torch.arange(3)
    assert ALONE.gather(part, 3) is part
    assert ALONE.once(lambda: 5) == 5
    with pytest.raises(DataError, match="bad"):
        ALONE.once(lambda: (_ for _ in ()).throw(DataError("bad")))
    network = torch.nn.Linear(2, 2)
    assert ALONE.share_network(network, torch.device("cpu")) is network
