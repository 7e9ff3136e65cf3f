"""Several processes are to give what one gives, whatever their number and however the data divide among them."""

import json
import multiprocessing
import socket

import numpy as np
import pytest

from labelaudit.engine.parallel import World
from tests.engine.train_together import train_together


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    train_together(folder, everything=True)
    return {file.stem: np.load(file) for file in folder.glob("*.npz")}


# Torch is imported once, in the server that the processes are forked from.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload([train_together.__module__])


@pytest.mark.parametrize(("processes", "everything"), [(2, True), (3, False)])
def test_any_number_of_processes_gives_the_losses_of_one(alone, processes, everything, tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(listener.getsockname()[1])}
    workers = []
    for rank in range(processes):
        environment = {**where, "WORLD_SIZE": str(processes), "RANK": str(rank)}  # as torchrun sets it
        workers.append(SERVER.Process(target=train_together, args=(tmp_path, everything, environment)))
        workers[-1].start()
    for worker in workers:
        worker.join(timeout=120)
    assert [worker.exitcode for worker in workers] == [0] * processes
    found_in = {file.stem: np.load(file) for file in tmp_path.glob("*.npz")}
    assert set(found_in) == (set(alone) if everything else {"plain", "asking", "selected"})
    for name, found in found_in.items():
        expected = alone[name]
        for epoch, (found_N, expected_N) in enumerate(zip(found["loss_EN"], expected["loss_EN"], strict=True)):
            # Rounding differs, and a training magnifies it from epoch to epoch.
            np.testing.assert_allclose(found_N, expected_N, rtol=1e-3, atol=1e-4 * 10**epoch, err_msg=name)
        if not name.startswith("method "):
            np.testing.assert_array_equal(found["times_EN"], expected["times_EN"])
            np.testing.assert_allclose(found["running_mean"], expected["running_mean"], rtol=1e-2, atol=1e-3)
            np.testing.assert_allclose(found["p_NC"], expected["p_NC"], atol=5e-3)
            assert np.abs(expected["loss_EN"][1] - expected["loss_EN"][0]).mean() > 0.01
    seen = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(processes)]
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
