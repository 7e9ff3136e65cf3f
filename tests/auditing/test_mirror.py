"""Whether flips keep the labels is found out from the data."""

import numpy as np
import pytest
import torch
from PIL import Image

from labelaudit.auditing.mirror import MirrorTest, settle_flip
from labelaudit.auditing.model import Data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import plan
from labelaudit.auditing.prepare import Source, prepare
from labelaudit.data.folder import scan
from labelaudit.retraining.recipe import RetrainOptions, retrain
from labelaudit.run.layout import RunFolder
from tests.cli.helpers import interrupted
from tests.helpers import Listener

QUICK = TrainingOptions(epochs=8)


def pairs(count_K):
    """Label and class of images, each of which is taken for the next class."""
    label_M = np.repeat(np.arange(len(count_K)), count_K)
    return np.stack([label_M, (label_M + 1) % len(count_K)], axis=1)


def outcome(right, lost, gained):
    return MirrorTest(right_K=np.array(right), lost_L2=pairs(lost), gained_G2=pairs(gained))


MANY = [400] * 20 + [30, 30]


@pytest.mark.parametrize(
    ("found", "keeps"),
    [
        pytest.param(outcome([50, 50], [48, 45], [2, 1]), False, id="arrows"),
        pytest.param(outcome([50, 50], [3, 4], [2, 3]), True, id="photographs"),
        pytest.param(outcome([500, 500], [45, 45], [0, 0]), True, id="one in eleven"),
        pytest.param(outcome([500, 500], [55, 55], [0, 0]), False, id="one in nine"),
        pytest.param(outcome([500, 500], [155, 155], [150, 150]), True, id="as many gained as lost"),
        pytest.param(outcome(MANY, [8] * 20 + [28, 29], [8] * 20 + [0, 0]), False, id="two classes of many"),
        pytest.param(outcome(MANY, [8] * 20 + [13, 12], [8] * 20 + [0, 0]), True, id="less than half of a class"),
        # Of 22 classes with 40 recognized images the first two are taken for each other.
        pytest.param(outcome([40] * 22, [20, 20], [6, 6]), False, id="two classes change places"),
        pytest.param(outcome([40] * 22, [20, 20], [14, 14]), True, id="two similar classes"),
        pytest.param(outcome([3, 3], [3, 3], [0, 0]), True, id="too few to be sure"),
        pytest.param(outcome([0, 0], [0, 0], [0, 0]), True, id="nothing learned"),
    ],
)
def test_flips_are_left_out_where_mirrored_images_are_not_recognized(found, keeps):
    assert found.keeps_labels is keeps


def shape(kind, number):
    """A wedge that points to the left or to the right, or a bar that lies or stands, somewhere in noise."""
    generator = np.random.default_rng([number, len(kind)])
    image = generator.normal(90, 15, (16, 16))
    wedge = np.tril(np.ones((8, 8)))
    form = {"left": wedge, "right": wedge[:, ::-1], "lying": np.ones((3, 10)), "standing": np.ones((10, 3))}[kind]
    height, width = form.shape
    top, left = generator.integers(0, (17 - height, 17 - width))
    image[top : top + height, left : left + width] += 120 * form
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def write_shapes(folder, kinds):
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for number in range(40):
            shape(kind, number).save(folder / kind / f"{number}.png")


@pytest.mark.parametrize(("kinds", "augment"), [(("left", "right"), "crop"), (("lying", "standing"), "crop-flip")])
def test_classes_that_are_mirror_images_of_each_other_are_not_flipped(tmp_path, kinds, augment):
    write_shapes(tmp_path, kinds)
    catalogue, device, heard = scan(tmp_path), torch.device("cpu"), Listener()
    settings = plan(catalogue, QUICK, device).settings
    source = Source(device=device)
    prepared = prepare(catalogue, settings, source, heard)
    settled, prepared, found = settle_flip(settings, prepared, source, heard)
    assert settled.augment == augment
    assert found.right_K.sum() > 50
    views = prepared.inputs.draw_views(torch.Generator().manual_seed(0), 80)
    assert bool(views.flip_N.any()) == (augment == "crop-flip")
    assert any("no left-right flips" in line for line in heard.lines) == (augment == "crop")
    again, _, untested = settle_flip(settled, prepared, source, heard)
    assert again == settled
    assert (untested is None) == (augment == "crop")


def test_retraining_leaves_flips_out_too_and_remembers_it(tmp_path):
    data, out, heard = tmp_path / "data", RunFolder(tmp_path / "out"), Listener()
    write_shapes(data, ("left", "right"))
    options = RetrainOptions(method="standard", training=QUICK)
    with interrupted("labelaudit.auditing.training.write_checkpoint", call=3), pytest.raises(KeyboardInterrupt):
        retrain(Data(root=data), out, options)
    assert out.checkpoint.exists()
    result = retrain(Data(root=data), out, options, heard)
    assert result["settings"]["augment"] == "crop"
    assert result["mirror_test"]["flips"] is False
    assert not any("flips" in line for line in heard.lines)  # the first call found it out
