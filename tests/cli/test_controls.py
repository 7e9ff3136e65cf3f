import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.cli.helpers import file_bytes, interrupted, read_rows, run, succeed, write_images

QUICK = ("--epochs", 5, "--batch-size", "16", "--image-size", "8", "--threads", "1")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images", each=40, wrong=3)


@pytest.fixture(scope="module")
def audit(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audits") / "controls"
    told = succeed("score", images, "--run", folder, "--controls", *QUICK).err
    assert "Planted errors ranked above the threshold: " in told
    return folder


def test_controls_are_taught_another_label_and_judged_by_their_given_one(audit: Path) -> None:
    samples = pq.read_table(audit / "samples.parquet").to_pylist()
    scores = pq.read_table(audit / "scores.parquet").to_pylist()
    controls = [sample for sample in samples if sample["control"]]
    assert 0 < len(controls) <= 0.1 * len(samples)
    assert {sample["control"] for sample in controls} <= {"random", "confusion", "look-alike"}
    assert all((sample["taught_label"] != sample["label"]) == bool(sample["control"]) for sample in samples)
    assert len(read_rows((audit / "weights.csv").read_text())) == len(samples)
    assert [score["given_label"] for score in scores] == [sample["class"] for sample in samples]
    assert all(np.isfinite(score["p_mislabeled"]) for score in scores)
    # The pilot saw their given labels, most of which are right.
    flagged = [score["p_mislabeled"] > 0.5 for score, sample in zip(scores, samples, strict=True) if sample["control"]]
    assert np.mean(flagged) < 0.5
    noise = json.loads((audit / "noise.json").read_text())
    assert sum(noise["controls"].values()) == len(controls)
    assert {row["expected"] for row in noise["kinds"]["planted"]} == {"mislabeled", "corrupted"}
    power = noise["power"]["kinds"]
    for entry in (entry for entry in power if entry["class"] is None):
        of_classes = [other for other in power if other["kind"] == entry["kind"] and other["class"] is not None]
        assert entry["planted"] == sum(other["planted"] for other in of_classes)
        assert entry["found"] == sum(other["found"] for other in of_classes) <= entry["planted"]


def test_a_run_keeps_its_controls(images: Path, audit: Path) -> None:
    before = file_bytes(audit / "losses")
    error = run("score", images, "--run", audit, "--no-controls", *QUICK).only_error
    assert "it has planted controls, without them is asked" in error
    succeed("score", images, "--run", audit, *QUICK)
    assert file_bytes(audit / "losses") == before


@pytest.mark.parametrize("call", [1, 3], ids=["in the pilot", "after planting"])
def test_interrupted_before_and_after_planting_it_ends_the_same(images: Path, audit: Path, call: int) -> None:
    words = ("train-probe", images, "--run", "audit", "--controls", *QUICK)
    with interrupted("labelaudit.run.losses.write_epoch", call=call):
        assert run(*words).code == 130
    succeed(*words)
    assert file_bytes(Path("audit/losses")) == file_bytes(audit / "losses")
    assert Path("audit/samples.parquet").read_bytes() == (audit / "samples.parquet").read_bytes()


def test_members_are_trainings_with_seeds_of_their_own(images: Path) -> None:
    words = ("train-probe", images, *QUICK)
    succeed(*words, "--run", "one")
    with interrupted("labelaudit.run.losses.write_epoch", call=6):
        assert run(*words, "--run", "two", "--members", 2).code == 130
    succeed(*words, "--run", "two", "--members", 2)
    one, two = file_bytes(Path("one/losses")), file_bytes(Path("two/losses"))
    assert (len(one), len(set(two.values()))) == (5, 10)
    assert {name: two[name] for name in one} == one
    succeed("fit", "two")
    assert json.loads(Path("two/noise.json").read_text())["epochs"] == 10
