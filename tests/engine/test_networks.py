import pytest
import torch
from torch import nn

from labelaudit.engine.networks import create, linear_head, require_known
from labelaudit.engine.pretrained import build_network
from labelaudit.engine.small_networks import PaddedShortcut
from labelaudit.errors import ModelError
from tests.engine.helpers import training_settings

OURS = {
    **{"cifar_resnet20": 0.27e6, "cifar_resnet32": 0.46e6, "cifar_resnet44": 0.66e6, "cifar_resnet56": 0.85e6},
    **{"labelaudit_probe": 300_586, "labelaudit_probe_coarse": 303_306},
    **{"labelaudit_probe_pooled": 1_089_696, "labelaudit_probe_pooled_wide": 1_972_768, "wide_resnet16_4": 2_748_890},
}
"""Parameters with ten classes; those of the residual networks as He et al. give them."""


def images(count=2, channels=3, size=32, seed=0):
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "count"), [*OURS.items(), ("wide_resnet28_10", 36_479_194)])
def test_every_network_of_ours_has_the_published_size_and_trains_on_small_images(name, count):
    network = create(name, num_classes=10)
    assert sum(tensor.numel() for tensor in network.parameters()) == pytest.approx(count, rel=0.02)
    if name.startswith("cifar"):
        layers = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())
        assert name == f"cifar_resnet{layers}"
    for size, channels in ((8, 3), (28, 1)) if name in OURS else ():
        network = create(name, num_classes=7, in_chans=channels)
        logits_BC = network(images(channels=channels, size=size))
        assert logits_BC.shape == (2, 7)
        logits_BC.sum().backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def test_the_pooled_network_begins_as_the_identity_on_its_first_channels_with_small_logits():
    network = create("labelaudit_probe_pooled", num_classes=10).eval()
    first, halve = network.features[2][:2]
    x = images(channels=24, size=31)
    assert torch.equal(first(x)[:, :24], x)
    assert halve(x).shape[-2:] == (15, 15)
    assert torch.equal(halve(x)[:, :, 0, 0], x[:, :, :2, :2].amax(dim=(2, 3)))
    assert network(images(count=64)).std() < 0.3


def test_padded_shortcut_by_hand():
    x = torch.tensor([[[[1.0, 3.0, 5.0], [5.0, 7.0, 9.0], [2.0, 4.0, 6.0]]]])
    found = PaddedShortcut(new_channels=2, stride=2)(x)
    # Means over 2×2 windows; those over the edge are means of what is there.
    assert found[0, 0].tolist() == [[4.0, 7.0], [3.0, 6.0]]
    assert torch.equal(found[0, 1:], torch.zeros(2, 2, 2))
    assert torch.equal(PaddedShortcut(new_channels=1, stride=1)(x)[:, :1], x)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar_resnet23", "unknown model 'cifar_resnet23'.*close names: .*cifar_resnet20"),
        ("zzzzzz", "unknown model 'zzzzzz'.*timm.list_models"),
        ("resnet18.mine", r"resnet18 has no weights tagged 'mine'.*resnet18\.a1_in1k"),
        ("labelaudit_probe.mine", "unknown model.*close names: labelaudit_probe"),
    ],
)
def test_an_unknown_name_or_tag_is_refused_with_those_that_come_close(name, message):
    with pytest.raises(ModelError, match=message):
        require_known(name)


def test_initial_weights_keep_the_scale_of_activations():
    # Kaiming's rule for fan-out: variance 2 / (3 · 3 · channels out).
    network = build_network(training_settings(model="cifar_resnet56"), 10, seed=0)
    widening = network.features[-9].conv1.weight
    assert widening.shape == (64, 32, 3, 3)
    assert widening.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)
    one, same, other = (linear_head(8, 3, seed=seed).weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
