"""``labelaudit reproduce NAME`` from a data folder to tables: resumed, only read again, and refused in one line."""

import importlib.util
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest

from labelaudit.methods.table import find_method
from labelaudit.reproduce import curves, runner, table1
from tests.cli.helpers import CLASSES, QUICK, interrupted, modified, run, succeed, write_images

TRAINED = ("--epochs", 2, "--image-size", 16, "--batch-size", 16)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``train`` and ``test`` with right labels; to be read only."""
    root = tmp_path_factory.mktemp("clean") / "photos"
    for seed, name in enumerate(("train", "test")):
        write_images(root / name, seed=seed)
    return root


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(folder: str, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(Path(folder, f"{table}.parquet")).to_pylist()
    return found


def measured(name: str, *asked: object) -> str:
    """Measure into ``out``, and once more: everything is there, and the page is the same."""
    outcome = succeed("reproduce", name, "--out", "out", "--no-progress", *asked)
    assert outcome.out == Path(f"out/{name}.md").read_text()
    before = modified(Path("out"))
    assert succeed("reproduce", name, "--out", "out", "--no-progress", *asked).out == outcome.out
    changed = {path for path, when in modified(Path("out")).items() if before[path] != when}
    assert not {path for path in changed if "/" in path and not Path(path).name.startswith(".")}
    return outcome.out


def crowd() -> Path:
    """Write labels of the images, six of them wrong."""
    lines = [f"{name}/{image:03d}.png,{name}" for name in CLASSES for image in range(12)]
    lines[:6] = [line.replace(",ant", ",bee") for line in lines[:6]]
    Path("crowd.csv").write_text("\n".join(["path,label", *lines, ""]))
    return Path("crowd.csv")


def test_detection(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_HAS_MATPLOTLIB", False)  # the next test draws
    asked = ("--noise", "uniform:0.25", "--noisy-labels", crowd(), *QUICK)
    page = measured("detection", "--data", clean / "train", *asked)
    assert page.startswith("# Detection of wrong labels: train\n")
    audits = rows("out", "audits")
    assert [(row["noise"], row["wrong"]) for row in audits] == [("uniform:0.25", 12), ("crowd", 6)]
    assert all(row["samples"] == 48 and row["epochs"] == 4 for row in audits)
    assert {row["estimator"] for row in rows("out", "estimates")} >= {"transition", "gmm"}
    assert len(rows("out", "epochs")) == 2 * 4
    assert "| crowd | AUL |" in page
    other = run("reproduce", "detection", "--data", clean / "train", "--out", "out", *asked[:2], "--epochs", 5)
    assert "epochs is 4 there, 5 asked" in other.error


FIGURES = {"highest-aul", "histograms", "one-sample", "mean-and-deviation", "loss-and-aul", "aul-by-noise"}
OF_NETWORKS, OF_RATES = {"aul-by-network", "networks"}, {"noise-rates"}


def test_the_figures_of_the_aul_paper(clean: Path) -> None:
    asked = ("detection", "--data", clean / "train", *QUICK, "--noise", "uniform:0.25", "--model", "labelaudit_probe")
    succeed("reproduce", *asked, "--out", "plain")
    more = (*asked, "--noise", "uniform:0.5", "--test", clean / "test", "--also-model", "labelaudit_probe_coarse")
    page = succeed("reproduce", *more, "--out", "out").out
    assert rows("out", "epochs")[:4] == rows("plain", "epochs")
    first = {"noise": "uniform:0.25", "model": "labelaudit_probe"}

    def of_first(table: str, **values: object) -> list[dict[str, Any]]:
        return [row for row in rows("out", table) if {**row, **first, **values} == row]

    # The mean of the AUL is the sum of the mean losses, as that of each sample is.
    for field in ("mean", "sample"):
        loss_E = [row[field] for row in of_first("curves", quantity="loss", labels="mislabeled")]
        aul_E = [row[field] for row in of_first("curves", quantity="AUL", labels="mislabeled")]
        assert aul_E == pytest.approx(list(itertools.accumulate(loss_E)))
    for epoch in (1, 2, 4):
        bins = of_first("histograms", quantity="AUL", epoch=epoch)
        assert [sum(row[kind] for row in bins) for kind in ("clean", "mislabeled")] == [36, 12]
    assert [row["wrong"] for row in of_first("highest")] == [True] * 12 + [False] * 12
    assert sum(row["weight"] for row in of_first("mixtures")) == pytest.approx(1)
    networks = rows("out", "networks")
    assert {(row["model"], row["other_model"]) for row in networks} == {("labelaudit_probe", "labelaudit_probe_coarse")}
    assert all(-1 < row[field] < 1 for row in networks for field in curves.CORRELATED)
    for runs in Path("out/uniform-0.25-seed0").glob("run*/test-losses"):
        assert len(pq.read_table(runs)) == 48 * 4
    assert "| held-out loss of the last epoch |" in page
    if importlib.util.find_spec("matplotlib") is not None:
        assert {file.stem for file in Path("plain").glob("*.svg")} == FIGURES
        assert {file.stem for file in Path("out").glob("*.svg")} == FIGURES | OF_NETWORKS | OF_RATES
    assert "run was begun without --test" in run("reproduce", *asked, "--test", clean / "test", "--out", "plain").error


def test_the_labels_of_the_folder_are_compared_with_a_file(clean: Path) -> None:
    succeed("reproduce", "detection", "--data", clean / "train", "--truth", crowd(), "--out", "out", *QUICK)
    (row,) = rows("out", "audits")
    assert (row["noise"], row["samples"], row["wrong"]) == ("given", 48, 6)


def test_an_interrupted_experiment_is_resumed_also_without_matplotlib(
    clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_HAS_MATPLOTLIB", False)
    asked = ("detection", "--data", clean / "train", "--noise", "uniform:0.25", "--seeds", "0,1", *QUICK, "--out")
    with interrupted("labelaudit.run.losses.write_epoch", call=7):  # of the second audit
        assert run("reproduce", *asked, "stopped").code == 130
    assert "Resuming after" in succeed("reproduce", *asked, "stopped").err
    assert "No figures are drawn" in succeed("reproduce", *asked, "whole").err
    assert str(rows("stopped", "estimates")) == str(rows("whole", "estimates"))  # NaN is not equal to itself


def test_prioritization(clean: Path) -> None:
    asked = ("--scale", "smoke", "--data", clean / "train", "--test", clean / "test", "--data-set", "clean")
    asked = (*asked, "--data-set", "random-labels:0.5", "--algorithm", "sb-50", "--subset", 40, *TRAINED)
    page = measured("prioritization", *asked)
    assert "## Table 1: speedup and error\n" in page
    epochs = rows("out", "epochs")
    assert [(row["data_set"], row["algorithm"], row["epoch"]) for row in epochs] == [
        (data_set, algorithm, epoch)
        for data_set in ("clean", "random-labels:0.5")
        for algorithm in ("standard", "sb-50")
        for epoch in (1, 2)
    ]
    standard = [row for row in epochs if row["algorithm"] == "standard"]
    assert [row["backpropagated"] for row in standard] == [40, 80] * 2
    assert [row["selected_share"] for row in standard] == [0, 0, 0.5, 0.5]
    assert all(40 < row["backpropagated"] < 80 for row in epochs if row["algorithm"] == "sb-50" and row["epoch"] == 2)
    trained = json.loads(Path("out/clean-seed0/sb-50/run.json").read_text())
    assert "mirror_test" not in trained  # 42 tests of flips would take longer than all else
    most, least = ([row for row in rows("out", "picks") if row["end"] == end] for end in ("most", "least"))
    counts = np.zeros(40, dtype=int)
    for file in Path("out/clean-seed0/sb-50/picks").iterdir():
        picks = pq.read_table(file)
        counts[picks["sample"].to_numpy()] += picks["times"].to_numpy()
    assert {row["path"].split("/")[0] for row in (*most, *least)} <= {CLASSES[0]}
    assert {row["times"] for row in most} <= set(np.sort(counts)[-2:])
    assert {row["times"] for row in least} <= set(np.sort(counts)[:2])
    other = run("reproduce", "prioritization", *asked, "--epochs", 3, "--out", "out")
    assert "is of other settings or data" in other.error


def test_table1_trains_methods_on_the_digits_with_what_each_needs() -> None:
    methods = ("standard", "co-teaching", "oracle", "dividemix", "aul", "labelaudit")
    asked = ("table1", "--out", "out", "--scale", "smoke", "--subset", 100, "--epochs", 2)
    asked = (*asked, "-P", "co-teaching.warm_up_epochs=1", "--methods")
    with mock.patch.object(table1, "retrain", wraps=table1.retrain) as retrain:
        told = succeed("reproduce", *asked, ",".join(methods))
    page = told.out
    assert "not in the audit" not in told.err  # 100 were drawn
    assert "\n\n100 training images of 10 classes, 2 epochs (the paper: 300), scale smoke (" in page
    assert "), seeds 0, co-teaching.warm_up_epochs=1; labelaudit" in page
    assert "of the first network, measured after every epoch: what" in page
    assert page == Path("out/table1.md").read_text()
    assert page.startswith("# Robust training on noisy labels: digits\n")
    assert "## Audits" in page
    given = {"weights": "weights_csv", "noise_rate": "audit", "truth": "truth_csv"}
    asked_of = {call.args[1].root.name: call.args[2] for call in retrain.call_args_list}
    for options in asked_of.values():
        needs = {need for need, field in given.items() if getattr(options, field)}
        assert needs == set(find_method(options.method).needs)
    assert asked_of["co-teaching"].parameters["warm_up_epochs"] == "1"
    folder = Path("out/uniform-0.4-seed0")
    audit = {row: asked_of[row].weights_csv for row in ("aul", "labelaudit", "dividemix")}
    default, papers = folder / "audit-default", folder / "audit-paper"
    assert audit == {row: (papers if row == "aul" else default) / "weights.csv" for row in audit}
    assert asked_of["co-teaching"].audit == default
    fits = {name: json.loads((run / "noise.json").read_text()) for name, run in (("d", default), ("p", papers))}
    assert {name: fit["fit"]["estimator"] for name, fit in fits.items()} == {"d": "transition", "p": "gmm"}
    assert json.loads((papers / "run.json").read_text())["settings"]["schedule"] == "constant"
    assert [row["audit"] for row in rows("out", "audits")] == ["default", "paper"]
    runs = {row["method"]: row for row in rows("out", "runs")}
    assert tuple(runs) == methods
    assert all(row["status"] == "trained" and row["epochs"] == 2 and row["seconds"] > 0 for row in runs.values())
    assert runs["co-teaching"]["noise_rate"] == rows("out", "audits")[0]["noise_rate"]
    # What is finished is only read.
    with mock.patch.object(table1, "retrain", None):
        fewer = succeed("reproduce", *asked, "standard,dividemix,standard,co-teaching").out
    assert "| dividemix |" in fewer
    assert [row["method"] for row in rows("out", "runs")] == ["standard", "dividemix", "co-teaching"]
    other = run("reproduce", *asked, "standard,co-teaching", "--epochs", 3)
    assert "standard.json is of other settings" in other.error


def test_a_training_that_diverges_is_a_result(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = table1.SCALES["small"]
    monkeypatch.setitem(table1.SCALES, "small", replace(small, training=replace(small.training, lr=1e30, epochs=2)))
    page = measured("table1", "--data", clean, "--noise", "uniform:0.25", "--methods", "standard")
    assert [row["status"] for row in rows("out", "runs")] == ["diverged"]
    assert not Path("out/audits.parquet").exists()  # none of these needs one
    assert "| standard | diverged |" in page


NOISE = ("--noise", "uniform:0.1")
BOTH = ("--data", "photos/train", "--test", "photos/test")


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        ("detection", (), "there is nothing to measure; give --noise"),
        ("detection", (*NOISE, "--seeds", "-1"), "--seeds -1 is negative"),
        ("detection", (*NOISE, "--epochs", "0"), "--epochs 0 is too small"),
        ("detection", (*NOISE, "--also-model", "no_such_model"), "no_such_model"),
        ("detection", (*NOISE, "--test", "photos/test", "--out", "photos/test/out"), "lies in the image folder"),
        ("detection", ("--noisy-labels", "nowhere.csv"), "cannot read nowhere.csv"),
        ("detection", (*NOISE, "--out", "photos/train/out"), "lies in the image folder"),
        ("prioritization", (), "there are no test images"),
        ("prioritization", (*BOTH, "--data-set", "gausian:0.5"), "unknown --data-set 'gausian:0.5'; did you mean"),
        ("prioritization", (*BOTH, "--out", "photos/test/out"), "lies in the image folder"),
        ("prioritization", (*BOTH, "--subset", 1), "--subset 1 is too small"),
        ("table1", ("--subset", 1), "--subset 1 is too small"),
        ("table1", (), "there are no test images"),
        ("table1", ("-P", "elr.beta=0.9", "--methods", "aul"), "-P elr.beta is of no row; give -P ROW.NAME=VALUE"),
        ("table1", ("-P", "elr.betta=0.9"), "unknown parameter 'betta' for elr"),
        ("table1", ("-P", "elr.beta=2"), "parameter beta of elr is '2' (Expected `float` < 1.0); beta: share"),
        ("table1", ("--methods", ","), "--methods names none"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_makes_no_sense_is_refused_in_one_line(
    clean: Path, name: str, words: tuple[object, ...], says: str
) -> None:
    Path("photos").symlink_to(clean)
    asked = ("--data", "photos/train", "--out", "out", "--quiet", *words)
    assert says in run("reproduce", name, *asked).only_error
    assert not list(Path("out").rglob("run.json"))


@pytest.mark.parametrize("name", ["table1", "prioritization"])
def test_what_has_no_data_of_its_own_asks_for_images(name: str) -> None:
    assert "--scale small needs images" in run("reproduce", name, "--out", "out").only_error


def test_several_processes_are_refused(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("WORLD_SIZE", "2")
    outcome = run("reproduce", "detection", "--data", clean / "train", "--out", "out", *NOISE)
    assert "does not run under torchrun" in outcome.only_error
