import pytest
import timm
import torch
from torch import nn

from labelaudit.engine.networks import PaddedShortcut, SmallResNet, linear_head, require_known
from labelaudit.engine.weights import build_network
from labelaudit.errors import ModelError

OURS = (
    "cifar_resnet20",
    "cifar_resnet32",
    "cifar_resnet44",
    "cifar_resnet56",
    "labelaudit_probe",
    "labelaudit_probe_coarse",
    "labelaudit_probe_full",
    "labelaudit_probe_pooled",
    "labelaudit_probe_pooled_wide",
    "wide_resnet16_4",
)


def parameters(network):
    return sum(tensor.numel() for tensor in network.parameters())


def pictures(count=2, channels=3, size=32, seed=0):
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("size", [8, 28, 32])
def test_every_network_of_ours_takes_small_pictures_and_trains_on_them(name, size):
    channels = 1 if size == 28 else 3
    network = timm.create_model(name, num_classes=7, in_chans=channels)
    logits_BC = network(pictures(channels=channels, size=size))
    assert logits_BC.shape == (2, 7)
    logits_BC.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "millions"),
    [("cifar_resnet20", 0.27), ("cifar_resnet32", 0.46), ("cifar_resnet44", 0.66), ("cifar_resnet56", 0.85)],
)
def test_parameter_counts_are_those_of_he_et_al(name, millions):
    assert parameters(timm.create_model(name, num_classes=10)) == pytest.approx(1e6 * millions, rel=0.02)


def test_parameter_count_of_the_wide_resnet():
    assert parameters(timm.create_model("wide_resnet28_10", num_classes=10)) == 36_479_194


def test_parameter_count_of_the_fast_probe():
    assert parameters(timm.create_model("labelaudit_probe", num_classes=10)) == pytest.approx(0.3e6, rel=0.02)


def test_the_pooled_network_begins_as_the_identity_on_its_first_channels():
    network = timm.create_model("labelaudit_probe_pooled", num_classes=10)
    first, halve = network.groups[0][0], network.groups[0][1]
    x = pictures(channels=24, size=31)
    assert torch.equal(first(x)[:, :24], x)
    assert halve(x).shape[-2:] == (15, 15)
    assert torch.equal(halve(x)[:, :, 0, 0], x[:, :, :2, :2].amax(dim=(2, 3)))


def test_logits_of_the_pooled_network_begin_small():
    network = timm.create_model("labelaudit_probe_pooled_wide", num_classes=10).eval()
    assert network(pictures(count=64)).std() < 0.3
    assert network.forward_head(network.forward_features(pictures()), pre_logits=True).shape == (2, 256)


@pytest.mark.parametrize(("name", "layers"), [("cifar_resnet20", 20), ("cifar_resnet32", 32), ("cifar_resnet56", 56)])
def test_names_count_the_layers_with_weights(name, layers):
    network = timm.create_model(name)
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules()) == layers


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("cifar_resnet20", (32, 16, 8)),
        ("labelaudit_probe", (16, 8, 4)),
        ("labelaudit_probe_coarse", (8, 4, 2)),
        ("labelaudit_probe_full", (32, 16, 8)),
    ],
)
def test_each_later_stage_halves_the_picture(name, sides):
    network = timm.create_model(name)
    seen = []
    for block in network.blocks:
        block.register_forward_hook(lambda _module, _inputs, output: seen.append(tuple(output.shape[1:])))
    network(pictures())
    base = 16 if name.startswith("cifar") else 32
    assert list(dict.fromkeys(seen)) == [(base * 2**stage, side, side) for stage, side in enumerate(sides)]


def test_padded_shortcut_by_hand():
    x = torch.tensor([[[[1.0, 3.0, 5.0], [5.0, 7.0, 9.0], [2.0, 4.0, 6.0]]]])
    found = PaddedShortcut(new_channels=2, stride=2)(x)
    # Means over 2×2 windows; those over the edge are means of what is there.
    assert found[0, 0].tolist() == [[4.0, 7.0], [3.0, 6.0]]
    assert torch.equal(found[0, 1:], torch.zeros(2, 2, 2))


def test_padded_shortcut_without_stride_keeps_the_picture():
    x = pictures(size=4)
    found = PaddedShortcut(new_channels=1, stride=1)(x)
    assert torch.equal(found[:, :3], x)
    assert torch.equal(found[:, 3:], torch.zeros(2, 1, 4, 4))


def test_features_head_and_logits_fit_together():
    network = timm.create_model("labelaudit_probe", num_classes=5).eval()
    x = pictures()
    features = network.forward_features(x)
    pooled = network.forward_head(features, pre_logits=True)
    torch.testing.assert_close(pooled, features.mean(dim=(2, 3)))
    torch.testing.assert_close(network(x), network.get_classifier()(pooled))
    assert pooled.shape == (2, network.num_features)


def test_no_classes_give_pooled_features():
    network = timm.create_model("labelaudit_probe", num_classes=0).eval()
    assert network(pictures()).shape == (2, 128)


def test_reset_classifier_replaces_the_last_layer():
    network = timm.create_model("labelaudit_probe", num_classes=5)
    network.reset_classifier(3)
    assert network(pictures()).shape == (2, 3)
    assert network.num_classes == 3
    network.reset_classifier(0)
    assert network(pictures()).shape == (2, 128)


def test_a_network_of_ours_has_no_pretrained_weights():
    with pytest.raises(ModelError, match="no pretrained weights"):
        timm.create_model("labelaudit_probe", pretrained=True)


def test_stages_and_widths_have_to_match():
    with pytest.raises(ValueError, match="zip"):
        SmallResNet(blocks=(1, 1), widths=(8,))


@pytest.mark.parametrize("name", [*OURS, "resnet18", "resnet18.a1_in1k", "tf_efficientnet_lite0"])
def test_known_names_pass(name):
    require_known(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cifar_resnet23", "close names: .*cifar_resnet20"),
        ("labelaudit_prob", "close names: labelaudit_probe"),
        ("resnet81", "close names: .*resnet18"),
        ("zzzzzz", "timm.list_models"),
    ],
)
def test_an_unknown_name_is_refused_with_those_that_come_close(name, hint):
    with pytest.raises(ModelError, match=f"unknown model '{name}'.*{hint}"):
        require_known(name)


def test_an_unknown_tag_is_refused_with_those_that_there_are():
    with pytest.raises(ModelError, match=r"resnet18 has no weights tagged 'mine'.*resnet18\.a1_in1k"):
        require_known("resnet18.mine")
    with pytest.raises(ModelError, match=r"'mine'.*leave the tag out"):
        require_known("labelaudit_probe.mine")


def test_equal_seeds_give_equal_heads_and_leave_global_draws_alone():
    state = torch.get_rng_state()
    one, same, other = (linear_head(8, 3, seed=seed) for seed in (1, 1, 2))
    assert one.weight.shape == (3, 8)
    assert torch.equal(one.weight, same.weight)
    assert not torch.equal(one.weight, other.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_initial_weights_keep_the_scale_of_activations():
    # Kaiming's rule for fan-out: variance 2 / (3 · 3 · channels out).
    network = build_network("cifar_resnet56", weights="scratch", num_classes=10, channels=3, seed=0)
    widening = network.blocks[-9].conv1.weight
    assert widening.shape == (64, 32, 3, 3)
    assert widening.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)
