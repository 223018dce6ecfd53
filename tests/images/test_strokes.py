import numpy as np
import pytest
from scipy.ndimage import label

from latentfill.errors import HoleError
from latentfill.images.hole_shapes import BRUSHES, Brush, draw_line, strokes
from latentfill.images.holes import draw, parse

NAMES = ("thin", "medium", "thick")


def hole(name, size=(64, 64), seed=0):
    return draw(parse(name), size, seed=seed).hole > 0


@pytest.mark.parametrize("name", NAMES)
def test_strokes_depend_on_the_seed_alone_and_cover_at_most_half(name):
    drawn = [hole(name, seed=seed) for seed in range(100)]
    assert np.array_equal(drawn[7], hole(name, seed=7))
    assert len({d.tobytes() for d in drawn}) == 100
    assert all(0 < d.mean() <= 0.5 for d in drawn)
    assert 0.15 < np.mean(drawn) < 0.35


@pytest.mark.parametrize("name", NAMES)
def test_strokes_look_alike_at_every_size(name):
    for seed in range(20):
        small, large = hole(name, (64, 64), seed), hole(name, (256, 256), seed)
        if abs(large.mean() - 0.5) < 0.05:  # one of them may have been drawn again
            continue
        assert abs(large.reshape(64, 4, 64, 4).mean((1, 3)) - small).mean() < 0.08


def test_thick_strokes_are_wider_than_thin_ones():
    def core(name):  # pixels whose neighbours up to three away are all missing
        missing = np.stack([hole(name, seed=seed) for seed in range(50)])
        shifted = [np.roll(missing, (dy, dx), (1, 2)) for dy in range(-3, 4) for dx in range(-3, 4)]
        return np.all(shifted, 0).sum() / missing.sum()

    assert core("thin") < 0.05 < core("medium") < core("thick")


def test_a_line_is_every_pixel_within_its_radius():
    missing = np.zeros((20, 30), bool)
    start, end = np.array([4.0, 3.5]), np.array([22.0, 14.0])
    draw_line(missing, start, end, 2.5)
    y, x = np.mgrid[:20, :30] + 0.5
    points = start + np.linspace(0, 1, 4001)[:, None] * (end - start)
    distance = np.sqrt(((np.stack([x, y], -1)[:, :, None] - points) ** 2).sum(-1)).min(-1)
    assert np.array_equal(missing, distance <= 2.5)


def test_boxes_keep_away_from_the_border_and_have_the_sizes_of_the_brush():
    brush = Brush((1, 1), 1, 1, (1, 1), (64, 128), 32)
    rng = np.random.Generator(np.random.Philox(key=3))
    boxes = 0
    for _ in range(60):
        missing = strokes(64, 64, brush, rng)
        rows, columns = (np.flatnonzero(missing.any(axis)) for axis in (1, 0))
        if not missing[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all() or len(rows) < 8:
            continue  # lines
        boxes += 1
        assert label(missing)[1] == 1
        assert 15 <= len(rows) <= 33 and 15 <= len(columns) <= 33
        assert rows[0] >= 8 and columns[0] >= 8 and rows[-1] < 56 and columns[-1] < 56
    assert boxes > 5


@pytest.mark.parametrize("name", BRUSHES)
def test_a_single_pixel_cannot_be_half_covered(name):
    with pytest.raises(HoleError, match="no stroke covers at most half of 1 x 1"):
        hole(name, (1, 1))


def test_strokes_take_no_number():
    with pytest.raises(HoleError, match="thin does not take '3'"):
        parse("thin:3")
