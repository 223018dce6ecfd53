import numpy as np
import pytest
import skimage.data
from PIL import Image

from latentfill.faces.placement import Placement
from latentfill.options import Alignment
from latentfill.photo import locate
from latentfill.photo.locate import covered_share, find_faces, place_upright

ASTRONAUT = np.asarray(skimage.data.astronaut())
FACE = Alignment()
LANDMARKS = np.array([[212.5, 104.5], [237.5, 106.5], [222.5, 156.5]])
TRUE = place_upright(LANDMARKS, 64, FACE)


def ellipse(shape, x, y, across, down):
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = ((columns - x) / across) ** 2 + ((rows - y) / down) ** 2 <= 1
    return np.where(inside, 255, 0).astype(np.uint8)


def blanked(photo, hole, value=255):
    return np.where(hole[..., None] > 0, np.uint8(value), photo)


def off(placement, true=TRUE):
    """How far the corners of two squares are apart, in pixels of the crop."""
    corners = np.array([[0.0, 0], [64, 0], [64, 64], [0, 64]])
    return np.abs(true.to_crop(placement.to_photo(corners)) - corners).max()


@pytest.mark.parametrize("value", [255, 0])
@pytest.mark.parametrize(
    ("where", "allowed"),  # pixels of 64; at the side half of each eye and of the mouth are guesses
    [
        ((224, 135, 16, 12), 2.5),
        ((224, 125, 20, 25), 4),
        ((224, 150, 30, 22), 6),
        ((224, 105, 34, 14), 7),
        ((240, 125, 20, 40), 13),
    ],
    ids=["nose", "middle", "mouth", "eyes", "side"],
)
def test_a_face_is_found_although_the_hole_hides_a_part_of_it(where, allowed, value):
    hole = ellipse((512, 512), *where)
    found = find_faces(blanked(ASTRONAUT, hole, value), hole, hole, 64, FACE)
    assert len(found.placements) == 1 and found.elsewhere == 0
    assert off(found.placements[0]) < allowed


def test_a_face_that_is_there_under_the_hole_is_found_exactly():
    hole = ellipse((512, 512), 224, 125, 40, 60)
    found = find_faces(ASTRONAUT, hole, hole, 64, FACE)
    assert off(found.placements[0]) < 1.5


def two_faces():
    photo = np.full((300, 700, 3), 90, np.uint8)
    photo[:, :300], photo[:, 400:] = ASTRONAUT[:300, 80:380], ASTRONAUT[:300, 80:380]
    return photo


def test_of_two_faces_the_one_that_the_hole_touches_is_placed():
    hole = ellipse((300, 700), 224 - 80 + 400, 130, 15, 15)
    found = find_faces(two_faces(), hole, hole, 64, FACE)
    assert len(found.placements) == 1 and found.elsewhere == 1
    assert off(found.placements[0], place_upright(LANDMARKS + np.array([320, 0]), 64, FACE)) < 2


def test_a_hole_over_two_faces_has_both():
    hole = np.zeros((300, 700), np.uint8)
    hole[125:135, 100:600] = 255
    found = find_faces(two_faces(), hole, hole, 64, FACE)
    assert len(found.placements) == 2 and found.elsewhere == 0
    assert 0.2 < covered_share(found.placements, hole) < 0.5


def test_a_hole_over_none_has_none_but_knows_of_them():
    hole = ellipse((300, 700), 350, 250, 20, 20)
    found = find_faces(two_faces(), hole, hole, 64, FACE)
    assert not found.placements and found.elsewhere == 2


def test_what_only_looks_like_a_face_is_not_counted():
    photo = np.pad(ASTRONAUT, ((0, 77), (102, 0), (0, 0)))
    hole = np.full(photo.shape[:2], 255, np.uint8)
    hole[:512, 102:] = 0
    assert find_faces(photo, hole, hole, 64, FACE).elsewhere == 1


def test_where_there_is_no_face_none_is_found():
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).resize((600, 400), Image.Resampling.BICUBIC)
    hole = ellipse((400, 600), 300, 200, 40, 40)
    found = find_faces(np.asarray(noise), hole, hole, 64, FACE)
    assert not found.placements and not found.elsewhere


def test_a_face_in_a_large_photo_is_found_in_its_coordinates():
    large = np.asarray(Image.fromarray(ASTRONAUT).resize((3072, 3072), Image.Resampling.BICUBIC))
    hole = ellipse((3072, 3072), 224 * 6, 140 * 6, 90, 90)
    found = find_faces(large, hole, hole, 64, FACE)
    assert off(found.placements[0], place_upright(LANDMARKS * 6, 64, FACE)) < 2


def test_a_small_face_in_a_large_photo_is_found_near_the_hole():
    large = np.full((3000, 4000, 3), 128, np.uint8)
    small = np.asarray(Image.fromarray(ASTRONAUT).resize((384, 384), Image.Resampling.BOX))
    large[1500:1884, 2500:2884] = small
    hole = ellipse((3000, 4000), 2500 + 224 * 0.75, 1500 + 150 * 0.75, 14, 10)
    found = find_faces(blanked(large, hole), hole, hole, 64, FACE)
    assert off(found.placements[0], place_upright(LANDMARKS * 0.75 + (2500, 1500), 64, FACE)) < 6


def test_the_share_that_squares_see_is_counted_once():
    hole = np.full((10, 20), 255, np.uint8)
    left, middle = Placement.square(0.0, 0.0, 10.0, 8), Placement.square(5.0, 0.0, 10.0, 8)
    assert (
        covered_share([left], hole) == 0.5
        and covered_share([left, middle], hole) == 0.75
        and covered_share([], hole) == 0
    )
    assert covered_share([left], np.zeros((10, 20), np.uint8)) == 0


def test_landmarks_that_would_shear_a_face_do_not():
    sheared = LANDMARKS + np.array([(0, 0), (0, 0), (40, 0)])
    linear = np.array(place_upright(sheared, 64, FACE).matrix)[:, :2]
    assert np.allclose(linear @ linear.T, np.eye(2) * np.linalg.det(linear))
    template = np.array([[0.363785, 0.177947], [0.618963, 0.172778], [0.500204, 0.750584]]) * 64 + 0.25
    assert np.allclose(place_upright(LANDMARKS, 64, FACE).to_crop(LANDMARKS), template, atol=0.01)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_in_a_photo_on_its_side_is_found_where_it_is(quarters):
    photo = ASTRONAUT[:400, 40:400]  # not square
    hole = ellipse(photo.shape[:2], 224 - 40, 133, 21, 27)
    turned, gap = np.rot90(photo, quarters).copy(), np.rot90(hole, quarters).copy()
    found = find_faces(turned, gap, gap, 64, FACE)
    points = LANDMARKS - (40, 0)
    for i in range(quarters):
        points = np.stack([points[:, 1], (400 if i % 2 else 360) - points[:, 0]], 1)
    assert found.turned == 90 * quarters and len(found.placements) == 1
    assert off(found.placements[0], place_upright(points, 64, FACE)) < 6


def test_an_upright_face_is_not_turned():
    hole = ellipse((512, 512), 224, 133, 21, 27)
    assert find_faces(ASTRONAUT, hole, hole, 64, FACE).turned == 0


@pytest.mark.parametrize("angle", [-35, 40])
def test_a_tilted_face_is_found_where_it_is(angle):
    hole = ellipse((512, 512), 224, 150, 30, 22)
    middle, turn = np.array([256, 256]), np.radians(angle)
    tilted, gap = (np.asarray(Image.fromarray(picture).rotate(angle)) for picture in (ASTRONAUT, hole))
    x, y = (LANDMARKS - middle).T
    points = np.stack([np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x], 1) + middle
    found = find_faces(blanked(tilted, gap), gap, gap, 64, FACE)
    assert len(found.placements) == 1 and found.turned == 0
    assert off(found.placements[0], place_upright(points, 64, FACE)) < 7


def test_a_large_face_is_not_enlarged_to_look_for_it_tilted(monkeypatch):
    seen = []
    monkeypatch.setattr(locate, "SURE", 9.0)
    monkeypatch.setattr(locate._View, "tilted_faces", lambda view, landmarks, upsample: seen.append(upsample) or [])
    for times in (1, 2):
        photo, hole = ASTRONAUT.repeat(times, 0).repeat(times, 1), np.zeros((512 * times,) * 2, np.uint8)
        hole[120 * times : 150 * times, 214 * times : 234 * times] = 255
        find_faces(photo, hole, hole, 64, FACE)
    assert seen == [1, 0]
