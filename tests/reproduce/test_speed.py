import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from labelaudit.audit.model import Data
from labelaudit.audit.options import TrainingOptions
from labelaudit.data.folder import scan
from labelaudit.engine import loop
from labelaudit.methods.standard import Standard
from labelaudit.reproduce.speed.__main__ import BENCHMARKS, main
from labelaudit.reproduce.speed.crossvalidation import Part, out_of_fold_probabilities
from labelaudit.reproduce.speed.ordinary import OrdinaryTraining, folder_batches, tensor_batches
from labelaudit.reproduce.speed.ours import recording_off
from labelaudit.reproduce.speed.pictures import make_folder
from labelaudit.reproduce.speed.problem import empty_folder, prepare_folder, subset
from labelaudit.reproduce.speed.timing import Contender, Rates, take_turns

# A process that has computed in threads is forked by the DataLoader on purpose, as everybody does.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

IMAGES = 60


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up JPEGs of three classes."""
    root = tmp_path_factory.mktemp("speed") / "pictures"
    make_folder(root, IMAGES, classes=3, side=48)
    return root


@pytest.fixture
def figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, float]]:
    """Runs a benchmark, checks that table and JSON say the same, and gives the values by name."""

    def run(*arguments: object) -> dict[str, float]:
        file = tmp_path / "new" / "figures.json"
        assert main([str(argument) for argument in (*arguments, "--json", file)]) == 0
        written = json.loads(file.read_text())
        assert written["benchmark"] == arguments[0]
        assert {"torch", "python", "aum", "cleanlab"} <= written["versions"].keys()
        assert written["processor"]
        assert written["threads"] == torch.get_num_threads()
        lines = capsys.readouterr().out.splitlines()[2:]
        assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == [row["name"] for row in written["rows"]]
        assert all(math.isfinite(row["value"]) for row in written["rows"])
        return {row["name"]: row["value"] for row in written["rows"]}

    return run


class Clock:
    """Time that passes only when somebody works."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def worker(self, name: str, seconds: list[float], items: int) -> Contender:
        left = iter(seconds)

        def run() -> None:
            self.calls.append(name)
            self.now += next(left)

        return Contender(name=name, items=items, run=run)


def test_contenders_take_turns_and_are_compared_round_by_round() -> None:
    clock = Clock()
    # The machine is half as fast in the second round and a quarter as fast in the third.
    quick, slow = clock.worker("quick", [9.0, 1.0, 2.0, 4.0], 10), clock.worker("slow", [9.0, 4.0, 8.0, 16.0], 20)
    rates = take_turns([quick, slow], 3, clock=clock)
    assert clock.calls == ["quick", "slow", "quick", "slow", "slow", "quick", "quick", "slow"]
    assert rates.rate_R == {"quick": (10.0, 5.0, 2.5), "slow": (5.0, 2.5, 1.25)}
    assert (rates.ratio("quick", "slow").low, rates.ratio("quick", "slow").high) == (2.0, 2.0)
    assert rates.of("quick").median == 5.0
    assert rates.seconds("slow").median == 0.4


def test_the_warm_up_can_be_left_out() -> None:
    clock = Clock()
    take_turns([clock.worker("only", [1.0], 1)], 1, warm_up=False, clock=clock)
    assert clock.calls == ["only"]


def test_a_ratio_says_who_is_faster_and_its_range() -> None:
    rates = Rates(rate_R={"one": (6.0, 8.0, 12.0), "two": (3.0, 2.0, 4.0)})
    row = rates.ratio_row("one", "two", note="why")
    assert (row.name, row.value, row.unit) == ("one / two", 3.0, "×")
    assert row.note == "from 2 to 4 in 3 rounds; why"


def test_made_up_pictures_are_jpegs_of_the_right_kind_and_always_the_same(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_folder(tmp_path / name, 4, classes=2, side=500)
    files = sorted((tmp_path / "one").rglob("*.jpg"))
    assert [file.relative_to(tmp_path / "one").parts[0] for file in files] == ["class-00"] * 2 + ["class-01"] * 2
    for file in files:
        assert 40_000 < file.stat().st_size < 80_000
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()
        with Image.open(file) as picture:
            assert (picture.size, picture.mode, picture.format) == ((500, 500), "RGB", "JPEG")
            assert picture.layer[0][1:3] == (2, 2)  # 4:2:0


def test_a_folder_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    (tmp_path / "class-00").mkdir()
    make_folder(tmp_path, 100)
    assert not list(tmp_path.rglob("*.jpg"))


def test_a_subset_keeps_every_class(pictures: Path) -> None:
    whole = scan(pictures)
    part = subset(whole, 12)
    assert np.bincount(part.label_N).tolist() == [4, 4, 4]
    assert set(part.paths) <= set(whole.paths)
    assert len(subset(whole, 1000)) == IMAGES


def test_without_recording_nothing_is_kept_and_then_all_is_as_before(pictures: Path) -> None:
    with empty_folder():
        problem = prepare_folder(Data(root=pictures), TrainingOptions(device="cpu")).problem
    assert problem.settings.image_size == 48
    before = loop.__dict__["Recorder"]
    with recording_off():
        training = loop.Training([problem.build()], problem.settings, problem.device)
        record = training.run_epoch(problem.inputs, problem.label_R, Standard(), lambda _finished: None)
        assert record is None
    assert before is loop.__dict__["Recorder"]


def test_no_sample_is_predicted_by_a_network_that_was_trained_on_it(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with empty_folder():
        problem = prepare_folder(Data(root=pictures), TrainingOptions(device="cpu", batch_size=16)).problem
    taught: list[set[int]] = []
    asked: list[int] = []
    teach, predict = loop.Training.run_epoch, loop.Training.predict

    def watch_epoch(self: loop.Training, inputs: Part, *rest: object, **others: object) -> object:
        taught.append(set(inputs._row_P.tolist()))
        return teach(self, inputs, *rest, **others)  # type: ignore[arg-type]

    def watch_predict(self: loop.Training, inputs: Part) -> torch.Tensor:
        assert not taught[-1] & set(inputs._row_P.tolist())
        asked.extend(inputs._row_P.tolist())
        return predict(self, inputs)

    monkeypatch.setattr(loop.Training, "run_epoch", watch_epoch)
    monkeypatch.setattr(loop.Training, "predict", watch_predict)
    p_RK = out_of_fold_probabilities(problem, epochs=1)
    assert sorted(asked) == list(range(IMAGES))
    assert len(taught) == 5
    assert p_RK.shape == (IMAGES, 3)
    np.testing.assert_allclose(p_RK.sum(axis=1), 1, rtol=1e-4)


def test_the_ordinary_loop_learns_and_hands_every_sample_to_aum(pictures: Path) -> None:
    pytest.importorskip("aum")
    with empty_folder():
        folder = prepare_folder(Data(root=pictures), TrainingOptions(device="cpu", batch_size=20))
        for batches in (folder_batches(folder), tensor_batches(folder.problem)):
            training = OrdinaryTraining(folder.problem, batches)
            before = {name: value.clone() for name, value in training._network.state_dict().items()}
            training.run()
            training.run()
            assert training._calculator.counts == dict.fromkeys(range(IMAGES), 2)
            after = training._network.state_dict()
            assert not torch.equal(before["fc.weight"], after["fc.weight"])


def test_loop(pictures: Path, figures: Callable[..., dict[str, float]]) -> None:
    pytest.importorskip("aum")
    found = figures("loop", pictures, "--rounds", 1, "--batch-size", 32, "--image-size", 32)
    assert found.keys() == {
        "ImageFolder + DataLoader + aum",
        "TensorDataset + aum",
        "labelaudit",
        "bare step",
        "labelaudit / ImageFolder + DataLoader + aum",
        "labelaudit / TensorDataset + aum",
        "labelaudit, share of the bare step",
    }
    ratio = found["labelaudit"] / found["TensorDataset + aum"]
    assert found["labelaudit / TensorDataset + aum"] == pytest.approx(ratio)


def test_epochs(tmp_path: Path, figures: Callable[..., dict[str, float]]) -> None:
    pytest.importorskip("aum")
    made = tmp_path / "made"
    found = figures("epochs", made, "--make", 20, "--epochs", 3, "--measured", 1, "--batch-size", 8, "--image-size", 32)
    assert len(list(made.rglob("*.jpg"))) == 20
    assert {"labelaudit, from the folder", "labelaudit: decoding images", "labelaudit: training the probe"} <= set(
        found
    )
    ratio = found["ImageFolder + DataLoader + aum"] / found["labelaudit, from the folder"]
    assert found["labelaudit is faster by"] == pytest.approx(ratio)


def test_recording(pictures: Path, figures: Callable[..., dict[str, float]]) -> None:
    found = figures("recording", pictures, "--rounds", 1, "--batch-size", 32)
    assert found.keys() == {"with recording", "without recording", "recording adds"}
    cost = 100 * (found["without recording"] / found["with recording"] - 1)
    assert found["recording adds"] == pytest.approx(cost)


def test_decode(pictures: Path, figures: Callable[..., dict[str, float]]) -> None:
    found = figures("decode", pictures, "--rounds", 1, "--image-size", 16, "--limit", 30, "--channels", 1)
    loader, ours = "ImageFolder + Resize + DataLoader", "labelaudit decodes"
    assert found[f"{ours} / {loader}"] == pytest.approx(found[ours] / found[loader])
    assert "labelaudit scans and decodes" in found


def test_audit(pictures: Path, tmp_path: Path, figures: Callable[..., dict[str, float]]) -> None:
    pytest.importorskip("cleanlab")
    found = figures(
        "audit", pictures, "--out", tmp_path / "out", "--epochs", 2, "--epochs-cv", 1, 2, "--ordinary-images", 20
    )
    assert (tmp_path / "out" / "uniform-0.2-seed0.csv").is_file()
    for epochs in (1, 2):
        for ranking in ("self_confidence", "normalized_margin"):
            assert 0 <= found[f"cleanlab, {epochs} epochs, {ranking}: AP"] <= 1
    assert {"labelaudit: AP", "labelaudit: AUROC", "labelaudit: whole"} <= found.keys()
    assert any(name.startswith("cleanlab with ImageFolder + DataLoader") for name in found)


def test_device(pictures: Path, figures: Callable[..., dict[str, float]]) -> None:
    found = figures(
        *("device", pictures, "--device", "cpu", "--settings", "labelaudit_probe:2:32", "--rounds", 1),
        *("--epochs-a-turn", 1, "--limit", 30, "--paper", 1),
        *("--synthetic", 16, "--synthetic-model", "labelaudit_probe", "--synthetic-size", 16, "--synthetic-batch", 8),
    )
    assert {
        "labelaudit_probe, 2 epochs, batch 32: from decoded pixels to scores",
        "labelaudit_probe, 2 epochs, batch 32: AUROC",
        "preset paper, all 150 epochs",
        "labelaudit, share of the bare step",
        "recording adds",
    } <= found.keys()


@pytest.mark.parametrize(("benchmark", "package"), [("loop", "aum"), ("epochs", "aum"), ("audit", "cleanlab")])
def test_a_missing_package_is_named_with_the_way_to_get_it(
    benchmark: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def import_module(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("labelaudit.reproduce.speed.extras.importlib", SimpleNamespace(import_module=import_module))
    out = ["--out", str(tmp_path / "out")] if benchmark == "audit" else []
    assert main([benchmark, str(tmp_path), *out]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert package in error
    assert "pip install 'labelaudit[bench]'" in error


@pytest.mark.parametrize(
    "arguments", [["loop", "data", "--rounds", "0"], ["audit", "data", "--out", "out", "--rate", "1"], ["nothing"]]
)
def test_options_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "error: argument" in capsys.readouterr().err


def test_nothing_to_time_and_unreadable_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device", "--device", "cpu"]) == 2
    assert main(["device", "--device", "cpu", "--settings", "resnet18"]) == 2
    assert "MODEL:EPOCHS:BATCH" in capsys.readouterr().err


def test_every_benchmark_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out
    assert all(f"\n    {name}" in listed for name in BENCHMARKS if name != "scale")
