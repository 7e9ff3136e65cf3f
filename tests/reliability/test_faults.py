"""A disk that is really full, a worker that dies, a device without memory."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from labelaudit.data.folder import scan
from labelaudit.data.pixels import PixelFormat
from labelaudit.engine import features
from labelaudit.engine.devices import choose_device, compute_deterministically, memory_errors
from labelaudit.engine.features import embed
from labelaudit.engine.loop import Training
from labelaudit.errors import DeviceError
from tests.cli.helpers import QUICK, file_bytes, run, start, succeed, write_images

ROOT = Path(__file__).parents[2]
_LONG = ("--epochs", "300", "--batch-size", "16", "--image-size", "8", "--threads", "1")


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A file system in memory; only root may have one."""
    place.mkdir()
    mounted = (
        os.geteuid() == 0 and sys.platform == "linux" and _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", place)
    )
    if not mounted:
        pytest.skip("may not mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def _mount(*words: object) -> bool:
    return subprocess.run(["mount", *map(str, words)], check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("size", ["40k", "150k", "400k"])
def test_a_disk_that_is_full_and_then_is_not(
    tmp_path: Path, size: str, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = write_images(tmp_path / "pictures")
    succeed("score", pictures, "--run", tmp_path / "reference", *QUICK)
    with small_disk(tmp_path / "disk", size) as disk:
        error = run("score", pictures, "--run", disk / "audit", *QUICK).error
        assert error.startswith(f"no space left for {disk}/audit/")
        assert error.endswith("free some space and run the command again: it resumes")
        assert not list(disk.rglob("*.partial"))
        assert _mount("-o", "remount,size=50m", disk)
        succeed("score", pictures, "--run", disk / "audit", *QUICK)
        for names in ("epoch-*", "weights.csv", "probe.safetensors"):
            assert file_bytes(disk / "audit", names) == file_bytes(tmp_path / "reference", names)


def test_a_cache_without_room_only_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = write_images(tmp_path / "pictures", each=60, size=16)
    with small_disk(tmp_path / "disk", "20k") as disk:
        monkeypatch.setenv("LABELAUDIT_CACHE", str(disk))
        monkeypatch.setenv("LABELAUDIT_CACHE_GB", "1")
        outcome = succeed("train-probe", pictures, "--run", tmp_path / "audit", *QUICK)
        assert "nothing is kept for the next audit of these images" in outcome.err
        assert not [path for path in disk.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("size", "advice"),
    [(64, "try --batch-size 32"), (3, "try --batch-size 2"), (2, "--image-size"), (1, "--image-size")],
)
@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("[enforce fail] DefaultCPUAllocator: can't")]
)
def test_the_advice_when_memory_runs_out_is_a_batch_size_that_is_taken(
    size: int, advice: str, error: RuntimeError
) -> None:
    with pytest.raises(DeviceError, match=f"ran out of memory at batch size {size};.*{advice}"), memory_errors(size):
        raise error


def test_a_training_without_memory_is_one_line_and_goes_on_with_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = write_images(tmp_path / "pictures")

    def full(*_arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    with monkeypatch.context() as patched:
        patched.setattr(Training, "forward", full)
        error = run("score", pictures, "--run", tmp_path / "audit", *QUICK).error
    assert error == "the device ran out of memory at batch size 16; try --batch-size 8"
    succeed("score", pictures, "--run", tmp_path / "audit", *QUICK)


class Narrow(nn.Module):
    """A backbone that has memory for so many pictures at once."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self._room = room

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        if len(x_BCHW) > self._room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.scale * x_BCHW.mean(dim=(2, 3))


def test_embeddings_take_smaller_batches_where_memory_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = scan(write_images(tmp_path / "pictures"))
    form = PixelFormat(size=8, channels=3)
    found = []
    for number, room in enumerate((100, 5, 1)):
        monkeypatch.setenv("LABELAUDIT_CACHE", str(tmp_path / f"cache-{number}"))
        found.append(
            embed(
                catalogue,
                Narrow(room),
                form,
                statistics=((0.5,) * 3, (0.2,) * 3),
                device=choose_device("cpu"),
                precision="float32",
            )
        )
    for other in found[1:]:
        np.testing.assert_allclose(other.feature_RD, found[0].feature_RD, rtol=1e-6)
    embedder = features._Embedder(Narrow(0), (0.5,) * 3, (0.2,) * 3, choose_device("cpu"), "float32")
    with pytest.raises(DeviceError, match="no memory for one image; try --device cpu"):
        embedder.embed([np.zeros((3, 8, 8), dtype=np.uint8)], ["0" * 64])


def test_deterministic_asks_torch_for_it_and_changes_no_figure_on_a_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = write_images(tmp_path / "pictures")
    succeed("score", pictures, "--run", tmp_path / "plain", *QUICK)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    try:
        succeed("score", pictures, "--run", tmp_path / "same", "--deterministic", *QUICK)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
        compute_deterministically()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    assert file_bytes(tmp_path / "same", "epoch-*") == file_bytes(tmp_path / "plain", "epoch-*")
    assert file_bytes(tmp_path / "same", "*.csv") == file_bytes(tmp_path / "plain", "*.csv")


def test_a_step_without_a_deterministic_form_is_one_line() -> None:
    what = "adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but you set"
    with pytest.raises(DeviceError, match=r"no deterministic form.*leave --deterministic out"), memory_errors(8):
        raise RuntimeError(what)


@pytest.mark.long
def test_a_worker_of_torchrun_that_dies_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    pictures, audit = write_images(tmp_path / "pictures"), tmp_path / "audit"
    words = ("train-probe", pictures, "--run", audit, *_LONG[2:], "--epochs", "100")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*torchrun, "labelaudit", *map(str, words)], env=environment, stderr=subprocess.PIPE
    ) as parent:
        deadline = time.monotonic() + 180
        while not (audit / "losses/epoch-0001.parquet").exists():
            assert time.monotonic() < deadline
            assert parent.poll() is None
            time.sleep(0.01)
        os.kill(_children(parent.pid)[-1], signal.SIGKILL)
        parent.communicate(timeout=120)
    assert parent.returncode != 0
    with start(*words) as alone:  # nobody holds the run any more, and it goes on
        _, err = alone.communicate(timeout=240)
    assert alone.returncode == 0, err
    assert "Going on after" in err


def _children(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(folder.name))
    return sorted(found)
