"""One network by OpenVINO and by torch, and what OpenVINO cannot run."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from labelaudit.engine import embedder as module
from labelaudit.engine.embedder import build_embedder
from labelaudit.engine.pretrained import build_network
from labelaudit.errors import DeviceError
from tests.engine.helpers import CPU
from tests.helpers import Listener

sys.modules.setdefault("openvino_telemetry", None)  # tests import openvino before the embedder does

SIZE = 32
PIXELS_BCHW = np.random.default_rng(1).integers(0, 256, (5, 3, SIZE, SIZE), dtype=np.uint8)
MEAN_C, STD_C = (0.5, 0.4, 0.3), (0.25, 0.5, 1.0)


def build(backbone, listener=None, precision="float32"):
    how = {"statistics": (MEAN_C, STD_C), "device": CPU, "precision": precision}
    return build_embedder(backbone, SIZE, **how, reporter=listener or Listener())


def by_torch(backbone):
    """Features without any of the package's arithmetic."""
    mean_C11, std_C11 = (torch.tensor(values).view(3, 1, 1) for values in (MEAN_C, STD_C))
    x_BCHW = (torch.from_numpy(PIXELS_BCHW) / 255 - mean_C11) / std_C11
    with torch.no_grad():
        return backbone.eval()(x_BCHW).numpy()


@pytest.mark.parametrize(("model", "weights"), [("tf_efficientnet_lite0", "embedded"), ("resnet10t", "scratch")])
def test_openvino_gives_the_features_of_torch(model, weights):
    pytest.importorskip("openvino")
    backbone = build_network(model, weights=weights, num_classes=0, channels=3, seed=0)
    listener = Listener()
    embedder = build(backbone, listener)
    assert listener.lines == []
    expected_BD = by_torch(backbone)
    for images in (1, 3, 5):  # whatever the size of a batch
        np.testing.assert_allclose(embedder(PIXELS_BCHW[:images]), expected_BD[:images], atol=1e-4)


class Branching(nn.Module):
    """Runs other code for darker images."""

    def forward(self, x_BCHW):
        mean_BC = x_BCHW.mean(dim=(2, 3))
        return mean_BC if mean_BC.mean() > -0.1 else mean_BC.flip(1)


class Untraceable(nn.Module):
    def forward(self, x_BCHW):
        if torch.jit.is_tracing():
            raise TypeError("no such operation")
        return x_BCHW.mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("backbone", "precision", "reason"),
    [
        (Branching(), "float32", "its features come out differently there"),
        (Untraceable(), "float32", "no such operation"),
        (Untraceable(), "bfloat16", "this processor has no bfloat16"),
    ],
)
def test_torch_runs_what_openvino_cannot(backbone, precision, reason, monkeypatch):
    openvino = pytest.importorskip("openvino")
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32"])
    listener = Listener()
    embedder = build(backbone, listener, precision)
    assert listener.lines == [f"torch runs the network, OpenVINO cannot: {reason}"]
    tolerance = {"float32": 1e-5, "bfloat16": 1e-2}[precision]
    np.testing.assert_allclose(embedder(PIXELS_BCHW), by_torch(backbone), atol=tolerance)


def test_torch_runs_the_network_where_openvino_is_not_installed(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _name: None)
    listener = Listener()
    np.testing.assert_allclose(build(Untraceable(), listener)(PIXELS_BCHW), by_torch(Untraceable()), atol=1e-5)
    assert listener.lines == []


def test_a_batch_for_which_there_is_no_memory_is_halved(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _name: None)
    shown = []

    class Small(nn.Module):
        def forward(self, x_BCHW):
            shown.append(len(x_BCHW))
            if len(x_BCHW) > limit:
                raise torch.OutOfMemoryError("no memory")
            return x_BCHW.mean(dim=(2, 3))

    limit = 2
    np.testing.assert_allclose(build(Small())(PIXELS_BCHW), by_torch(Untraceable()), atol=1e-5)
    assert shown == [5, 3, 2, 1, 2]
    limit = 0
    with pytest.raises(DeviceError, match=r"no memory for one image.*--device cpu"):
        build(Small())(PIXELS_BCHW)
