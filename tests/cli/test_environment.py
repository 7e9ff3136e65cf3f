"""Where it runs: caches that cannot be used, no home folder, a quota of processors."""

import errno
import fcntl
import warnings
from collections.abc import Callable
from pathlib import Path

import joblib
import platformdirs
import pytest
import torch

from labelaudit.cli.options import set_threads
from labelaudit.errors import NoLocksWarning, StorageError
from labelaudit.run.caches import EmbeddingCache
from labelaudit.run.files import _warn_of_no_locks
from tests.cli.helpers import QUICK, file_bytes, succeed

EMBED = ("--probe", "frozen", "--offline", "--epochs", "2", "--image-size", "32")


def no_home(monkeypatch: pytest.MonkeyPatch, _folder: Path) -> None:
    def fail(_name: str) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("LABELAUDIT_CACHE")
    monkeypatch.setattr(platformdirs, "user_cache_path", fail)


def file_in_its_place(_: pytest.MonkeyPatch, folder: Path) -> None:
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("mine")


def full_disk(monkeypatch: pytest.MonkeyPatch, _folder: Path) -> None:
    def fail(*_: object) -> None:
        raise StorageError("no space left for the cache")

    monkeypatch.setattr(EmbeddingCache, "add", fail)
    monkeypatch.setattr("labelaudit.run.caches.PixelWriter.add", fail)


@pytest.mark.parametrize("options", [QUICK, EMBED], ids=["pixels", "embeddings"])
@pytest.mark.parametrize("broken", [no_home, file_in_its_place, full_disk], ids=lambda broken: broken.__name__)
def test_an_audit_goes_on_without_a_cache(
    photos: Path,
    cache_folder: Path,
    broken: Callable[..., None],
    options: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken(monkeypatch, cache_folder)
    outcome = succeed("train-probe", photos, "--run", "audit", *options)
    warned = [line for line in outcome.err.splitlines() if line.startswith("Warning: ")]
    assert len(warned) == 1
    assert warned[0].startswith("Warning: nothing is kept for the next audit of these images: ")
    assert warned[0].endswith("LABELAUDIT_CACHE")


def test_without_cache_and_locks_the_losses_are_the_same_and_the_missing_locks_are_one_line(
    photos: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    succeed("train-probe", photos, "--run", "with", *EMBED)
    no_home(monkeypatch, cache_folder)
    monkeypatch.setattr(fcntl, "flock", refuse)
    _warn_of_no_locks.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NoLocksWarning)
        succeed("train-probe", photos, "--run", "without", *EMBED)
        (said,) = (warnings.formatwarning(told.message, told.category, told.filename, told.lineno) for told in caught)
    assert said.startswith("Warning: the file system cannot lock files")
    assert len(said.splitlines()) == 1
    assert file_bytes(Path("with/losses")) == file_bytes(Path("without/losses"))


@pytest.mark.parametrize(
    ("asked", "variable", "expected"), [(None, None, 2), (None, "8", 16), (5, None, 5)], ids=["quota", "named", "asked"]
)
def test_threads_are_those_of_the_quota_unless_they_are_named(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, variable: str | None, expected: int
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    threads = [16]
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    set_threads(asked)
    assert threads[-1] == expected
