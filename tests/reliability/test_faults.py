"""A disk that is really full, a worker that dies, a device without memory."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from labelaudit.data.folder import scan
from labelaudit.data.pixels import PixelFormat
from labelaudit.engine import features
from labelaudit.engine.devices import choose_device, compute_deterministically
from labelaudit.engine.loop import Training
from labelaudit.errors import DeviceError
from tests.cli.helpers import QUICK, file_bytes, run, start, succeed


def test_a_training_without_memory_is_one_line_and_goes_on_with_more(tmp_path: Path, photos: Path) -> None:
    on_a_processor = RuntimeError("[enforce fail] DefaultCPUAllocator: can't")
    with mock.patch.object(Training, "forward", side_effect=on_a_processor):
        error = run("score", photos, "--run", tmp_path / "audit", *QUICK).error
    assert error == "the device ran out of memory at batch size 16; try --batch-size 8"
    succeed("score", photos, "--run", tmp_path / "audit", *QUICK)


class Narrow(nn.Module):
    """A backbone on a GPU that has memory for so many images at once."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self._room = room

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        if len(x_BCHW) > self._room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return self.scale * x_BCHW.mean(dim=(2, 3))


def test_embeddings_take_smaller_batches_where_memory_is_short(tmp_path, photos, monkeypatch) -> None:
    catalogue, form = scan(photos), PixelFormat(size=8, channels=3)
    scale = {"statistics": ((0.5,) * 3, (0.2,) * 3), "device": choose_device("cpu"), "precision": "float32"}
    found = []
    for room in (100, 5, 1):
        monkeypatch.setenv("LABELAUDIT_CACHE", str(tmp_path / f"cache-{room}"))
        found.append(features.embed(catalogue, Narrow(room), form, **scale).feature_RD)
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-6)
    with pytest.raises(DeviceError, match="no memory for one image; try --device cpu"):
        features.embed(catalogue, Narrow(0), PixelFormat(size=9, channels=3), **scale)


def test_deterministic_asks_torch_for_it_and_changes_no_figure_on_a_processor(
    tmp_path: Path, photos: Path, finished: Path
) -> None:
    with mock.patch.dict(os.environ), torch.backends.cudnn.flags(enabled=True), contextlib.ExitStack() as after:
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
        after.callback(torch.use_deterministic_algorithms, False)
        succeed("score", photos, "--run", tmp_path / "same", "--deterministic", *QUICK)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
        compute_deterministically()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    for names in ("epoch-*", "*.csv"):
        assert file_bytes(tmp_path / "same", names) == file_bytes(finished, names)


@pytest.mark.long
def test_a_worker_of_torchrun_that_dies_leaves_a_run_that_goes_on(tmp_path: Path, photos: Path) -> None:
    audit = tmp_path / "audit"
    words = ("train-probe", photos, "--run", audit, "--epochs", "100", "--image-size", "8", "--threads", "1")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [*torchrun, "labelaudit", *map(str, words)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as parent:
        deadline = time.monotonic() + 180
        while not (audit / "losses/epoch-0001.parquet").exists():
            assert time.monotonic() < deadline
            assert parent.poll() is None
            time.sleep(0.01)
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
        parent.communicate(timeout=120)
    assert parent.returncode != 0
    with start(*words) as alone:  # nobody holds the run any more, and it goes on
        _, err = alone.communicate(timeout=240)
    assert alone.returncode == 0, err
    assert "Resuming after" in err
