import numpy as np
import pytest
import torch

from latentfill.figures.samples import (
    BATCH,
    Sample,
    arithmetic_sheet,
    best,
    draw,
    enlarge,
    ping_pong_frames,
    show,
    sweeps,
)
from latentfill.gan.model_file import build
from latentfill.options import NetworkOptions

CPU = torch.device("cpu")
GAN = build(NetworkOptions(size=8, base=4, latent=5), seed=3)
for weights in GAN.generator.parameters():
    weights.data.mul_(20)  # an untrained G draws grey on grey


@pytest.mark.parametrize("count", [1, 2, BATCH, BATCH + 1])
def test_a_sample_is_the_same_however_many_are_drawn(count):
    many = list(draw(GAN, range(40, 40 + 2 * BATCH + 3), CPU))
    few = list(draw(GAN, range(40, 40 + count), CPU))
    assert [sample.seed for sample in few] == list(range(40, 40 + count))
    for a, b in zip(few, many, strict=False):
        np.testing.assert_array_equal(a.pixels, b.pixels)
        assert a.logit == b.logit
    assert not np.array_equal(many[0].pixels, many[1].pixels)


def test_seeds_are_drawn_as_they_are_asked_for():
    seeds = []

    def asked():
        for seed in range(1000):
            seeds.append(seed)
            yield seed

    next(draw(GAN, asked(), CPU))
    assert len(seeds) == BATCH


def test_the_best_are_those_that_d_finds_most_real():
    pixels = np.zeros((8, 8, 3), np.uint8)
    samples = [Sample(seed, pixels, logit) for seed, logit in [(4, 0.5), (5, 2.0), (6, -1.0), (7, 2.0), (8, 1.0)]]
    assert best(samples, 3) == [5, 7, 8]


def test_show_gives_an_image_per_latent():
    z = GAN.generator.prior.sample(range(BATCH + 3))
    shown = list(show(GAN, z, CPU))
    assert len(shown) == BATCH + 3
    drawn = list(draw(GAN, range(BATCH + 3), CPU))
    np.testing.assert_array_equal(shown[-1], drawn[-1].pixels)


def test_enlarging_repeats_pixels():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarge(pixels, 5)
    assert large.shape == (6, 6, 3)
    np.testing.assert_array_equal(large[::3, ::3], pixels)
    np.testing.assert_array_equal(large[2::3, 2::3], pixels)


def test_a_sweep_has_a_row_per_component_and_plays_forth_and_back():
    rows = sweeps(GAN, GAN.generator.prior.sample([0]), [1, 4, 2], 5, CPU)
    assert [len(row) for row in rows] == [5, 5, 5]
    frames = list(ping_pong_frames(rows))
    assert len(frames) == 8
    np.testing.assert_array_equal(frames[1], frames[-1])
    np.testing.assert_array_equal(frames[3], frames[-3])
    assert not np.array_equal(frames[0], frames[4])


def test_the_arithmetic_sheet_shows_samples_means_and_the_result():
    sheet = arithmetic_sheet(GAN, [[1, 2, 3], [4, 5, 6], [7]], CPU)
    prior = GAN.generator.prior
    a, b, c = (prior.sample(seeds) for seeds in ([1, 2, 3], [4, 5, 6], [7]))
    result = prior.project(a.mean(0, keepdim=True) - b.mean(0, keepdim=True) + c)
    for z in (a[1:2], a.mean(0, keepdim=True), b[:1], c, result):
        (tile,) = show(GAN, z, CPU)
        assert holds(sheet, tile)
    assert not holds(sheet, np.full((8, 8, 3), 7, np.uint8))


def holds(sheet, tile):
    windows = np.lib.stride_tricks.sliding_window_view(sheet, tile.shape)[:, :, 0]
    return (np.abs(windows.astype(int) - tile) <= 1).all(axis=(2, 3, 4)).any()
