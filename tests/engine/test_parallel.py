"""Several processes give what one gives, however the data divide among them; threads take parts of a batch."""

import copy
import json
import multiprocessing
import socket

import numpy as np
import pytest
import torch
from torch import nn

from labelaudit.engine.inputs import Augment
from labelaudit.engine.loop import Task, Training
from labelaudit.engine.networks import create
from labelaudit.engine.parallel import in_threads
from tests.engine.helpers import CPU, ignore, image_inputs, loop_settings
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


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def images(count):
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def gradients(network, logits_BC):
    network.zero_grad()
    nn.functional.cross_entropy(logits_BC.float(), torch.arange(len(logits_BC)) % 4).backward()
    return [parameter.grad.clone() for parameter in network.parameters()]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("count", [256, 257, 140, 1])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_logits_and_gradients_are_those_of_the_whole_batch(count, bfloat16):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    threaded, x = in_threads(network, CPU, 256), images(count)
    assert threaded is not network
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        expected, found = network(x), threaded(x)
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected)
    tolerance = {"rtol": 2e-2, "atol": 1e-3} if bfloat16 else {}
    wanted = gradients(network, expected)
    torch.testing.assert_close(gradients(network, threaded(x) if not bfloat16 else found), wanted, **tolerance)


@pytest.mark.usefixtures("two_threads")
def test_batch_norm_sees_each_part_by_itself_and_keeps_the_first_ones_statistics():
    network = create("labelaudit_probe", num_classes=4)
    parts = copy.deepcopy(network), copy.deepcopy(network)
    x = images(256)
    found = in_threads(network, CPU, 256).train()(x)
    expected = torch.cat([part.train()(half) for part, half in zip(parts, x.chunk(2), strict=True)])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(network.features[1].running_mean, parts[0].features[1].running_mean)


@pytest.mark.usefixtures("two_threads")
def test_where_it_does_not_pay_or_would_draw_in_any_order_the_network_stays_as_it_is():
    probe, draws = create("labelaudit_probe"), nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout(0.1))
    for network, batch_size in ((probe, 255), (nn.Linear(3, 2), 256), (draws, 256)):
        assert in_threads(network, CPU, batch_size) is network
    torch.set_num_threads(1)
    assert in_threads(probe, CPU, 256) is probe


@pytest.mark.usefixtures("two_threads")
def test_a_training_in_threads_continues_from_a_state_with_the_same_bits():
    x_NCHW = torch.randint(0, 256, (512, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    inputs = image_inputs(x_NCHW, Augment())
    label_N = torch.arange(512) % 4

    def begin():
        torch.manual_seed(1)
        network, how = create("labelaudit_probe", num_classes=4), loop_settings(epochs=3, batch_size=256)
        return Training([network], how, CPU, Task(inputs, label_N))

    whole = begin()
    first, second = whole.shared[0].replicas
    states = [whole.state() for _ in whole.run_epochs(ignore)]
    assert torch.get_num_threads() == 2
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    again = begin()
    again.load(states[0])
    list(again.run_epochs(ignore))
    assert all(map(torch.equal, whole.networks[0].state_dict().values(), again.networks[0].state_dict().values()))
    assert all(map(torch.equal, whole.predict(inputs), again.predict(inputs)))
