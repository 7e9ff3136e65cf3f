"""An image folder and its audit, made once; every test runs in a folder of its own."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.cli.helpers import HOME, QUICK, edit, interrupted, run, succeed, write_images


@pytest.fixture(scope="package", autouse=True)
def one_thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One thread, so that runs in other processes give the same bytes; and what fixtures cache is not the user's."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LABELAUDIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="package")
def photos(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of twelve images, of which the first two show another class; to be read only."""
    return write_images(tmp_path_factory.mktemp("data") / "photos", wrong=2)


@pytest.fixture(scope="package")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished audit of ``photos``; to be read only."""
    folder = tmp_path_factory.mktemp("finished") / "audit"
    succeed("score", photos, "--run", folder, *QUICK)
    return folder


@pytest.fixture(scope="package")
def stopped(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of ``photos`` that was interrupted after two of its four epochs; to be read only."""
    folder = tmp_path_factory.mktemp("stopped") / "audit"
    with interrupted("labelaudit.run.losses.write_epoch", call=3):
        assert run("score", photos, "--run", folder, *QUICK).code == 130
    return folder


@pytest.fixture
def audit(finished: Path, tmp_path: Path) -> Path:
    """A finished audit of ``photos`` that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "audit"))


@pytest.fixture
def half_trained(stopped: Path, tmp_path: Path) -> Path:
    """An audit of ``photos`` of whose four epochs two are trained; a test may change it."""
    return Path(shutil.copytree(stopped, tmp_path / "half-trained"))


@pytest.fixture
def data(photos: Path) -> Path:
    """A copy of ``photos`` that a test may change."""
    return Path(shutil.copytree(photos, "photos"))


@pytest.fixture
def first(data: Path, finished: Path) -> Path:
    """The audit of ``data`` as the first of its runs."""
    shutil.copytree(finished, HOME / "1")
    known = json.loads((HOME / "1/run.json").read_text())["data"]
    edit(HOME / "1/run.json", data={**known, "root": str(data.resolve())})
    return HOME / "1"
