from pathlib import Path

import pytest
import torch

from labelaudit.auditing.training import read_checkpoint
from labelaudit.errors import RunError
from tests.engine.test_pretrained import RunsCode


@pytest.mark.parametrize("old_format", [False, True])
def test_pickled_code_is_refused_and_does_not_run(tmp_path, old_format):
    file, mark = tmp_path / "checkpoint.pt", tmp_path / "ran"
    torch.save({"epoch": 1, "trap": RunsCode(Path.touch, mark)}, file, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(RunError, match=r"the checkpoint .*checkpoint\.pt is damaged"):
        read_checkpoint(file)
    assert not mark.exists()
    torch.load(file, weights_only=False)
    assert mark.exists()
