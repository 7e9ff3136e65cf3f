import pytest
import torch

from labelaudit.engine import devices as module
from labelaudit.engine.devices import choose_device, choose_precision, memory_errors
from labelaudit.errors import DeviceError
from tests.engine.helpers import CPU


@pytest.fixture
def one_cuda_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.fixture
def no_cuda_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.mark.usefixtures("no_cuda_device")
def test_auto_falls_back_to_the_processor_and_cuda_does_not():
    assert choose_device("auto") == CPU
    assert choose_device("cpu") == CPU
    with pytest.raises(DeviceError, match=r"finds no CUDA device.*--device cpu"):
        choose_device("cuda")


@pytest.mark.usefixtures("one_cuda_device")
def test_auto_takes_cuda_where_there_is_one():
    assert choose_device("auto").type == "cuda"
    assert choose_device("cpu").type == "cpu"
    assert choose_device("cuda:0").index == 0
    with pytest.raises(DeviceError, match=r"there is no cuda:1: 1 CUDA device"):
        choose_device("cuda:1")


@pytest.mark.parametrize(("name", "message"), [("gpu", "unknown device 'gpu'"), ("meta", "'meta' is not supported")])
def test_other_devices_are_refused(name, message):
    with pytest.raises(DeviceError, match=f"{message}.*auto, cpu, cuda"):
        choose_device(name)


@pytest.mark.parametrize("native", [True, False])
def test_auto_precision_is_bfloat16_where_the_processor_multiplies_it(monkeypatch, native):
    monkeypatch.setattr(module, "_cpu_multiplies_bfloat16", lambda: native)
    assert choose_precision("auto", CPU) == ("bfloat16" if native else "float32")
    assert choose_precision("float32", CPU) == "float32"
    assert choose_precision("bfloat16", CPU) == "bfloat16"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_auto_precision_follows_the_generation_of_the_device(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert choose_precision("auto", torch.device("cuda")) == expected
    assert choose_precision("float32", torch.device("cuda")) == "float32"


def test_a_torch_without_the_private_questions_trains_in_float32(monkeypatch):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert choose_precision("auto", CPU) == "float32"


@pytest.mark.parametrize(("tried", "advised"), [(64, 32), (3, 2)])
def test_running_out_of_memory_advises_half_the_batch(tried, advised):
    with pytest.raises(DeviceError, match=rf"batch size {tried}\W try --batch-size {advised}$"), memory_errors(tried):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_other_errors_pass_unchanged():
    with pytest.raises(RuntimeError, match=r"^something else$"), memory_errors(8):
        raise RuntimeError("something else")
