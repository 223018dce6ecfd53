import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from latentfill.faces.placement import Box, Placement

ASTRONAUT = np.asarray(skimage.data.astronaut())


def placed(scale, x, y, angle=0.0, shear=0.0, size=64):
    """A square with its corner at x, y, turned, sheared and scaled."""
    c, s = np.cos(angle), np.sin(angle)
    (a, b), (d, e) = scale * np.array([[c, -s], [s, c]]) @ np.array([[1, shear], [0, 1]])
    return Placement(((float(a), float(b), float(x)), (float(d), float(e), float(y))), size)


def centres(height, width, times=1):
    """x, y of the centres of pixels, or of `times` x `times` parts of them, row by row."""
    rows, columns = np.mgrid[: height * times, : width * times]
    return (np.stack([columns.ravel(), rows.ravel()], -1) + 0.5) / times


def waves(points, length):
    """A smooth picture: colours at points, of waves of that length; about 28 to 228."""
    x, y = points.T
    turned = [x * np.cos(t) + y * np.sin(t) for t in (0.3, 1.5, 2.6)]
    return np.stack(
        [128 + 60 * np.sin(2 * np.pi * t / length) + 40 * np.cos(2 * np.pi * y / length) for t in turned], -1
    )


def picture(height, width, length):
    return np.round(waves(centres(height, width), length).reshape(height, width, 3)).astype(np.uint8)


placements = st.builds(
    placed,
    st.floats(0.2, 30),
    st.floats(-300, 300),
    st.floats(-300, 300),
    st.floats(-3.2, 3.2),
    st.floats(-0.4, 0.4),
    st.sampled_from([8, 64]),
)
HERE = Box(3, 5, 41, 57)


@given(placements)
def test_points_go_to_the_photo_and_back(placement):
    points = centres(3, 4) * 20
    np.testing.assert_allclose(placement.to_crop(placement.to_photo(points)), points, atol=1e-9)


@given(placements)
def test_a_square_covers_the_pixels_whose_centres_it_holds(placement):
    at = placement.to_crop(centres(*HERE.shape) + np.array([HERE.left, HERE.top])).reshape(*HERE.shape, 2)
    inside = np.minimum(at, placement.size - at).min(-1)
    np.testing.assert_allclose(placement.depth(HERE), inside, atol=1e-3)
    assert np.array_equal(placement.covers(HERE), placement.depth(HERE) >= 0)


@given(placements)
def test_the_box_holds_all_that_is_covered(placement):
    box = placement.box(60, 80)
    outside = np.ones((60, 80), bool)
    outside[box.slices] = False
    assert not (placement.covers(Box(0, 0, 60, 80)) & outside).any()


def test_the_scale_is_that_of_the_area():
    assert Placement.square(5, 7, 160, 64).scale == 2.5
    assert placed(2.5, 5, 7, 0.7, 0.3).scale == pytest.approx(2.5)


def test_exact_squares_are_copies():
    placement = Placement.square(100, 200, 64, 64)
    hole = np.where(ASTRONAUT[..., 0] > 150, 1, 0).astype(np.uint8)
    assert placement.exact
    crop = placement.crop(ASTRONAUT)
    assert np.array_equal(crop, ASTRONAUT[200:264, 100:164])
    assert np.array_equal(placement.crop_hole(hole), 255 * hole[200:264, 100:164])
    values = crop + 0.3
    assert np.array_equal(placement.uncrop(values, Box(200, 100, 264, 164)), values.astype(np.float32))
    assert np.array_equal(placement.uncrop(values, Box(210, 120, 230, 160)), values[10:30, 20:60].astype(np.float32))
    assert np.array_equal(placement.uncrop(values, Box(199, 99, 265, 165))[1:-1, 1:-1], values.astype(np.float32))
    assert not Placement.square(100.5, 200, 64, 64).exact and not placed(1, 100, 200, 1e-3).exact


@pytest.mark.parametrize("scale", [1.001, 1.3, 2.5, 3.9, 4.1, 11, 17, 25])
def test_shrunk_pixels_are_means_of_what_they_cover(scale):
    placement = placed(scale, 350, 20, 0.3, 0.1, 24)
    photo = picture(900, 1000, 12.7 * scale)
    expected = waves(placement.to_photo(centres(24, 24, 16)), 12.7 * scale).reshape(24, 16, 24, 16, 3).mean((1, 3))
    error = placement.crop(photo) - expected
    assert np.abs(error).max() < 1.1 and np.abs(error.mean()) < 0.05


@pytest.mark.parametrize("scale", [0.2, 0.7, 1.0])
def test_enlarged_pixels_are_those_of_a_cubic_spline(scale):
    placement = placed(scale, 240, 100, 0.3, 0.1 * (scale < 1))
    x, y = placement.to_photo(centres(64, 64)).T - 0.5
    spline = [ndimage.map_coordinates(ASTRONAUT[..., i].astype(float), [y, x], order=3) for i in range(3)]
    expected = np.clip(np.stack(spline, -1).reshape(64, 64, 3), 0, 255)
    assert np.abs(placement.crop(ASTRONAUT) - expected).max() < 0.52


def test_a_fine_pattern_shrinks_to_grey():
    board = np.repeat((np.indices((1500, 1500)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, 2)
    for scale in (2.3, 5, 12.7, 18.1):
        crop = placed(scale, 500, 100, 0.4, 0.1).crop(board)
        inside = placed(scale, 500, 100, 0.4, 0.1).crop_hole(np.zeros((1500, 1500), np.uint8)) == 0
        assert np.abs(crop[inside] - 127.5).max() < 40 / scale and abs(crop[inside].mean() - 127.5) < 0.6


@pytest.mark.parametrize("scale", [0.4, 1.7, 20])
def test_outside_of_the_photo_it_is_black_and_to_be_found(scale):
    photo, hole = np.full((300, 400, 3), 200, np.uint8), np.zeros((300, 400), np.uint8)
    placement = placed(scale, 400 - 32.3 * scale, 100)
    crop, found = placement.crop(photo), placement.crop_hole(hole)
    x, y = placement.to_photo(centres(64, 64)).T.reshape(2, 64, 64)
    inside = (x > 0) & (x < 400) & (y > 0) & (y < 300)
    whole = (x > scale) & (x < 400 - scale) & (y > scale) & (y < 300 - scale)
    assert (crop[whole] == 200).all() and (crop[~inside] <= 100).all() and (crop[:, 33:] == 0).all()
    assert (found[whole] == 0).all() and (found[~inside] == 255).all() and (found[:, 32:] == 255).all()
    away = placed(scale, 5000, -4000)
    assert not away.crop(photo).any() and (away.crop_hole(hole) == 255).all()
    assert away.box(300, 400).shape[1] == 0


@settings(deadline=None, max_examples=15)
@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.3, 1.0, 2.2, 7.0, 40.0]), st.floats(-0.5, 0.5))
def test_one_pixel_of_a_large_photo_is_seen(across, down, scale, angle):
    hole = np.zeros((3000, 4000), np.uint8)
    placement = placed(scale, 1700, 200, angle)
    x, y = placement.to_photo(np.array([[64 * across, 64 * down]]))[0].astype(int)
    if not (0 <= x < 4000 and 0 <= y < 3000):
        return
    hole[y, x] = 1
    column, row = placement.to_crop(np.array([[x + 0.5, y + 0.5]]))[0].astype(int).clip(0, 63)
    assert placement.crop_hole(hole)[row, column] == 255


@settings(deadline=None, max_examples=25)
@given(st.floats(1.01, 40), st.floats(-3, 3), st.floats(-0.3, 0.3), st.integers(0, 999))
def test_a_known_pixel_does_not_depend_on_the_hole(scale, angle, shear, seed):
    rng = np.random.Generator(np.random.Philox(key=seed))
    photo = rng.integers(0, 256, (240, 240, 3), np.uint8)
    hole = (ndimage.gaussian_filter(rng.random((240, 240)), 9) > 0.5).astype(np.uint8)
    centre = placed(scale, 0, 0, angle, shear, 24).to_photo(np.array([[12.0, 12]]))[0]
    placement = placed(scale, *(120 - centre), angle, shear, 24)
    other = np.where(hole[..., None] > 0, 255 - photo, photo)
    known = placement.crop_hole(hole) == 0
    assert np.array_equal(placement.crop(photo)[known], placement.crop(other)[known])


@pytest.mark.parametrize("scale", [0.31, 0.77, 1.0, 1.4, 2.3, 6.0, 19.0])
def test_an_untouched_crop_gives_a_smooth_photo_back(scale):
    length = 24 * max(1, scale)
    placement = placed(scale, 250, 40, 0.35, 0.15, 32)
    photo = picture(900, 1000, length)
    box = placement.box(900, 1000)
    error = np.abs(placement.uncrop(placement.crop(photo).astype(float), box) - photo[box.slices]).max(-1)
    assert error[placement.depth(box) > 1].max() < 2 and error[placement.covers(box)].mean() < 0.7


@pytest.mark.parametrize(("angle", "shear"), [(0, 0), (0.3, 0.1)])
def test_a_crop_finer_than_the_photo_gives_any_photo_back(angle, shear):
    placement = placed(1 / 3, 215, 120, angle, shear)
    box = placement.box(512, 512)
    error = np.abs(placement.uncrop(placement.crop(ASTRONAUT).astype(float), box) - ASTRONAUT[box.slices]).max(-1)
    assert error[placement.depth(box) > 6].max() < 1 and error[placement.covers(box)].max() < 3


@pytest.mark.parametrize("scale", [0.6, 1.2, 7.3])
def test_a_slope_stays_where_it_is(scale):
    """Half a pixel of error would move it by half of the slope."""
    x, y = centres(260, 260).T
    photo = np.round(np.stack([x, y, 250 - x], -1)).astype(np.uint8).reshape(260, 260, 3)
    placement = placed(scale, 60, 20, 0.2, 0.1, 20)
    at = placement.to_photo(centres(20, 20)).reshape(20, 20, 2) - 0.5
    assert np.abs(placement.crop(photo)[..., :2].astype(float).mean((0, 1)) - at.mean((0, 1)) - 0.5).max() < 0.2
    u, v = centres(20, 20).T
    box = placement.box(260, 260)
    there = placement.to_crop(centres(*box.shape) + np.array([box.left, box.top])).reshape(*box.shape, 2)
    back = placement.uncrop(np.stack([u, v], -1).reshape(20, 20, 2), box)
    np.testing.assert_allclose(back[placement.covers(box)], there[placement.covers(box)], atol=0.08)


def test_far_enlarged_no_grid_of_pixels_shows():
    stripes = np.zeros((64, 64, 1)) + (np.arange(64) % 2 * 40 + 100)[:, None]
    assert np.ptp(placed(12, 0, 0).uncrop(stripes, Box(100, 100, 600, 600))) < 1
    assert np.ptp(placed(1.5, 0, 0).uncrop(stripes, Box(20, 20, 60, 60))) > 30


@pytest.mark.parametrize("size", [1, 2, 5, 200])
def test_squares_of_any_size_come_and_go(size):
    placement = placed(64 / size, 230, 100, 0.1, 0, size)
    crop = placement.crop(ASTRONAUT)
    back = placement.uncrop(crop.astype(float), placement.box(512, 512))
    covered = placement.covers(placement.box(512, 512))
    assert crop.shape == (size, size, 3)
    assert abs(back[covered].mean() - crop.mean()) < 8
