import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from labelaudit.auditing.begin import write_network
from labelaudit.auditing.training import read_checkpoint, tensors_of, write_checkpoint
from labelaudit.errors import RunError, StorageError
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
    optimizer = torch.optim.SGD(network().parameters(), lr=0.1, momentum=0.9)
    plain = {"epoch": 7, "name": "probe", "best": None, "optimizer": optimizer.state_dict()}
    tensors = {
        "weights": network().state_dict(),
        "generator": torch.Generator().manual_seed(3).get_state(),
        "half": torch.arange(4, dtype=torch.bfloat16),
    }
    write_checkpoint(tmp_path / "checkpoint.pt", plain | tensors)
    read = read_checkpoint(tmp_path / "checkpoint.pt")
    assert {name: read.pop(name) for name in plain} == plain
    torch.testing.assert_close(read, tensors, rtol=0, atol=0)
    assert names_in(tmp_path) == ["checkpoint.pt"]


@pytest.mark.parametrize("old_format", [False, True])
def test_pickled_code_is_refused_and_does_not_run(tmp_path, old_format):
    file, mark = tmp_path / "checkpoint.pt", tmp_path / "ran"
    torch.save({"epoch": 1, "trap": Trap(mark)}, file, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(RunError, match=r"the checkpoint .*checkpoint\.pt is damaged"):
        read_checkpoint(file)
    assert not mark.exists()
    torch.load(file, weights_only=False)
    assert mark.exists()


def test_missing_files_and_other_content_are_refused(tmp_path):
    file = tmp_path / "checkpoint.pt"
    for write, message in (
        (lambda: None, "is damaged"),
        (lambda: file.write_bytes(pickle.dumps({"epoch": object()})), "is damaged"),
        (lambda: torch.save([torch.zeros(2)], file), "is not one of labelaudit"),
    ):
        write()
        with pytest.raises(RunError, match=message):
            read_checkpoint(file)


def test_a_network_is_read_back_with_its_metadata(tmp_path):
    file = tmp_path / "probe.safetensors"
    saved = network()
    saved[0].weight = nn.Parameter(torch.randn(3, 4).T)
    assert not saved[0].weight.is_contiguous()
    write_network(file, tensors_of(saved), ["ant", "bee"])
    tensors = load_file(file)
    torch.testing.assert_close(tensors, dict(saved.state_dict()), rtol=0, atol=0)
    network().load_state_dict(tensors)
    with safe_open(file, "pt") as handle:
        assert handle.metadata() == {"format": "pt", "classes": "ant\nbee"}
    again = tmp_path / "again"
    write_network(again, tensors_of(saved), ["ant", "bee"])
    assert again.read_bytes() == file.read_bytes()
    with room_for(200), pytest.raises(StorageError, match="no space left"):
        write_network(again, tensors_of(nn.Linear(100, 100)), [])
    assert again.read_bytes() == file.read_bytes()
