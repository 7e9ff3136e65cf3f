"""Choose the device and the number format of a training, and turn their errors into advice."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib

from labelaudit.engine.lazy import torch
from labelaudit.errors import DeviceError, brief
from labelaudit.names import Precision

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_DRIVERS = ("/dev/nvidiactl", "/dev/nvmap", "/dev/dxg", "/dev/kfd")
"""One of these is there where a driver for CUDA is: NVIDIA's, that of its small boards, of WSL, or AMD's."""


@dataclass(frozen=True)
class Device:
    """What a training runs on; its text is torch's name of it."""

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


def choose_device(name: str) -> Device:
    """Return the device of a name: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Of several processes on a machine, each takes the CUDA device of its own number. A device that is not there or not
    known is a DeviceError.
    """
    if name == "auto":
        name = "cuda" if _has_driver() and torch.cuda.is_available() else "cpu"
    if name == "cuda" and int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    if not re.fullmatch(r"cpu|cuda(:\d{1,2})?", name):
        raise DeviceError(f"unknown device {name!r}", fix="use auto, cpu, cuda or cuda:0")
    kind, _, number = name.partition(":")
    device = Device(kind, int(number) if number else None)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError("CUDA was asked for, but torch finds no CUDA device", fix="use --device cpu")
        if (device.index or 0) >= (count := torch.cuda.device_count()):
            raise DeviceError(f"there is no {name}: {count} CUDA device(s)", fix="use a lower number")
    return device


def _has_driver() -> bool:
    """False where there can be no CUDA device: then torch need not be loaded to ask it."""
    return "torch" in sys.modules or sys.platform != "linux" or any(map(os.path.exists, _DRIVERS))


def choose_precision(name: str, device: Device) -> Precision:
    """Return the format of a name: ``auto`` is bfloat16 where the processor multiplies it natively, else float32."""
    if name == "auto":
        cuda = device.type == "cuda"
        native = torch.cuda.get_device_capability(str(device)) >= (8, 0) if cuda else _cpu_multiplies_bfloat16()
        return "bfloat16" if native else "float32"
    return "bfloat16" if name == "bfloat16" else "float32"


def _cpu_multiplies_bfloat16() -> bool:
    with contextlib.suppress(OSError):  # Linux only, as is what torch does on other systems
        return bool({"amx_tile", "avx512_bf16"} & set(Path("/proc/cpuinfo").read_text().split("\n\n")[0].split()))
    return False


@contextlib.contextmanager
def memory_errors(batch_size: int) -> Iterator[None]:
    """Turn the error of a device that lacks memory, or a deterministic form of a step, into a DeviceError."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            fix = "try a smaller --image-size or another --model"
            if batch_size > 2:  # batch norm cannot take one image alone
                fix = f"try --batch-size {max(2, batch_size // 2)}"
            raise DeviceError(f"the device ran out of memory at batch size {batch_size}", fix=fix) from error
        if "deterministic" in str(error):
            what = f"a step of this network has no deterministic form ({brief(error, 80)})"
            raise DeviceError(what, fix="leave --deterministic out, or take another --model") from error
        raise


def is_out_of_memory(error: RuntimeError) -> bool:
    """True when torch says that a device has no memory left; for the processor it has no type of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Have each thread that is started meanwhile compute alone, without torch's own threads."""
    if "torch" not in sys.modules:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def set_threads(threads: int | None) -> None:
    """Use this many processor threads for arithmetic; None is torch's choice, within the quota of a container.

    Where a variable of the environment names a number, as under torchrun, torch's choice is that.
    """
    if threads is None and not set(_THREADS) & set(os.environ):
        threads = joblib.cpu_count()
        threads = min(torch.get_num_threads(), threads) if "torch" in sys.modules else threads
    if threads is not None and "torch" in sys.modules:
        torch.set_num_threads(threads)
    elif threads is not None:
        os.environ[_THREADS[0]] = str(threads)  # torch reads it when it is loaded


def count_threads() -> int:
    """Return how many processor threads are used for arithmetic."""
    if "torch" in sys.modules:
        return torch.get_num_threads()
    named = [value for name in _THREADS if (value := os.environ.get(name, "")).isdecimal() and int(value)]
    return int(named[0]) if named else joblib.cpu_count()


def compute_deterministically() -> None:
    """Make torch take only steps that give the same bits each time in this process; slower on a GPU."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
