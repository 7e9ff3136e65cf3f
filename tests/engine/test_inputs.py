import numpy as np
import pytest
import torch
from torch.nn import functional

from labelaudit.engine import inputs as module
from labelaudit.engine.inputs import Augment, FeatureInputs, ImageInputs, Views, channel_statistics, draw_views
from tests.engine.helpers import CPU, MEAN_C, NO_AUGMENT, STD_C, image_inputs, small_task
from tests.methods.helpers import generator


def augment(x_BCHW, settings):
    """Every image as a random view shows it."""
    views = draw_views(len(x_BCHW), x_BCHW.shape[2:], settings, generator())
    return module.show(x_BCHW, views, settings.border)


def views_of(image_CHW, count, settings):
    return augment(image_CHW.expand(count, *image_CHW.shape).contiguous(), settings)


def counting_image(channels=2, height=5, width=6):
    """An image in which no two pixels are equal."""
    return torch.arange(channels * height * width, dtype=torch.float32).view(channels, height, width)


def shifts_of(image_CHW, pad, mode="reflect"):
    """Every image that a shift over a border can give."""
    _, height, width = image_CHW.shape
    padded = functional.pad(image_CHW[None], (pad,) * 4, mode=mode)[0]
    return {
        (top, left): padded[:, top : top + height, left : left + width]
        for top in range(2 * pad + 1)
        for left in range(2 * pad + 1)
    }


def which(image_CHW, options):
    found = [key for key, option in options.items() if torch.equal(option, image_CHW)]
    assert len(found) == 1
    return found[0]


def test_every_view_is_a_shifted_window_of_the_image_and_half_are_flipped_left_to_right():
    image, count = counting_image(), 1800
    options = shifts_of(image, 1)
    seen = [which(view, options) for view in views_of(image, count, Augment(name="crop", pad=1))]
    expected, spread = count / 9, (count / 9 * 8 / 9) ** 0.5
    assert all(abs(seen.count(key) - expected) < 5 * spread for key in options)
    options |= {(key, "flipped"): view.flip(-1) for key, view in options.items()}
    seen = [which(view, options) for view in views_of(image, count, Augment(name="crop-flip", pad=1))]
    assert abs(sum("flipped" in key for key in seen) - count / 2) < 5 * (count / 4) ** 0.5
    assert set(seen) == options.keys()
    # A shift reaches no further than the image.
    small = counting_image(height=3, width=2)
    assert set(views_of(small, 200, Augment(name="crop", pad=50)).unique().tolist()) <= set(small.unique().tolist())


@pytest.mark.parametrize(("border", "mode"), [("zeros", "constant"), ("edge", "replicate")])
def test_beyond_the_border_is_black_or_the_edge(border, mode):
    image = 1 + counting_image()
    options = shifts_of(image, 2, mode)
    seen = [which(view, options) for view in views_of(image, 400, Augment(name="crop", pad=2, border=border))]
    assert set(seen) == options.keys()
    white = image_inputs(torch.full((1, 3, 8, 8), 255, dtype=torch.uint8), Augment(border=border))
    up = Views(shift_N2=torch.tensor([[2, 0]]), flip_N=torch.tensor([False]))
    seen = white.batch(torch.tensor([0]), up)[0, 0, :, 0]  # black before normalization: (0 - .5) / .25
    assert seen.tolist() == [2.0] * 6 + [-2.0 if border == "zeros" else 2.0] * 2


def test_images_are_normalized_by_hand():
    pixels_NCHW = torch.tensor([[[[0]], [[51]]], [[[255]], [[102]]]], dtype=torch.uint8)
    inputs = ImageInputs(pixels_NCHW, mean_C=(0.5, 0.2), std_C=(0.25, 0.1), augment=NO_AUGMENT, device=CPU)
    x_BCHW = inputs.batch(torch.tensor([1, 0]), None)
    assert x_BCHW.flatten().tolist() == pytest.approx([2.0, 2.0, -2.0, 0.0], abs=1e-6)
    assert (x_BCHW.dtype, len(inputs)) == (torch.float32, 2)
    assert inputs.draw_views(generator(), 2) is None


def test_training_views_are_normalized_after_augmentation_and_leave_the_pixels_alone():
    pixels_NCHW, _ = small_task(20)
    stored, index_B = pixels_NCHW.clone(), torch.tensor([4, 1, 19])
    inputs = image_inputs(pixels_NCHW, Augment())
    view = inputs.batch(torch.arange(20), inputs.draw_views(generator(), 20))
    assert torch.equal(view, image_inputs(augment(pixels_NCHW, Augment())).batch(torch.arange(20), None))
    assert torch.equal(inputs.batch(index_B, inputs.draw_views(generator(), 20).part(index_B)), view[index_B])
    expected = (stored[index_B] / 255 - torch.tensor(MEAN_C).view(3, 1, 1)) / torch.tensor(STD_C).view(3, 1, 1)
    torch.testing.assert_close(inputs.batch(index_B, None), expected)
    assert torch.equal(pixels_NCHW, stored)


def test_channel_statistics_by_hand():
    pixels_NCHW = torch.tensor([[[[0, 255]], [[51, 51]]], [[[0, 255]], [[51, 51]]]], dtype=torch.uint8)
    mean_C, std_C = channel_statistics(pixels_NCHW.numpy())
    assert mean_C == pytest.approx((0.5, 0.2))
    assert std_C == pytest.approx((0.5, 1e-3))  # a channel that never changes is not blown up
    # At most so many evenly spaced images are looked at.
    many_NCHW = torch.randint(0, 256, (7, 3, 2, 2), generator=generator()).to(torch.uint8)
    assert channel_statistics(many_NCHW.numpy(), most=5) == channel_statistics(many_NCHW[::2].numpy())


def test_features_are_standardized_and_constant_ones_stay_finite():
    feature_ND = np.array([[1.0, 5.0], [3.0, 5.0], [5.0, 5.0]], dtype=np.float32)
    statistics = FeatureInputs.statistics(feature_ND)
    assert statistics[0] == pytest.approx((3.0, 5.0))
    assert statistics[1] == pytest.approx(((8 / 3) ** 0.5, 1.0))
    inputs = FeatureInputs(feature_ND, statistics=statistics, device=CPU)
    assert inputs.draw_views(generator(), 3) is None
    x_BD = inputs.batch(torch.tensor([2, 0]), None)
    assert x_BD.flatten().tolist() == pytest.approx([1.5**0.5, 0.0, -(1.5**0.5), 0.0])
    assert (x_BD.dtype, len(inputs)) == (torch.float32, 3)
    other = FeatureInputs(np.array([[7.0, 1.0]], dtype=np.float32), statistics=((3.0, 2.0), (2.0, 0.5)), device=CPU)
    assert other.batch(torch.tensor([0]), None).tolist() == [[2.0, -2.0]]


def test_mapped_rows_are_the_same_before_and_after_their_pages_are_released(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_RELEASE_BYTES", 4 * 192)
    pixels_NCHW = np.random.default_rng(0).integers(0, 256, (300, 3, 8, 8)).astype(np.uint8)
    (tmp_path / "pixels").write_bytes(pixels_NCHW.tobytes())
    mapped = np.memmap(tmp_path / "pixels", dtype=np.uint8, mode="r", shape=pixels_NCHW.shape)
    source, in_memory = image_inputs(mapped[:290]), image_inputs(torch.from_numpy(pixels_NCHW))
    assert len(source) == 290
    for index_B in torch.randperm(290).split(3):
        assert torch.equal(source.batch(index_B, None), in_memory.batch(index_B, None))
