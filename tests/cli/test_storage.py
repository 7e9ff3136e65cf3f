"""Disks that are full, read-only or out of reach, and outputs that are no files."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.helpers import QUICK, file_bytes, run, start, succeed
from tests.run.helpers import room_for


@pytest.fixture(autouse=True)
def no_pixel_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that fail here are those of the run folder."""
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", "0")


def full_for(name: str) -> Callable[[object, object], None]:
    """An `os.replace` that finds no room for files of this name."""
    replace = os.replace

    def rename(source: object, target: object) -> None:
        if Path(str(target)).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    return rename


def test_places_that_cannot_be_a_run_folder(photos: Path) -> None:
    Path("audit").write_text("mine")
    Path("locked").mkdir(mode=0o500)
    expected = {"audit": "cannot write audit: File exists", "audit/below": "cannot write audit/below: "}
    if Path("/proc/self").exists():  # which even root cannot write to
        expected["/proc/audit"] = "cannot write /proc/audit: "
    if os.geteuid() != 0:
        expected["locked/audit"] = "locked/audit is not writable (permission denied); choose another folder"
    for place, message in expected.items():
        assert run("train-probe", photos, "--run", place, *QUICK).only_error.startswith(message)
    assert Path("audit").read_text() == "mine"


@pytest.mark.parametrize(
    "name",
    ["samples.parquet", "pictures.parquet", "run.json", "checkpoint.pt", "epoch-0002.parquet", "probe.safetensors"],
)
def test_a_disk_that_is_full_for_any_file(
    photos: Path, finished: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full_for(name))
        error = run("train-probe", photos, "--run", "audit", *QUICK).error
    assert error.startswith("no space left for audit/")
    assert error.endswith(f"{name}; free some space and run the command again: it resumes")
    assert not list(Path("audit").rglob("*.partial"))
    succeed("train-probe", photos, "--run", "audit", *QUICK)
    assert file_bytes(Path("audit/losses")) == file_bytes(finished / "losses")
    assert Path("audit/probe.safetensors").read_bytes() == (finished / "probe.safetensors").read_bytes()


@pytest.mark.parametrize(("most_bytes", "name"), [(2_000, "samples.parquet"), (50_000, "checkpoint.pt")])
def test_a_real_write_that_finds_no_room(photos: Path, most_bytes: int, name: str) -> None:
    with room_for(most_bytes):
        outcome = run("train-probe", photos, "--run", "audit", *QUICK)
    assert outcome.error == f"no space left for audit/{name}; free some space and run the command again: it resumes"
    assert not list(Path("audit").rglob("*.partial"))
    succeed("train-probe", photos, "--run", "audit", *QUICK)


def test_a_full_disk_leaves_the_files_of_before(audit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file_bytes(audit)
    Path("out.csv").write_text("precious")
    for name in ("scores.parquet", "out.csv"):
        monkeypatch.setattr(os, "replace", full_for(name))
        words = ("fit", audit, "--rank-by", "aum") if name == "scores.parquet" else ("score", audit, "-o", name, "-q")
        assert f"{name}; free some space" in run(*words).only_error
    assert file_bytes(audit) == before
    assert Path("out.csv").read_text() == "precious"
    assert not list(Path().glob(".*"))


def test_outputs_that_are_no_files(finished: Path) -> None:
    Path("a-folder").mkdir()
    for out in ("absent/folder/out.csv", "a-folder"):
        assert run("score", finished, "--out", out).error.startswith(f"cannot write {out}: ")
    assert not list(Path().rglob("*.partial"))
    os.mkfifo("pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_text()), daemon=True)
    reader.start()
    succeed("score", finished, "--out", "pipe")
    reader.join(10)
    assert read == [(finished / "suspicious.csv").read_text()]
    assert Path("pipe").is_fifo()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs Linux's /dev/full")
def test_an_output_on_a_full_device(finished: Path) -> None:
    Path("full").symlink_to("/dev/full")  # through a link, so that a mistake here harms only the link
    assert run("score", finished, "--out", "full", "-q").only_error.startswith("no space left for full; ")
    assert Path("full").is_symlink()


def test_a_reader_that_has_seen_enough(finished: Path) -> None:
    with start("score", finished, "-o", "-", "--top", "48") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert "Traceback" not in err
    assert "labelaudit failed" not in err
