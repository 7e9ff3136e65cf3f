import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

from tests.cli.helpers import write_images

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
    """Writes three images each of cats and dogs, unless others are asked for, and gives the folder."""
    usual = {"classes": ("cat", "dog"), "each": 3}
    return lambda name="images", **asked: write_images(tmp_path / name, **{**usual, **asked})
