import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several workers with a thread per core each would slow each other down; children inherit this.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("labelaudit", max_examples=50, deadline=None, database=None)
settings.load_profile("labelaudit")


def pytest_configure() -> None:
    """Take SIGINT's default back, which a suite in the background was started without: child processes inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what takes minutes, unless it is asked for."""
    if not os.environ.get("LABELAUDIT_LONG"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes minutes; set LABELAUDIT_LONG"))


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test, so that none finds what another left, or the user's."""
    folder = tmp_path_factory.getbasetemp() / "caches" / uuid4().hex
    monkeypatch.setenv("LABELAUDIT_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_step_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that run on GitHub write nothing below their step."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes ``<class>/<number>.png`` and gives the folder."""

    def write(
        name: str = "images",
        *,
        classes: Sequence[str] = ("cat", "dog"),
        per_class: int = 3,
        size: int = 8,
        mode: str = "RGB",
        seed: int = 0,
    ) -> Path:
        root = tmp_path / name
        generator = np.random.default_rng(seed)
        for number, class_name in enumerate(classes):
            (root / class_name).mkdir(parents=True)
            for which in range(per_class):
                _noise(number, len(classes), size, generator).convert(mode).save(root / class_name / f"{which:03d}.png")
        return root

    return write


def _noise(number: int, classes: int, size: int, generator: np.random.Generator) -> Image.Image:
    """Noise around a brightness that no other class has, with the top rows bright in every second class."""
    level = 40 + 160 * number // max(classes - 1, 1)
    pixels_HWC = generator.integers(level - 15, level + 15, size=(size, size, 3))
    if number % 2:
        pixels_HWC[: size // 2] += 35
    return Image.fromarray(pixels_HWC.astype(np.uint8))
