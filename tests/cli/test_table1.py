"""``labelaudit reproduce table1``: the table from a data folder, resumed, and refused in one line."""

import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from labelaudit.methods.table import METHODS
from tests.cli.helpers import modified, run, succeed, write_images

TABLE1 = ("reproduce", "table1")
QUICK = ("--scale", "smoke", "--epochs", "2", "--no-progress")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``train/`` and ``test/`` with right labels; to be read only."""
    root = tmp_path_factory.mktemp("clean") / "photos"
    write_images(root / "train")
    write_images(root / "test")
    return root


def test_methods_and_seeds_become_a_table_that_is_only_read_again(data: Path) -> None:
    asked = (*TABLE1, "--data", data, "--out", "out", *QUICK, "--noise", "uniform:0.25", "--seeds", "0,1")
    outcome = succeed(*asked, "--methods", "standard,incv,d2l")
    out = Path("out")
    assert outcome.out == (out / "table1.md").read_text()
    assert outcome.out.startswith("# Robust training on noisy labels: photos\n")
    assert (out / "uniform-0.25-seed1" / "uniform-0.25-seed1.csv").is_file()
    rows = pq.read_table(out / "runs.parquet").to_pylist()
    assert [(row["seed"], row["method"]) for row in rows] == [
        (seed, method) for seed in (0, 1) for method in ("standard", "incv", "d2l")
    ]
    assert all(row["status"] == "trained" and row["epochs"] == 2 and 0 <= row["error"] <= 1 for row in rows)
    assert all(row["epoch_seconds"] > 0 for row in rows)
    # None of these needs an audit.
    assert pq.read_table(out / "audits.parquet").num_rows == 0
    before = modified(out)
    again = succeed(*asked, "--methods", "standard,incv,d2l")
    assert again.out == outcome.out
    changed = {name for name, when in modified(out).items() if before[name] != when}
    assert not {name for name in changed if name.endswith((".pt", ".safetensors", "metrics.parquet"))}
    # One method more costs only that, and the audit that it needs.
    more = succeed(*asked, "--methods", "standard,dividemix")
    assert "| DivideMix with the AUL |" in more.out
    assert "## Audits" in more.out
    assert "| D2L |" not in more.out


def test_every_method_runs_on_the_digits() -> None:
    outcome = succeed(*TABLE1, "--out", "digits", "--scale", "smoke", "--subset", 150, "--epochs", 2, "--no-progress")
    runs = pq.read_table(Path("digits") / "runs.parquet").to_pylist()
    assert {row["method"] for row in runs} == {entry.name for entry in METHODS}
    assert all(row["status"] == "trained" for row in runs)
    audit, noise_rate = pq.read_table(Path("digits") / "audits.parquet").to_pylist(), {}
    for row in runs:
        noise_rate[row["method"]] = row["noise_rate"]
    assert noise_rate["co-teaching"] == audit[0]["noise_rate"]
    assert 0 < noise_rate["incv"] <= 0.9
    assert noise_rate["standard"] is None or math.isnan(noise_rate["standard"])
    assert "| MentorNet-PD |" in outcome.out


def test_the_cost_is_told_and_nothing_is_trained(data: Path) -> None:
    outcome = succeed(*TABLE1, "--data", data, "--out", "cost", *QUICK, "--cost", "--methods", "standard,co-teaching")
    assert "| co-teaching | 0.0 |" in outcome.out
    assert not Path("cost").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--methods", "standrad"), "did you mean standard"),
        (("--methods", "aul,aul"), "--methods has aul twice"),
        (("--methods", ","), "--methods names none"),
        (("--seeds", "0,x"), "are not whole numbers"),
        (("--seeds", "-1"), "--seeds -1 is negative"),
        (("--subset", 1), "--subset 1 is too small"),
        (("--epochs", 0), "--epochs 0 is too small"),
        (("--noise", "uniform:2"), "is not a number from 0 to below 1"),
        (("--scale", "small"), "--scale small needs images"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(options: tuple[object, ...], message: str) -> None:
    outcome = run(*TABLE1, "--scale", "smoke", "--out", "refused", "--no-progress", *options)
    assert outcome.code == 2
    assert message in outcome.err
    assert len(outcome.err.strip().splitlines()) <= 2


def test_data_without_test_images_are_refused(data: Path) -> None:
    outcome = run(*TABLE1, "--data", data / "train", "--out", "refused")
    assert outcome.code == 2
    assert "there are no test images" in outcome.err
