import hashlib
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from labelaudit.data.pixels import PixelFormat
from labelaudit.engine import embedder as embedder_module
from labelaudit.engine import features as module
from labelaudit.engine.features import Backbone, embed, normalization
from labelaudit.engine.pretrained import network_digest
from tests.data.helpers import catalogue_of, encoded, write_files
from tests.engine.helpers import CPU
from tests.helpers import Listener

FORM = PixelFormat(size=4, channels=3)
MEAN_C, STD_C = (0.5, 0.5, 0.5), (0.25, 0.5, 1.0)


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


def write(root, contents):
    """A catalogue of these files; those that are None are set aside."""
    paths = tuple(f"{number}.png" for number in range(len(contents)))
    write_files(root, {path: content for path, content in zip(paths, contents, strict=True) if content is not None})
    sha256 = tuple("" if content is None else hashlib.sha256(content).hexdigest() for content in contents)
    reasons = ["missing" if content is None else "" for content in contents]
    return catalogue_of([0] * len(contents), root=root, paths=paths, sha256=sha256, reasons=reasons)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "images"


def run(catalogue, backbone, *, listener=None, precision="float32", mean_C=MEAN_C, form=FORM):
    how = {"statistics": (mean_C, STD_C), "device": CPU, "precision": precision}
    return embed(
        catalogue, Backbone(network_digest(backbone), lambda: backbone), form, **how, reporter=listener or Listener()
    )


def expected(colours):
    return (np.array(colours) / 255 - MEAN_C) / STD_C


def test_each_image_gets_the_embedding_of_its_normalized_pixels(root):
    colours = [(0, 51, 255), (255, 0, 0), (10, 20, 30)]
    backbone = MeanColour().train()
    found = run(write(root, [png(colour) for colour in colours]), backbone)
    np.testing.assert_allclose(found.feature_RD, expected(colours), atol=1e-5)
    assert found.feature_RD.dtype == np.float32
    assert found.sample_R.tolist() == [0, 1, 2]
    assert found.failures == {}
    assert not backbone.scale.requires_grad


def test_damaged_images_are_reported_and_the_others_keep_their_numbers(root):
    colours = [(0, 0, 0), (255, 255, 255)]
    contents = [png(colours[0]), None, png((1, 2, 3))[:50], png(colours[1])]
    for _ in range(2):  # the second time from the cache
        found = run(write(root, contents), MeanColour())
        assert found.sample_R.tolist() == [0, 3]
        np.testing.assert_allclose(found.feature_RD, expected(colours), atol=1e-5)
        assert list(found.failures) == [2]
        assert "damaged" in found.failures[2]
    nothing = run(write(root, [b"not an image", None]), MeanColour())
    assert (len(nothing.feature_RD), len(nothing.sample_R), list(nothing.failures)) == (0, 0, [0])


def test_known_images_come_from_the_cache_and_new_ones_do_not(root, monkeypatch):
    monkeypatch.setattr(module, "_PART", 2)
    backbone, listener = MeanColour(), Listener()
    contents = [png((value, 0, 0)) for value in (10, 20, 10)]
    before = run(write(root, contents), backbone, listener=listener)
    assert listener.totals == [2]  # equal files are embedded once
    np.testing.assert_array_equal(before.feature_RD[0], before.feature_RD[2])
    again = run(write(root, contents), backbone, listener=listener)
    np.testing.assert_array_equal(before.feature_RD, again.feature_RD)
    assert listener.totals == [2]
    assert "All 3 embeddings are in the cache" in listener.lines[-1]
    more = run(write(root, [png((30, 0, 0)), *contents]), backbone, listener=listener)
    assert listener.totals == [2, 1]
    assert "3 of 4 embeddings" in listener.lines[-1]
    np.testing.assert_array_equal(more.feature_RD[1:], before.feature_RD)
    np.testing.assert_allclose(more.feature_RD[0], expected([(30, 0, 0)])[0], atol=1e-5)


def test_the_cache_of_another_backbone_or_format_is_not_used(root):
    catalogue = write(root, [png((10, 20, 30))])
    run(catalogue, MeanColour())
    for scale, change in (
        (2.0, {}),
        (1.0, {"mean_C": (0.1, 0.1, 0.1)}),
        (1.0, {"precision": "bfloat16"}),
        (1.0, {"form": PixelFormat(size=4, channels=3, resize="crop")}),
    ):
        listener = Listener()
        run(catalogue, MeanColour(scale), listener=listener, **change)
        assert listener.totals == [1]


def test_normalization_is_that_of_the_weights():
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert normalization("tf_efficientnet_lite0", "embedded") == ((0.498,) * 3, (0.502,) * 3)
    assert normalization("tf_efficientnet_lite0", "timm") == ((0.5,) * 3, (0.5,) * 3)
    assert normalization("resnet18", "timm") == normalization("labelaudit_probe", "sha256:0123") == imagenet


def test_statistics_of_images_do_not_depend_on_the_others_or_the_cache(root):
    contents = [png((value, value, value)) for value in range(30)]
    first = run(write(root, contents), MeanColour()).looks
    again = run(write(root, contents), MeanColour()).looks
    alone = run(write(root, contents[::-1]), MeanColour()).looks[::-1]
    assert len({look.digest for look in first}) == 30
    assert 0 < sum(look.copy_MS is not None for look in first) < 20  # a quarter has corrupted copies
    for one, *others in zip(first, again, alone, strict=True):
        for look in others:
            assert look.digest == one.digest
            np.testing.assert_array_equal(one.value_S, look.value_S)
            np.testing.assert_array_equal(one.copy_MS, look.copy_MS)


def test_each_thread_runs_torch_alone(root, monkeypatch):
    threads, before = set(), torch.get_num_threads()

    class Spy(MeanColour):
        def forward(self, x_BCHW):
            threads.add((threading.current_thread().name, torch.get_num_threads()))
            return super().forward(x_BCHW)

    monkeypatch.setattr(embedder_module.importlib.util, "find_spec", lambda _name: None)
    torch.set_num_threads(2)
    try:
        run(write(root, [png((value, 0, 0)) for value in range(100)]), Spy())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert {count for _, count in threads} == {1}
    assert 1 < len(threads) <= 3
