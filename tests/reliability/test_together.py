"""Two commands at once on one run folder, cache, data folder or output: one waits or is refused, and nothing mixes."""

import os
from pathlib import Path
from unittest import mock

import pytest

from labelaudit.auditing import probe
from labelaudit.review.moves import LOCK
from labelaudit.review.relabel import relabel, undo
from labelaudit.run.files import held
from tests.cli.helpers import QUICK, file_bytes, interrupted, run, succeed, write_images
from tests.cli.processes import running
from tests.review.helpers import change, saved


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images")


def test_two_audits_of_one_folder_share_a_cache_and_do_not_mix(photos: Path, finished: Path, tmp_path: Path) -> None:
    environment = {"LABELAUDIT_CACHE": str(tmp_path / "cache")}
    words = [("score", photos, "--run", tmp_path / name, "-o", tmp_path / "same.csv", *QUICK) for name in ("a", "b")]
    with running(*words[0], environment=environment) as one, running(*words[1], environment=environment) as other:
        for process in (one, other):
            process.join(60)
            assert process.exitcode == 0
    expected, *found = (file_bytes(folder) for folder in (finished, tmp_path / "a", tmp_path / "b"))
    for files in (expected, *found):
        files.pop("run.json")  # it has times of day
        assert files == expected
    assert (tmp_path / "same.csv").read_bytes() == expected["suspicious.csv"]
    assert sorted(path.suffix for path in (tmp_path / "cache/pixels").iterdir()) == [".json", ".u8"]
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize("command", ["score", "retrain"])
def test_a_folder_that_is_being_relabeled_is_refused_with_the_process(images, tmp_path, command) -> None:
    words = ("--method", "standard", "--out", tmp_path / "out") if command == "retrain" else ("--run", tmp_path / "out")
    with held(images / LOCK, images):
        error = run(command, images, *words, *QUICK).only_error
    assert error == f"{images} is being relabeled by process {os.getpid()} on {os.uname().nodename}; wait for it"
    assert not (tmp_path / "out").exists()


def test_a_folder_whose_relabeling_was_interrupted_is_refused(images: Path, tmp_path: Path) -> None:
    corrections = saved(tmp_path / "corrections.csv", change("ant/000.png", "bee"))
    with interrupted("labelaudit.review.moves._unlink_old_names", call=1), pytest.raises(KeyboardInterrupt):
        relabel(images, corrections)
    words = ("score", images, "--run", tmp_path / "audit", *QUICK)
    error = run(*words).only_error
    assert error.startswith(f"a relabeling of {images} was interrupted")
    assert f"labelaudit relabel {images} --undo" in error
    undo(images)
    prepare = probe.prepare

    def meanwhile(*arguments: object, **keywords: object) -> object:
        relabel(images, corrections)
        return prepare(*arguments, **keywords)

    with mock.patch.object(probe, "prepare", meanwhile):
        assert run(*words).error == f"{images} was relabeled while it was read; run the command again"
    undo(images)
    succeed(*words)
