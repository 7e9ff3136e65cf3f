"""Whether flips keep the labels is found out from the data."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from labelaudit.data.folder import scan
from labelaudit.progress import Quiet
from labelaudit.recipes.audits import Data
from labelaudit.recipes.mirror import MirrorTest, settle_flip
from labelaudit.recipes.options import TrainingOptions
from labelaudit.recipes.plan import plan
from labelaudit.recipes.prepare import Source, prepare
from labelaudit.recipes.retrain import RetrainOptions, retrain
from labelaudit.run.layout import RunFolder


class Heard(Quiet):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


class Interrupting(Heard):
    """Stops a retraining in its third epoch of 80 images."""

    @contextmanager
    def bar(self, title, total, unit):
        done = 0

        def advance(finished):
            nonlocal done
            done += finished
            if title.startswith("Training (") and done > 160:
                raise KeyboardInterrupt

        yield advance


def outcome(right, lost, gained):
    """Each class is taken for the next."""
    lost_KK, gained_KK = (np.roll(np.diag(count_K), 1, axis=1) for count_K in (lost, gained))
    return MirrorTest(right_K=np.array(right), lost_KK=lost_KK, gained_KK=gained_KK)


def swapped(lost, gained):
    """Of 22 classes with 40 recognized images the first two are taken for each other."""
    lost_KK, gained_KK = np.zeros((2, 22, 22), dtype=int)
    lost_KK[0, 1] = lost_KK[1, 0] = lost
    gained_KK[0, 1] = gained_KK[1, 0] = gained
    return MirrorTest(right_K=np.full(22, 40), lost_KK=lost_KK, gained_KK=gained_KK)


@pytest.mark.parametrize(
    ("found", "keeps"),
    [
        (outcome([50, 50], [48, 45], [2, 1]), False),
        (outcome([50, 50], [3, 4], [2, 3]), True),
        (outcome([500, 500], [45, 45], [0, 0]), True),
        (outcome([500, 500], [55, 55], [0, 0]), False),
        (outcome([500, 500], [155, 155], [150, 150]), True),
        (outcome([400] * 20 + [30, 30], [8] * 20 + [28, 29], [8] * 20 + [0, 0]), False),
        (outcome([400] * 20 + [30, 30], [8] * 20 + [13, 12], [8] * 20 + [0, 0]), True),
        (swapped(20, 6), False),
        (swapped(20, 14), True),
        (outcome([3, 3], [3, 3], [0, 0]), True),
        (outcome([0, 0], [0, 0], [0, 0]), True),
    ],
    ids=[
        "arrows",
        "photographs",
        "one in eleven",
        "one in nine",
        "as many gained as lost",
        "two classes of many",
        "less than half of a class",
        "two classes that change places, many labels wrong",
        "two similar classes",
        "too few to be sure",
        "nothing learned",
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
    top, left = generator.integers(0, 17 - height), generator.integers(0, 17 - width)
    image[top : top + height, left : left + width] += 120 * form
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def write_shapes(folder, kinds):
    for kind in kinds:
        (folder / kind).mkdir()
        for number in range(40):
            shape(kind, number).save(folder / kind / f"{number}.png")


@pytest.mark.parametrize(("kinds", "augment"), [(("left", "right"), "crop"), (("lying", "standing"), "crop-flip")])
def test_classes_that_are_mirror_images_of_each_other_are_not_flipped(tmp_path, kinds, augment):
    write_shapes(tmp_path, kinds)
    catalogue, device, heard = scan(tmp_path), torch.device("cpu"), Heard()
    settings = plan(catalogue, TrainingOptions(), device).settings
    source = Source(device=device)
    prepared = prepare(catalogue, settings, source, heard)
    settled, prepared, found = settle_flip(settings, prepared, source, heard)
    assert settled.augment == augment
    assert found.right_K.sum() > 50
    views = prepared.inputs.draw_views(torch.Generator().manual_seed(0))
    assert bool(views.flip_N.any()) == (augment == "crop-flip")
    assert any("no left-right flips" in line for line in heard.lines) == (augment == "crop")
    again, _, untested = settle_flip(settled, prepared, source, heard)
    assert again == settled
    assert (untested is None) == (augment == "crop")


def test_retraining_leaves_flips_out_too_and_remembers_it(tmp_path):
    data, out, heard = tmp_path / "data", RunFolder(tmp_path / "out"), Heard()
    data.mkdir()
    write_shapes(data, ("left", "right"))
    options = RetrainOptions(method="standard")
    with pytest.raises(KeyboardInterrupt):
        retrain(Data(root=data), out, options, Interrupting())
    assert out.checkpoint.exists()
    result = retrain(Data(root=data), out, options, heard)
    assert result["settings"]["augment"] == "crop"
    assert result["mirror_test"]["flips"] is False
    assert not any("flips" in line for line in heard.lines)  # the first call found it out
