"""Planted controls, members and folds, from the command line."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import timm
import torch

from tests.cli.helpers import file_bytes, read_rows, run, succeed, write_images
from tests.cli.processes import run_until_it_dies

QUICK = ("--epochs", 7, "--batch-size", "16", "--image-size", "8", "--threads", "1")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "pictures", each=60, wrong=4)


@pytest.fixture(scope="module")
def audit(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audits") / "controls"
    succeed("score", pictures, "--run", folder, "--controls", *QUICK)
    return folder


def samples_of(folder: Path) -> list[dict]:
    return pq.read_table(folder / "samples.parquet").to_pylist()


def losses_of(folder: Path) -> dict[str, bytes]:
    return file_bytes(folder / "losses")


def test_controls_are_marked_and_taught_another_label(audit: Path) -> None:
    samples = samples_of(audit)
    controls = [sample for sample in samples if sample["control"]]
    assert 0 < len(controls) <= 0.1 * len(samples)
    assert {sample["control"] for sample in controls} <= {"random", "confusion", "look-alike"}
    assert all((sample["taught_label"] != sample["label"]) == bool(sample["control"]) for sample in samples)
    planted = json.loads((audit / "noise.json").read_text())["controls"]
    assert sum(planted.values()) == len(controls)


def test_controls_are_judged_by_their_given_labels_like_all_others(audit: Path) -> None:
    scores = pq.read_table(audit / "scores.parquet").to_pylist()
    samples = samples_of(audit)
    assert len(read_rows((audit / "weights.csv").read_text())) == len(samples)
    assert all(score["given_label"] == sample["class"] for score, sample in zip(scores, samples, strict=True))
    assert all(np.isfinite(score["p_mislabeled"]) for score in scores)
    # The pilot saw their given labels, most of which are right.
    flagged = [score["p_mislabeled"] > 0.5 for score, sample in zip(scores, samples, strict=True) if sample["control"]]
    assert np.mean(flagged) < 0.5


def test_the_power_on_controls_is_told(audit: Path, pictures: Path) -> None:
    outcome = run("fit", audit)
    assert "Of labels made wrong on purpose, this audit ranks above the cut: of " in outcome.err
    power = json.loads((audit / "noise.json").read_text())["power"]["kinds"]
    whole = {entry["kind"]: entry for entry in power if entry["class"] is None}
    for kind, entry in whole.items():
        of_classes = [other for other in power if other["kind"] == kind and other["class"] is not None]
        assert entry["planted"] == sum(other["planted"] for other in of_classes)
        assert entry["found"] == sum(other["found"] for other in of_classes) <= entry["planted"]


def test_without_controls_their_estimator_says_so(pictures: Path, tmp_path: Path) -> None:
    succeed("score", pictures, "--run", tmp_path / "plain", "--estimator", "controls", *QUICK)
    noise = json.loads((tmp_path / "plain" / "noise.json").read_text())
    assert noise["noise_rate"] is None
    assert noise["suspicious"] == 0
    assert "Audit again with --controls" in noise["warnings"][0]


def test_a_run_keeps_its_controls(pictures: Path, audit: Path) -> None:
    before = losses_of(audit)
    outcome = run("score", pictures, "--run", audit, "--no-controls", *QUICK)
    assert outcome.code == 2
    assert "it has planted controls, without them is asked" in outcome.only_error
    succeed("score", pictures, "--run", audit, *QUICK)
    assert losses_of(audit) == before


@pytest.mark.parametrize("calls", [2, 5, 8, 11])
def test_killed_before_and_after_planting_it_ends_the_same(
    pictures: Path, audit: Path, tmp_path: Path, calls: int
) -> None:
    words = ("train-probe", pictures, "--run", tmp_path / "audit", "--controls", *QUICK)
    ends = [run_until_it_dies(*words, dies_at=("replace", calls))]
    while ends[-1] != 0 and len(ends) < 20:
        ends.append(run_until_it_dies(*words, dies_at=("replace", max(calls, 5))))
    assert ends[0] != 0
    assert ends[-1] == 0
    assert losses_of(tmp_path / "audit") == losses_of(audit)
    assert samples_of(tmp_path / "audit") == samples_of(audit)


def test_members_are_trainings_with_seeds_of_their_own(pictures: Path, tmp_path: Path) -> None:
    for name, members in (("one", 1), ("three", 3)):
        succeed("train-probe", pictures, "--run", tmp_path / name, "--members", members, *QUICK)
    one, three = losses_of(tmp_path / "one"), losses_of(tmp_path / "three")
    assert (len(one), len(three)) == (7, 21)
    assert {name: three[name] for name in one} == one
    assert len(set(three.values())) == 21
    succeed("fit", tmp_path / "three")
    assert json.loads((tmp_path / "three" / "noise.json").read_text())["epochs"] == 21


def test_killed_between_members_it_ends_the_same(pictures: Path, tmp_path: Path) -> None:
    words = ("train-probe", pictures, "--members", 2, *QUICK, "--run")
    succeed(*words, tmp_path / "whole")
    ends = [run_until_it_dies(*words, tmp_path / "audit", dies_at=("replace", 9))]
    while ends[-1] != 0 and len(ends) < 20:
        ends.append(run_until_it_dies(*words, tmp_path / "audit", dies_at=("replace", 8)))
    assert ends[0] != 0
    assert losses_of(tmp_path / "audit") == losses_of(tmp_path / "whole")


def test_folds_are_for_frozen_backbones(pictures: Path, tmp_path: Path) -> None:
    outcome = run("score", pictures, "--run", tmp_path / "audit", "--folds", 3, *QUICK)
    assert outcome.only_error == "--folds is for heads on a frozen backbone; leave it out, or add --probe frozen"
    backbone = timm.create_model("cifar_resnet20", num_classes=10)
    torch.save(backbone.state_dict(), tmp_path / "backbone.pt")
    words = ("--probe", "frozen", "--model", "cifar_resnet20", "--network-weights", tmp_path / "backbone.pt", *QUICK)
    losses = {}
    for folds in (None, 1, 3, 5):
        options = () if folds is None else ("--folds", folds)
        succeed("train-probe", pictures, "--run", tmp_path / f"audit{folds}", *words, *options)
        losses[folds] = losses_of(tmp_path / f"audit{folds}")
    assert losses[None] == losses[5]
    assert {len(epochs) for epochs in losses.values()} == {7}
    assert not set(losses[1].values()) & set(losses[3].values())
    assert not set(losses[5].values()) & set(losses[3].values())
