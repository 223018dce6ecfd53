from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import Float

from latentfill.faces.placement import Placement
from latentfill.faces.templates import FIVE, are_flat, are_mirrored, place, points_of, shear, template, three_of_five
from latentfill.options import Alignment, LandmarkSet

SETS: list[LandmarkSet] = ["inner-eyes-and-bottom-lip", "outer-eyes-and-nose"]
Points = Float[np.ndarray, "3 2"]
points = arrays(float, (3, 2), elements=st.floats(-500, 500, width=32)).filter(lambda p: not are_flat(p[None])[0])


def turned(here: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(scale * here @ turn.T + shift)


@given(points, st.sampled_from(SETS), st.sampled_from([16, 64, 250]), st.floats(0.5, 4))
def test_an_affine_placement_meets_the_template_exactly(p: Points, name: LandmarkSet, size: int, margin: float) -> None:
    alignment = Alignment(name, margin=margin)
    there = place(p, size, alignment).to_photo(template(size, alignment))
    np.testing.assert_allclose(there, p, atol=1e-6)


@given(points, st.sampled_from(SETS))
def test_a_similarity_has_no_shear_and_is_never_mirrored(p: Points, name: LandmarkSet) -> None:
    placement = place(p, 64, Alignment(name, similarity=True))
    assert shear(placement) == pytest.approx(1)
    assert np.linalg.det(np.array(placement.matrix)[:, :2]) > 0


@pytest.mark.parametrize("similarity", [False, True])
@given(angle=st.floats(-3.1, 3.1), scale=st.floats(0.2, 40), x=st.floats(-99, 999), y=st.floats(-99, 999))
def test_a_turned_template_is_found_again(similarity: bool, angle: float, scale: float, x: float, y: float) -> None:
    alignment = Alignment(similarity=similarity)
    placement = place(turned(template(64, alignment), angle, scale, (x, y)), 64, alignment)
    assert placement.scale == pytest.approx(scale)
    corners = np.array([[0.0, 0], [64, 0], [64, 64]])
    np.testing.assert_allclose(placement.to_photo(corners), turned(corners, angle, scale, (x, y)), atol=1e-6)


def test_the_similarity_is_that_of_least_squares_in_the_crop() -> None:
    p, alignment = np.array([[100.0, 90], [160, 80], [120, 190]]), Alignment(similarity=True)
    target = template(64, alignment)
    rows = [[[x, -y, 1, 0], [y, x, 0, 1]] for x, y in p]  # a dense solve for (a, b, tx, ty)
    a, b, tx, ty = np.linalg.lstsq(np.reshape(rows, (6, 4)), target.ravel(), rcond=None)[0]
    placed = place(p, 64, alignment).to_crop(p)
    np.testing.assert_allclose(placed, p @ np.array([[a, b], [-b, a]]) + [tx, ty])


def test_the_template_is_openfaces_at_the_size_the_model_was_made_at() -> None:
    """An index of a pixel there, so half a pixel less than its middle."""
    index = template(128, Alignment()) - 0.5
    np.testing.assert_allclose(index / 128, [(0.363785, 0.177947), (0.618963, 0.172778), (0.500204, 0.750584)])


@pytest.mark.parametrize("name", SETS)
def test_a_crop_shows_the_same_at_every_size(name: LandmarkSet) -> None:
    p = np.array([[100.0, 90], [160, 80], [120, 190]])
    large, small = (place(p, size, Alignment(name)) for size in (128, 64))
    np.testing.assert_allclose(large.to_photo(np.array([[128.0, 32]])), small.to_photo(np.array([[64.0, 16]])))


@pytest.mark.parametrize("similarity", [False, True])
def test_the_margin_shows_more_around_the_same_middle(similarity: bool) -> None:
    p = np.array([[100.0, 90], [160, 80], [120, 190]])
    near, far = (place(p, 64, Alignment(similarity=similarity, margin=margin)) for margin in (1, 2))
    middle = np.array([[32.0, 32]])
    np.testing.assert_allclose(near.to_photo(middle), far.to_photo(middle))
    assert far.scale == pytest.approx(2 * near.scale)
    assert shear(far) == pytest.approx(shear(near))


def test_shear_is_the_ratio_of_the_longest_to_the_shortest_direction() -> None:
    assert shear(Placement(((3.0, 0.0, 5.0), (0.0, 2.0, 7.0)), 64)) == pytest.approx(1.5)


@pytest.mark.parametrize("name", SETS)
def test_three_points_follow_from_celebas_five(name: LandmarkSet) -> None:
    five = turned(np.array(FIVE), 0.4, 90, (30, 50))[None]
    three = three_of_five(five, name)[0]
    crop = place(three, 64, Alignment(name))
    assert shear(crop) == pytest.approx(1)
    np.testing.assert_allclose(crop.to_crop(five[0]), 64 * (np.array(FIVE) + 0.5 / 128))


def test_which_of_dlibs_points_make_up_a_set() -> None:
    assert points_of("inner-eyes-and-bottom-lip") == (39, 42, 57)
    assert points_of("outer-eyes-and-nose") == (36, 45, 33)
    assert points_of("outer-eyes-and-nose", 5) == (2, 0, 4)
    with pytest.raises(ValueError, match=r"got .*inner-eyes-and-bottom-lip', 5"):
        points_of("inner-eyes-and-bottom-lip", 5)


@pytest.mark.parametrize("similarity", [False, True])
@pytest.mark.parametrize("bad", [[[0, 0], [1, 1], [2, 2]], [[3, 3], [3, 3], [9, 1]], [[5, 5]] * 3])
def test_points_on_one_line_are_refused(bad: list[list[float]], similarity: bool) -> None:
    with pytest.raises(ValueError, match="not on one line"):
        place(np.array(bad, float), 64, Alignment(similarity=similarity))


def test_eyes_in_the_wrong_order_are_told_however_the_face_is_turned() -> None:
    face = np.stack([turned(template(64, Alignment()), angle, 1, (0, 0)) for angle in (0, 1.6, 3.1, -2)])
    assert not are_mirrored(face).any()
    assert are_mirrored(face[:, [1, 0, 2]]).all()


def test_an_alignment_goes_through_plain_types() -> None:
    alignment = Alignment("outer-eyes-and-nose", True, 1.5)
    assert Alignment(**asdict(alignment)) == alignment
