import pytest
import torch
from torch.nn import functional

from labelaudit.engine.inputs import Augment, FeatureInputs, ImageInputs, channel_statistics, draw_views, show
from tests.engine.helpers import CPU, MEAN_C, STD_C, image_inputs, small_task


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def augment(x_BCHW, settings, generator):
    """Every picture as a random view shows it."""
    return show(x_BCHW, draw_views(len(x_BCHW), x_BCHW.shape[2:], settings, generator))


def copies(picture_CHW, count):
    return picture_CHW.expand(count, *picture_CHW.shape).contiguous()


def counting_picture(channels=2, height=5, width=6):
    """A picture in which no two pixels are equal."""
    return torch.arange(channels * height * width, dtype=torch.float32).view(channels, height, width)


def shifts_of(picture_CHW, pad):
    """Every picture that a shift over a reflected border can give."""
    _, height, width = picture_CHW.shape
    padded = functional.pad(picture_CHW[None], (pad,) * 4, mode="reflect")[0]
    return {
        (top, left): padded[:, top : top + height, left : left + width]
        for top in range(2 * pad + 1)
        for left in range(2 * pad + 1)
    }


def which(picture_CHW, options):
    found = [key for key, option in options.items() if torch.equal(option, picture_CHW)]
    assert len(found) == 1
    return found[0]


def test_no_padding_and_no_flip_change_nothing():
    pixels_NCHW, _ = small_task(20)
    assert torch.equal(augment(pixels_NCHW, Augment(name="crop", pad=0), generator()), pixels_NCHW)


def test_a_row_of_five_pixels_shifts_over_a_reflected_border():
    row = torch.arange(5).view(1, 1, 5)
    tall = row.expand(1, 5, 5)
    found = {
        tuple(picture[0, 0].tolist())
        for picture in augment(copies(tall, 300), Augment(name="crop", pad=2), generator())
    }
    assert found == {(2, 1, 0, 1, 2), (1, 0, 1, 2, 3), (0, 1, 2, 3, 4), (1, 2, 3, 4, 3), (2, 3, 4, 3, 2)}


def test_every_crop_is_a_window_of_the_reflected_picture_and_all_are_equally_frequent():
    picture, pad, count = counting_picture(), 1, 1800
    options = shifts_of(picture, pad)
    seen = [
        which(view, options) for view in augment(copies(picture, count), Augment(name="crop", pad=pad), generator())
    ]
    expected, spread = count / 9, (count / 9 * 8 / 9) ** 0.5
    for key in options:
        assert abs(seen.count(key) - expected) < 5 * spread, key


def test_half_of_the_pictures_are_flipped_left_to_right_whatever_their_shift():
    picture, count = counting_picture(), 1000
    options = {(False, *key): view for key, view in shifts_of(picture, 1).items()}
    options |= {(True, *key): view.flip(-1) for key, view in shifts_of(picture, 1).items()}
    views = augment(copies(picture, count), Augment(name="crop-flip", pad=1), generator())
    seen = [which(view, options) for view in views]
    flipped = sum(is_flipped for is_flipped, _, _ in seen)
    assert abs(flipped - count / 2) < 5 * (count / 4) ** 0.5
    assert {key[1:] for key in seen if key[0]} == {key[1:] for key in seen if not key[0]}


def test_flip_turns_columns_and_not_rows():
    picture = counting_picture()
    options = {"as is": picture, "left-right": picture.flip(-1)}
    views = augment(copies(picture, 50), Augment(name="crop-flip", pad=0), generator())
    assert {which(view, options) for view in views} == {"as is", "left-right"}


def test_channels_move_together():
    channel = torch.rand(1, 6, 6, generator=generator())
    same = channel.expand(3, 6, 6)
    views = augment(copies(same, 30), Augment(pad=2), generator())
    assert torch.equal(views[:, 0], views[:, 1])
    assert torch.equal(views[:, 0], views[:, 2])


def test_padding_reaches_no_further_than_the_picture():
    picture = counting_picture(height=3, width=2)
    views = augment(copies(picture, 200), Augment(name="crop", pad=50), generator())
    assert views.shape == (200, 2, 3, 2)
    assert set(views.unique().tolist()) <= set(picture.unique().tolist())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_shape_and_type_stay(dtype):
    pixels_NCHW = small_task(6)[0].to(dtype)
    views = augment(pixels_NCHW, Augment(), generator())
    assert views.shape == pixels_NCHW.shape
    assert views.dtype == dtype


def test_views_depend_on_the_generator_only():
    pixels_NCHW, _ = small_task(20)
    first = augment(pixels_NCHW, Augment(), generator(3))
    assert torch.equal(first, augment(pixels_NCHW, Augment(), generator(3)))
    assert not torch.equal(first, augment(pixels_NCHW, Augment(), generator(4)))
    assert not torch.equal(first, pixels_NCHW)


def test_flips_draw_the_same_shifts_as_crops_alone():
    pixels_NCHW, _ = small_task(30)
    with_flips = augment(pixels_NCHW, Augment(name="crop-flip"), generator())
    without = augment(pixels_NCHW, Augment(name="crop"), generator())
    for flipped, plain in zip(with_flips, without, strict=True):
        assert torch.equal(flipped, plain) or torch.equal(flipped, plain.flip(-1))


def test_pictures_are_normalised_by_hand():
    pixels_NCHW = torch.tensor([[[[0]], [[51]]], [[[255]], [[102]]]], dtype=torch.uint8)
    inputs = ImageInputs(pixels_NCHW, mean_C=(0.5, 0.2), std_C=(0.25, 0.1), augment=Augment(name="none"), device=CPU)
    x_BCHW = inputs.batch(torch.tensor([1, 0]), None)
    assert x_BCHW.flatten().tolist() == pytest.approx([2.0, 2.0, -2.0, 0.0], abs=1e-6)
    assert x_BCHW.dtype == torch.float32
    assert len(inputs) == 2


def test_the_evaluation_view_is_not_altered_by_augmented_batches():
    pixels_NCHW, _ = small_task(20)
    stored, index_B = pixels_NCHW.clone(), torch.tensor([4, 1, 19])
    inputs = image_inputs(pixels_NCHW, Augment())
    view = inputs.batch(index_B, inputs.draw_views(generator()).part(slice(7, 10)))
    plain = inputs.batch(index_B, None)
    expected = (stored[index_B] / 255 - torch.tensor(MEAN_C).view(3, 1, 1)) / torch.tensor(STD_C).view(3, 1, 1)
    torch.testing.assert_close(plain, expected)
    assert not torch.equal(view, plain)
    assert torch.equal(pixels_NCHW, stored)


def test_without_augmentation_there_are_no_views():
    assert image_inputs(small_task(9)[0]).draw_views(generator()) is None


def test_training_views_are_normalised_after_augmentation():
    pixels_NCHW, _ = small_task(12)
    inputs = image_inputs(pixels_NCHW, Augment())
    view = inputs.batch(torch.arange(12), inputs.draw_views(generator()))
    expected = image_inputs(augment(pixels_NCHW, Augment(), generator())).batch(torch.arange(12), None)
    assert torch.equal(view, expected)


def test_channel_statistics_by_hand():
    pixels_NCHW = torch.tensor([[[[0, 255]], [[51, 51]]], [[[0, 255]], [[51, 51]]]], dtype=torch.uint8)
    mean_C, std_C = channel_statistics(pixels_NCHW.numpy())
    assert mean_C == pytest.approx((0.5, 0.2))
    assert std_C == pytest.approx((0.5, 1e-3))  # a channel that never changes is not blown up


@pytest.mark.parametrize(
    ("count", "used"), [(5, [0, 1, 2, 3, 4]), (7, [0, 2, 4, 6]), (9, [0, 2, 4, 6, 8]), (11, [0, 3, 6, 9])]
)
def test_channel_statistics_use_at_most_so_many_evenly_spaced_pictures(count, used):
    pixels_NCHW = torch.randint(0, 256, (count, 3, 2, 2), generator=generator()).to(torch.uint8)
    assert channel_statistics(pixels_NCHW.numpy(), most=5) == channel_statistics(pixels_NCHW[used].numpy())


def test_normalised_pictures_have_mean_0_and_deviation_1():
    pixels_NCHW, _ = small_task(30)
    mean_C, std_C = channel_statistics(pixels_NCHW.numpy())
    inputs = ImageInputs(pixels_NCHW, mean_C=mean_C, std_C=std_C, augment=Augment(name="none"), device=CPU)
    std, mean = torch.std_mean(inputs.batch(torch.arange(30), None), dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(mean, torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(std, torch.ones(3))


def test_features_are_standardised_and_constant_ones_stay_finite():
    feature_ND = torch.tensor([[1.0, 5.0], [3.0, 5.0], [5.0, 5.0]])
    statistics = FeatureInputs.statistics(feature_ND)
    assert statistics[0] == pytest.approx((3.0, 5.0))
    assert statistics[1] == pytest.approx(((8 / 3) ** 0.5, 1.0))
    inputs = FeatureInputs(feature_ND, statistics=statistics, device=CPU)
    assert inputs.draw_views(generator()) is None
    x_BD = inputs.batch(torch.tensor([2, 0]), None)
    assert x_BD.flatten().tolist() == pytest.approx([1.5**0.5, 0.0, -(1.5**0.5), 0.0])
    assert x_BD.dtype == torch.float32
    assert len(inputs) == 3


def test_features_of_another_split_are_standardised_like_the_first():
    inputs = FeatureInputs(torch.tensor([[7.0, 1.0]]), statistics=((3.0, 2.0), (2.0, 0.5)), device=CPU)
    assert inputs.batch(torch.tensor([0]), None).tolist() == [[2.0, -2.0]]
