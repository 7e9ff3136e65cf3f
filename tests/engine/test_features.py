"""Embeddings, their cache, and a network by OpenVINO and by torch."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from labelaudit.data.pixels import PixelFormat
from labelaudit.engine import features as module
from labelaudit.engine.features import Backbone, embed, normalization
from labelaudit.engine.pretrained import build_network, network_digest
from labelaudit.errors import DeviceError
from tests.data.helpers import encoded, write_catalogue
from tests.engine.helpers import CPU, training_settings
from tests.helpers import Listener

sys.modules.setdefault("openvino_telemetry", None)  # tests import openvino before the package does

FORM = PixelFormat(size=4, channels=3)
MEAN_C, STD_C = (0.5, 0.4, 0.3), (0.25, 0.5, 1.0)
HOW = {"statistics": (MEAN_C, STD_C), "device": CPU, "precision": "float32"}


class MeanColour(nn.Module):
    """Gives the mean of each channel."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x_BCHW):
        assert not self.training
        return self.scale * x_BCHW.mean(dim=(2, 3))


def png(colour):
    return encoded(Image.new("RGB", (6, 5), colour))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "images"


def run(catalogue, backbone, *, listener=None, form=FORM, **changes):
    known = Backbone(network_digest(backbone), lambda: backbone)
    return embed(catalogue, known, form, **{**HOW, **changes}, reporter=listener or Listener())


def expected(colours):
    return (np.array(colours) / 255 - MEAN_C) / STD_C


def test_each_image_gets_the_embedding_of_its_normalized_pixels_and_damaged_ones_are_reported(root):
    colours = [(0, 51, 255), (255, 0, 10)]
    contents = [png(colours[0]), None, png((1, 2, 3))[:50], png(colours[1])]
    for _ in range(2):  # the second time from the cache
        found = run(write_catalogue(root, contents), MeanColour().train())
        assert found.feature_RD.dtype == np.float32
        assert found.sample_R.tolist() == [0, 3]
        np.testing.assert_allclose(found.feature_RD, expected(colours), atol=1e-5)
        assert list(found.failures) == [2]
        assert "damaged" in found.failures[2]
    nothing = run(write_catalogue(root, [b"not an image", None]), MeanColour())
    assert (len(nothing.feature_RD), len(nothing.sample_R), list(nothing.failures)) == (0, 0, [0])


def test_known_images_come_from_the_cache_and_new_ones_do_not(root, monkeypatch):
    monkeypatch.setattr(module, "_PART", 2)
    backbone, listener = MeanColour(), Listener()
    contents = [png((value, 0, 0)) for value in (10, 20, 10)]
    before = run(write_catalogue(root, contents), backbone, listener=listener)
    assert listener.totals == [2]  # equal files are embedded once
    np.testing.assert_array_equal(before.feature_RD[0], before.feature_RD[2])
    again = run(write_catalogue(root, contents), backbone, listener=listener)
    np.testing.assert_array_equal(before.feature_RD, again.feature_RD)
    assert [look.digest for look in again.looks] == [look.digest for look in before.looks]
    np.testing.assert_array_equal([look.value_S for look in again.looks], [look.value_S for look in before.looks])
    assert listener.totals == [2]
    assert "All 2 embeddings are in the cache" in listener.lines[-1]
    more = run(write_catalogue(root, [png((30, 0, 0)), *contents]), backbone, listener=listener)
    assert listener.totals == [2, 1]
    assert "2 of 3 embeddings" in listener.lines[-1]
    np.testing.assert_array_equal(more.feature_RD[1:], before.feature_RD)
    np.testing.assert_allclose(more.feature_RD[0], expected([(30, 0, 0)])[0], atol=1e-5)


def test_the_cache_of_another_backbone_or_format_is_not_used(root):
    catalogue = write_catalogue(root, [png((10, 20, 30))])
    run(catalogue, MeanColour())
    crop = PixelFormat(size=4, channels=3, resize="crop")
    others = {"statistics": (STD_C, STD_C)}, {"precision": "bfloat16"}, {"form": crop}
    for scale, change in ((2.0, {}), *((1.0, other) for other in others)):
        listener = Listener()
        run(catalogue, MeanColour(scale), listener=listener, **change)
        assert listener.totals == [1]


def test_normalization_is_that_of_the_weights():
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert normalization("tf_efficientnet_lite0", "embedded") == ((0.498,) * 3, (0.502,) * 3)
    assert normalization("tf_efficientnet_lite0", "timm") == ((0.5,) * 3, (0.5,) * 3)
    assert normalization("resnet18", "timm") == normalization("labelaudit_probe", "sha256:0123") == imagenet


SIZE = 32
PIXELS_BCHW = np.random.default_rng(1).integers(0, 256, (5, 3, SIZE, SIZE), dtype=np.uint8)


def build(make, listener=None, model=None, **changes):
    return module.build_embedder(Backbone("", make, model), SIZE, **{**HOW, **changes}, reporter=listener or Listener())


def by_torch(backbone):
    """Features without any of the package's arithmetic."""
    mean_C11, std_C11 = (torch.tensor(values).view(3, 1, 1) for values in (MEAN_C, STD_C))
    x_BCHW = (torch.from_numpy(PIXELS_BCHW) / 255 - mean_C11) / std_C11
    with torch.no_grad():
        return backbone.eval()(x_BCHW).numpy()


@pytest.mark.parametrize("model", ["tf_efficientnet_lite0", "tf_efficientnet_lite2"])
def test_the_bundled_backbone_is_built_from_its_file(model):
    pytest.importorskip("openvino")
    backbone = build_network(training_settings(model=model, weights="embedded", image_size=SIZE), 0, seed=0)
    embedder = build(lambda: pytest.fail("it was built"), model=model)
    np.testing.assert_allclose(embedder(PIXELS_BCHW), by_torch(backbone), atol=1e-4)


def test_torch_runs_what_openvino_cannot(monkeypatch):
    openvino = pytest.importorskip("openvino")
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32"])
    embedder = build(MeanColour, listener := Listener(), "tf_efficientnet_lite0", precision="bfloat16")
    assert listener.lines == ["torch runs the network, OpenVINO cannot: this processor has no bfloat16"]
    np.testing.assert_allclose(embedder(PIXELS_BCHW), by_torch(MeanColour()), atol=1e-2)


def test_torch_halves_a_batch_for_which_there_is_no_memory():
    shown = []

    class Small(nn.Module):
        def forward(self, x_BCHW):
            shown.append(len(x_BCHW))
            if len(x_BCHW) > limit:
                raise torch.OutOfMemoryError("no memory")
            return x_BCHW.mean(dim=(2, 3))

    limit = 2
    listener = Listener()
    np.testing.assert_allclose(build(Small, listener)(PIXELS_BCHW), by_torch(MeanColour()), atol=1e-5)
    assert listener.lines == []
    assert shown == [5, 3, 2, 1, 2]
    limit = 0
    with pytest.raises(DeviceError, match=r"no memory for one image.*--device cpu"):
        build(Small)(PIXELS_BCHW)
