import mmap
import os

import numpy as np
import pytest
import torch

from labelaudit.engine import inputs as rows
from labelaudit.engine.inputs import MappedRows, ResidentRows, open_rows
from tests.engine.helpers import CPU


@pytest.fixture
def pixels_NCHW():
    return np.random.default_rng(0).integers(0, 256, (300, 3, 8, 8)).astype(np.uint8)


@pytest.fixture
def mapped(pixels_NCHW, tmp_path):
    (tmp_path / "pixels").write_bytes(pixels_NCHW.tobytes())
    return np.memmap(tmp_path / "pixels", dtype=np.uint8, mode="r", shape=pixels_NCHW.shape)


def test_rows_in_memory_are_taken_by_their_number(pixels_NCHW):
    index_B = torch.tensor([299, 0, 7, 7])
    for form in (pixels_NCHW, torch.from_numpy(pixels_NCHW)):
        source = open_rows(form, CPU)
        assert isinstance(source, ResidentRows)
        assert source.place == "in memory"
        assert len(source) == 300
        assert np.array_equal(source.take(index_B).numpy(), pixels_NCHW[index_B.numpy()])


def test_mapped_rows_are_the_same_before_and_after_their_pages_are_released(pixels_NCHW, mapped, monkeypatch):
    monkeypatch.setattr(rows, "_RELEASE_BYTES", 4 * 192)
    source = open_rows(mapped[:290], CPU)
    assert isinstance(source, MappedRows)
    assert source.place == "behind a memory map"
    assert len(source) == 290
    for index_B in torch.randperm(290).split(3):
        source.announce(index_B)
        assert np.array_equal(source.take(index_B).numpy(), pixels_NCHW[index_B.numpy()])


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="the system takes no advice")
def test_memory_stays_bounded_however_much_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "_RELEASE_BYTES", 8 << 20)
    size, shape = 64 << 20, (256, 1, 512, 512)
    with open(tmp_path / "pixels", "wb") as handle:
        handle.truncate(size)
    source = MappedRows(np.memmap(tmp_path / "pixels", dtype=np.uint8, mode="r", shape=shape), CPU)

    def resident_bytes():
        with open("/proc/self/statm") as handle:
            return int(handle.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    source.take(torch.arange(4))
    before, most = resident_bytes(), 0
    for index_B in torch.arange(256).split(4):
        source.announce(index_B)
        source.take(index_B)
        most = max(most, resident_bytes())
    assert most - before < 40 << 20


def test_an_array_that_is_not_mapped_is_refused(pixels_NCHW):
    with pytest.raises(TypeError, match="not memory-mapped"):
        MappedRows(pixels_NCHW, CPU)
