from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.data import astronaut
from torch.nn.functional import avg_pool2d

from latentfill.completion.noise_models import (
    GaussianNoise,
    Identity,
    Jpeg,
    Quantization,
    from_dct,
    jpeg_tables,
    to_dct,
    white_noise,
    wiener_filter,
)
from latentfill.images.pixels import GREY_LEVEL, batch_to_images, to_pixels


def photo(side=64, top=40, left=150):
    """A piece of a photo in the public domain, uint8."""
    return astronaut()[top : top + side, left : left + side]


def images(side=64, **where):
    return batch_to_images(photo(side, **where)[None])


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def everywhere(values):
    return torch.ones_like(values[:, :1])


@pytest.mark.parametrize("quality", [3, 10, 49, 50, 75, 100])
def test_jpeg_is_what_pillow_writes_and_reads(quality):
    file = BytesIO()
    Image.fromarray(photo()).save(file, "JPEG", quality=quality, subsampling=0)
    with Image.open(file) as opened:
        told, decoded = opened.quantization, np.asarray(opened.convert("RGB")).astype(int)
    ours = jpeg_tables(quality)
    np.testing.assert_array_equal(ours[0].flatten(), told[0])
    np.testing.assert_array_equal(ours[1].flatten(), told[1])
    jpeg = Jpeg(quality)
    told = jpeg.measure(batch_to_images(decoded.astype(np.uint8)[None]))  # the file's numbers, but for saturated pixels
    shown = to_pixels(jpeg.decode(told))[0].astype(int)
    assert np.abs(shown - decoded).mean() < 0.5 and (np.abs(shown - decoded) > 2).mean() < 0.001
    if quality <= 75:  # at 100 a bin is as wide as the rounding of libjpeg, which computes in whole numbers
        assert (jpeg.measure(images()) != told).double().mean() < 0.01


def test_a_grey_jpeg_is_what_pillow_writes():
    grey, file = photo()[..., 1], BytesIO()
    Image.fromarray(grey).save(file, "JPEG", quality=20)
    decoded = np.asarray(Image.open(file))
    jpeg = Jpeg(20)
    told = jpeg.measure(batch_to_images(decoded[None, ..., None]))
    assert np.abs(to_pixels(jpeg.decode(told))[0][..., 0].astype(int) - decoded.astype(int)).max() <= 1
    assert (jpeg.measure(batch_to_images(grey[None, ..., None])) != told).sum() <= 4


def test_the_transform_keeps_lengths_of_grey_and_is_inverted():
    x = randn(2, 1, 16, 24)
    torch.testing.assert_close(to_dct(x).square().sum(), x.square().sum())
    for y in (x, randn(2, 3, 16, 24)):
        torch.testing.assert_close(from_dct(to_dct(y)), y, atol=1e-5, rtol=1e-5)


def test_white_noise_has_the_same_deviation_at_every_frequency():
    spread = to_dct(0.3 * randn(200, 3, 16, 16)).std((0, 2, 3))
    torch.testing.assert_close(spread, white_noise(0.3, 3).flatten(), rtol=0.02, atol=0)


@given(st.integers(2, 255))
@settings(max_examples=40, deadline=None)
def test_levels_part_the_grey_levels_into_bins_of_nearly_equal_width(count):
    levels, every = Quantization(count), torch.arange(256.0).view(1, 1, 16, 16) * GREY_LEVEL - 1
    seen = levels.measure(every)
    numbers, widths = seen.unique(return_counts=True)
    assert numbers.tolist() == list(range(count)) and widths.max() - widths.min() <= 1
    assert levels.residual(every, seen).abs().max() < 1e-6  # each is in its own bin
    assert torch.equal(levels.measure(levels.decode(seen)), seen)  # and so is the bin's middle


@pytest.mark.parametrize("count", [2, 3, 8, 16])
def test_a_quantised_file_is_understood_however_its_levels_are_spread(count):
    number = torch.arange(float(count))
    for shown in (number * 255 / (count - 1), (number * 256 / count).ceil(), (number + 0.5) * 256 / count):
        file = shown.round().clamp(0, 255)  # white and black kept, cut off below, in the middle
        measured = Quantization(count).measure((file * GREY_LEVEL - 1).view(1, 1, 1, -1))
        assert measured.flatten().tolist() == number.tolist()


def test_outside_a_bin_the_loss_grows_with_the_distance():
    levels = Quantization(8)  # bins of 32 levels
    seen = torch.full((1, 1, 1, 5), 2.0)  # from 64 to 95
    values = torch.tensor([64.0, 95.0, 60.5, 99.5, 0.0]).view(1, 1, 1, 5) * GREY_LEVEL - 1
    missed = levels.penalty(levels.residual(values, seen)) / GREY_LEVEL
    torch.testing.assert_close(missed.flatten(), torch.tensor([0, 0, 3.0, 4.0, 63.5]), atol=1e-4, rtol=0)


def test_a_coefficient_of_a_jpeg_may_lie_half_a_divisor_off():
    jpeg, values = Jpeg(50), torch.full((1, 1, 8, 8), 128 * GREY_LEVEL - 1)
    seen = jpeg.measure(values)
    assert seen.abs().max() == 0
    for share, missed in ((0.4, 0.0), (-0.4, 0.0), (0.6, 0.1), (-0.7, -0.2)):
        shift = torch.zeros(1, 1, 8, 8)
        shift[0, 0, 2, 3] = share * jpeg_tables(50)[0, 2, 3] * GREY_LEVEL
        r = jpeg.residual(values + from_dct(shift), seen)
        assert r[0, 0, 2, 3].item() == pytest.approx(missed * jpeg_tables(50)[0, 2, 3].item() * GREY_LEVEL, abs=1e-5)
        assert r.abs().sum().item() == pytest.approx(abs(r[0, 0, 2, 3].item()), abs=1e-4)


def test_noise_costs_what_a_gaussian_does_with_the_slope_of_a_known_pixel_at_one_sigma():
    noise = GaussianNoise(25.0)
    r = torch.tensor([[[[25 * GREY_LEVEL]]]], requires_grad=True)
    cost = noise.penalty(r)
    (slope,) = torch.autograd.grad(cost.sum(), r)
    assert cost.item() == pytest.approx(25 * GREY_LEVEL / 2) and slope.item() == pytest.approx(1)
    assert noise.penalty(2 * r.detach()).item() == pytest.approx(4 * cost.item())


@pytest.mark.parametrize("reading", [Identity(), Quantization(6), Jpeg(8), Jpeg(60)], ids=lambda r: r.name)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_agrees_agrees_exactly_and_within_the_range(reading, channels):
    truth = images()[:, :channels]
    seen = reading.measure(truth)
    guess = images(top=100)[:, :channels]
    assert reading.residual(guess, seen).abs().max() > 10 * GREY_LEVEL
    agreeing = reading.restore(guess, seen, everywhere(guess))
    assert reading.residual(agreeing, seen).abs().max() < 0.05 * GREY_LEVEL
    assert agreeing.abs().max() <= 1 + 1e-6


@pytest.mark.parametrize("reading", [Quantization(6), Jpeg(8), GaussianNoise(25.0)], ids=lambda r: r.name)
def test_with_a_good_guess_the_picture_is_better_than_what_was_told_and_than_the_guess(reading):
    truth = images()
    guess = avg_pool2d(truth, 5, stride=1, padding=2, count_include_pad=False) + 5 * GREY_LEVEL
    seen = reading.measure(truth) + reading.sigma * randn(*truth.shape)

    def error(values):
        return (values - truth).square().mean().sqrt().item() / GREY_LEVEL

    agreeing = error(reading.restore(guess, seen, everywhere(guess)))
    assert agreeing < error(guess) and agreeing < 0.9 * error(reading.decode(seen))


def test_what_the_filter_is_given_as_noise_it_takes_away_and_what_is_more_it_keeps():
    noise = 0.1 * randn(1, 3, 32, 32)
    where = torch.ones(1, 1, 32, 32)
    assert wiener_filter(noise, where, white_noise(0.1, 3)).std() < 0.04
    wave = torch.sin(torch.arange(32.0) / 2).expand(1, 3, 32, 32)
    torch.testing.assert_close(wiener_filter(wave + noise, where, white_noise(0.1, 3)), wave, atol=0.25, rtol=0)
    assert (wiener_filter(wave + noise, where, white_noise(0.1, 3)) - wave).std() < 0.04
    torch.testing.assert_close(wiener_filter(wave, where, white_noise(0.0, 3)), wave, atol=1e-5, rtol=0)


def test_the_filter_takes_any_size_and_sees_nothing_where_nothing_counts():
    values, where = randn(2, 1, 5, 11), torch.ones(2, 1, 5, 11)
    where[:, :, :, 6:] = 0
    hidden = torch.where(where == 1, values, 9.0)
    assert torch.equal(
        wiener_filter(values, where, white_noise(0.1, 1)), wiener_filter(hidden, where, white_noise(0.1, 1))
    )


def test_a_picture_of_which_little_is_seen_is_filtered_no_more_than_a_whole_one():
    wave = 0.5 * torch.sin(torch.arange(64.0) / 2).expand(1, 1, 64, 64)
    noisy, where = wave + 0.5 * randn(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    where[..., :16] = 1
    part, whole = (wiener_filter(noisy, w, white_noise(0.5, 1))[..., 4:12] for w in (where, torch.ones_like(where)))
    assert (part - wave[..., 4:12]).std() < 1.3 * (whole - wave[..., 4:12]).std()
