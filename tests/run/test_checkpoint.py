import pickle

import pytest
import torch
from safetensors import safe_open
from torch import nn

from labelaudit.errors import RunError, StorageError
from labelaudit.run.checkpoint import read_checkpoint, read_network, write_checkpoint, write_network
from tests.run.helpers import names_in, room_for


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_tensors_and_plain_values_are_read_back(tmp_path):
    optimiser = torch.optim.SGD(network().parameters(), lr=0.1, momentum=0.9)
    state = {
        "epoch": 7,
        "name": "probe",
        "best": None,
        "weights": network().state_dict(),
        "optimiser": optimiser.state_dict(),
        "generator": torch.Generator().manual_seed(3).get_state(),
        "half": torch.arange(4, dtype=torch.bfloat16),
    }
    write_checkpoint(tmp_path / "checkpoint.pt", state)
    read = read_checkpoint(tmp_path / "checkpoint.pt")
    assert list(read) == list(state)
    assert (read["epoch"], read["name"], read["best"]) == (7, "probe", None)
    assert read["optimiser"] == state["optimiser"]
    for one, other in [
        (read["generator"], state["generator"]),
        (read["half"], state["half"]),
        *((read["weights"][name], tensor) for name, tensor in state["weights"].items()),
    ]:
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    assert names_in(tmp_path) == ["checkpoint.pt"]


@pytest.mark.parametrize("old_format", [False, True])
def test_pickled_code_is_refused_and_does_not_run(tmp_path, old_format):
    mark = tmp_path / "ran"
    torch.save(
        {"epoch": 1, "trap": Trap(mark)}, tmp_path / "checkpoint.pt", _use_new_zipfile_serialization=not old_format
    )
    with pytest.raises(RunError, match=r"the checkpoint .*checkpoint\.pt is damaged"):
        read_checkpoint(tmp_path / "checkpoint.pt")
    assert not mark.exists()

    torch.load(tmp_path / "checkpoint.pt", weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: content[: len(content) // 2], id="truncated"),
        pytest.param(lambda content: b"\0" * len(content), id="zeros"),
        pytest.param(lambda content: pickle.dumps({"epoch": object()}), id="pickle"),
    ],
)
def test_a_damaged_checkpoint_is_refused_with_what_to_do(tmp_path, damage):
    file = tmp_path / "checkpoint.pt"
    write_checkpoint(file, {"weights": torch.arange(1000.0)})
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(RunError, match=r"checkpoint\.pt is damaged") as caught:
        read_checkpoint(file)
    assert "delete it" in caught.value.fix


def test_a_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"checkpoint\.pt"):
        read_checkpoint(tmp_path / "checkpoint.pt")


def test_something_else_in_the_file_is_refused(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "checkpoint.pt")
    with pytest.raises(RunError, match="is not one of labelaudit"):
        read_checkpoint(tmp_path / "checkpoint.pt")


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path):
    file = tmp_path / "checkpoint.pt"
    write_checkpoint(file, {"epoch": 1})
    with room_for(2000), pytest.raises(StorageError, match=r"no space left for .*checkpoint\.pt"):
        write_checkpoint(file, {"epoch": 2, "weights": torch.zeros(5000)})
    assert read_checkpoint(file) == {"epoch": 1}
    assert names_in(tmp_path) == ["checkpoint.pt"]


def test_a_network_is_read_back_with_what_is_said_of_it(tmp_path):
    file = tmp_path / "probe.safetensors"
    saved = network()
    saved[0].weight = nn.Parameter(torch.randn(3, 4).T)
    assert not saved[0].weight.is_contiguous()
    write_network(file, saved, {"model": "small", "classes": "4"})

    tensors = read_network(file)
    assert tensors.keys() == saved.state_dict().keys()
    for name, tensor in saved.state_dict().items():
        assert torch.equal(tensors[name], tensor)
    network().load_state_dict(tensors)
    with safe_open(file, "pt") as handle:
        assert handle.metadata() == {"model": "small", "classes": "4"}


def test_equal_networks_give_equal_files(tmp_path):
    about = {f"key {number}": str(number) for number in range(20)}
    saved = network()
    write_network(tmp_path / "one", saved, about)
    write_network(tmp_path / "two", saved, dict(reversed(about.items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read_network(tmp_path / "two").keys() == saved.state_dict().keys()


@pytest.mark.parametrize("content", [None, b"", b"\xff" * 100, b"\x10\0\0\0\0\0\0\0{"])
def test_a_missing_or_damaged_network_is_refused(tmp_path, content):
    file = tmp_path / "probe.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RunError, match=r"probe\.safetensors is missing or damaged"):
        read_network(file)


def test_a_truncated_network_is_refused(tmp_path):
    file = tmp_path / "probe.safetensors"
    write_network(file, network(), {})
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(RunError, match="missing or damaged"):
        read_network(file)


def test_a_full_disk_or_no_folder_is_a_storage_error_for_a_network(tmp_path):
    with room_for(200), pytest.raises(StorageError, match="no space left"):
        write_network(tmp_path / "probe.safetensors", nn.Linear(100, 100), {})
    with pytest.raises(StorageError, match="No such file or directory"):
        write_network(tmp_path / "nowhere" / "probe.safetensors", network(), {})
    assert names_in(tmp_path) == []
