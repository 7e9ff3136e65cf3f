import pytest
import torch

from labelaudit.engine import devices as module
from labelaudit.engine.devices import choose_device, choose_precision, memory_errors
from labelaudit.errors import DeviceError


@pytest.mark.parametrize(
    ("count", "name", "expected"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (0, "cuda", r"finds no CUDA device.*--device cpu"),
        (1, "auto", "cuda"),
        (1, "cuda:0", "cuda:0"),
        (1, "cuda:1", r"there is no cuda:1: 1 CUDA device"),
        (2, "auto", "cuda:1"),  # of two processes, the second
        (1, "gpu", "unknown device 'gpu'.*auto, cpu, cuda"),
        (1, "meta", "unknown device 'meta'"),
    ],
)
def test_a_device_is_chosen_by_its_name(monkeypatch, count, name, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(count))
    monkeypatch.setenv("LOCAL_RANK", "1")
    if " " not in expected:
        assert str(choose_device(name)) == expected
    else:
        with pytest.raises(DeviceError, match=expected):
            choose_device(name)


@pytest.mark.parametrize(
    ("device", "native", "expected"),
    [("cpu", True, "bfloat16"), ("cpu", False, "float32"), ("cuda", (7, 5), "float32"), ("cuda", (8, 0), "bfloat16")],
)
def test_auto_precision_is_bfloat16_where_the_processor_multiplies_it(monkeypatch, device, native, expected):
    monkeypatch.setattr(module, "_cpu_multiplies_bfloat16", lambda: native)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: native)
    device = torch.device(device)
    assert choose_precision("auto", device) == expected
    assert [choose_precision(name, device) for name in ("float32", "bfloat16")] == ["float32", "bfloat16"]


@pytest.mark.parametrize(
    ("error", "batch_size", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), 64, r"batch size 64\W try --batch-size 32$"),
        (torch.OutOfMemoryError("CUDA out of memory"), 2, r"batch size 2\W try a smaller --image-size"),
        (RuntimeError("adaptive_max_pool has no deterministic implementation"), 8, "leave --deterministic out"),
        (RuntimeError("something else"), 8, r"^something else$"),
    ],
)
def test_errors_of_a_device_come_with_advice(error, batch_size, expected):
    kind = RuntimeError if "else$" in expected else DeviceError
    with pytest.raises(kind, match=expected), memory_errors(batch_size):
        raise error
