import pickle

import pytest
import torch

from labelaudit.auditing.training import read_checkpoint
from labelaudit.errors import RunError


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


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
