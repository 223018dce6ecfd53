import cv2
import numpy as np
import pytest

from latentfill.evaluation import baselines
from latentfill.evaluation.baselines import gradient, mean_picture, nearest, one_by_one, total_variation


def noise(n, seed=0, size=12):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def some_holes(n, seed=0, size=12):
    return np.where(np.random.default_rng(seed).random((n, size, size)) < 0.4, 255, 0).astype(np.uint8)


def variation(pictures):
    return np.sqrt((gradient(pictures.astype(np.float32)) ** 2).sum((0, -1))).sum((1, 2))


def test_the_nearest_picture_is_that_of_a_search_by_hand(monkeypatch):
    monkeypatch.setattr(baselines, "CHUNK", 7)
    train, holes = noise(40), some_holes(9)
    train[::2] = train[1::2] // 2  # of every picture a darker one, which must not win by that alone
    share = np.linspace(0.4, 1.1, 9)[:, None, None, None]
    asked = np.clip(train[1::4][:9] * share, 0, 255).astype(np.uint8)
    for i, found in enumerate(nearest(asked, holes, train)):
        known = holes[i] == 0
        distances = [((asked[i][known].astype(float) - t[known]) ** 2).sum() for t in train]
        assert np.array_equal(found, train[np.argmin(distances)])


def test_of_plain_pictures_the_one_of_the_same_grey_is_nearest():
    greys = np.arange(256, dtype=np.uint8)[:, None, None, None].repeat(12, 1).repeat(12, 2).repeat(3, 3)
    assert np.array_equal(nearest(greys[5::50], some_holes(6), greys), greys[5::50])


def test_the_nearest_picture_is_not_told_by_what_is_in_the_hole():
    train, holes = noise(20), some_holes(3)
    asked = train[:3]
    hidden = np.where(holes[..., None] > 0, noise(3, 5), asked)
    assert np.array_equal(nearest(hidden, holes, train), nearest(asked, holes, train))


def test_the_mean_picture_is_the_rounded_mean(monkeypatch):
    monkeypatch.setattr(baselines, "CHUNK", 7)
    assert np.array_equal(mean_picture(noise(20)), np.rint(noise(20).astype(float).mean(0)))


def test_telea_and_navier_stokes_are_those_of_opencv():
    pictures, holes = noise(2), some_holes(2)
    for ours, theirs in ((baselines.telea, cv2.INPAINT_TELEA), (baselines.navier_stokes, cv2.INPAINT_NS)):
        expected = [cv2.inpaint(p, h, 3, theirs) for p, h in zip(pictures, holes, strict=True)]
        assert np.array_equal(one_by_one(ours)(pictures, holes), np.stack(expected))


def test_the_biharmonic_surface_continues_a_slope():
    slope = np.broadcast_to((np.arange(16) * 10)[:, None, None], (16, 16, 3)).astype(np.uint8)
    hole = np.zeros((16, 16), np.uint8)
    hole[5:11, 4:12] = 255
    shown = np.where(hole[..., None] > 0, np.uint8(0), slope)
    assert abs(baselines.biharmonic(shown, hole).astype(int) - slope).max() <= 1


def test_the_least_variation_carries_an_edge_through_a_hole():
    step = np.full((1, 16, 16, 3), 20, np.uint8)
    step[:, :, 8:] = 220
    hole = np.zeros((1, 16, 16), np.uint8)
    hole[:, 6:10, 3:13] = 255
    shown = np.where(hole[..., None] > 0, np.uint8(128), step)
    assert abs(total_variation(shown, hole, 3000).astype(int) - step).max() <= 2


def test_no_other_filling_varies_less():
    pictures, holes = noise(9), some_holes(9)
    made = total_variation(pictures, holes)
    least = variation(made)
    assert (np.where(holes[..., None] > 0, 0, made) == np.where(holes[..., None] > 0, 0, pictures)).all()
    rng = np.random.default_rng(0)
    for size in (3, 30):
        moved = made + np.where(holes[..., None] > 0, rng.normal(0, size, made.shape), 0)
        assert (variation(moved) > least - 3).all()  # the rounding of what was made
    for method in (baselines.telea, baselines.biharmonic):
        assert (variation(one_by_one(method)(pictures, holes)) > least).all()


def test_colours_have_their_edges_together():
    pictures, holes = noise(5), some_holes(5)
    alone = [total_variation(np.repeat(pictures[..., i : i + 1], 3, -1), holes)[..., i] for i in range(3)]
    assert (variation(np.stack(alone, -1)) > variation(total_variation(pictures, holes)) + 20).all()


def test_the_gradient_of_colours_is_one_length():
    """Two colours with an edge at one place cost less than with edges at two: the method ties the colours together."""
    u = np.zeros((1, 4, 4, 2), np.float32)
    u[:, 2:] = 1
    assert variation(u) == pytest.approx(4 * np.sqrt(2))


@pytest.mark.parametrize("method", [baselines.telea, baselines.navier_stokes, baselines.biharmonic])
def test_where_nothing_is_known_all_is_grey(method):
    assert (one_by_one(method)(noise(1), np.full((1, 12, 12), 255, np.uint8)) == 128).all()


def test_the_variation_method_bears_a_hole_over_everything():
    assert total_variation(noise(1), np.full((1, 12, 12), 255, np.uint8)).shape == (1, 12, 12, 3)
