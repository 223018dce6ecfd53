import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentfill.faces.placement import Placement
from latentfill.images import blending
from latentfill.images.incomplete import Incomplete
from latentfill.images.pixels import to_images, to_levels, to_pixels
from latentfill.photo import paste as pasting
from latentfill.photo.paste import Piece, paste

ASTRONAUT = np.asarray(skimage.data.astronaut())
SMALL = np.ascontiguousarray(ASTRONAUT[96:160, 192:256])


def drawn(*shape, seed=0):
    return np.random.Generator(np.random.Philox(key=seed)).random(shape)


def disc(x, y, radius, shape=(512, 512)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.where(np.hypot(columns + 0.5 - x, rows + 0.5 - y) < radius, 255, 0).astype(np.uint8)


def square(left, top, side, value, size=64):
    """A piece of one colour, or of given values."""
    values = np.full((size, size, 3), value) if np.ndim(value) == 0 else value
    return Piece(Placement.square(float(left), float(top), float(side), size), np.asarray(values, float))


HOLES = {
    "disc": disc(30, 30, 20, (64, 64)),
    "corner": disc(0, 0, 40, (64, 64)),
    "scattered": np.where(drawn(64, 64) < 0.5, 255, 0).astype(np.uint8),
    "all": np.full((64, 64), 255, np.uint8),
    "none": np.zeros((64, 64), np.uint8),
}


@pytest.mark.parametrize("name", HOLES)
def test_a_photo_of_the_models_size_is_the_formula_of_the_post(name):
    hole, images = HOLES[name], torch.from_numpy(drawn(1, 3, 64, 64, seed=3)).float() * 2 - 1
    incomplete = Incomplete(to_images(SMALL), torch.from_numpy((hole == 0)[None, None]).float())
    pieces = [Piece(Placement.square(0, 0, 64, 64), to_levels(images)[0])]
    formula = to_pixels(blending.overlay(incomplete, images))[0]
    assert np.array_equal(paste(SMALL, hole, pieces, blend="overlay"), formula)
    smooth = to_pixels(blending.poisson(incomplete, images))[0].astype(int)
    assert np.abs(paste(SMALL, hole, pieces) - smooth).max() <= 1


@settings(deadline=None, max_examples=12)
@given(
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from(["overlay", "poisson"]),
    st.lists(st.tuples(st.floats(-30, 90), st.floats(-30, 90), st.floats(5, 90), st.floats(-3, 3)), max_size=3),
    st.floats(0.02, 0.9),
    st.booleans(),
    st.integers(0, 999),
)
def test_known_pixels_are_kept_to_the_bit_and_others_are_made(dtype, blend, squares, share, blobs, seed):
    photo = (drawn(70, 90, 3, seed=seed) * np.iinfo(dtype).max).astype(dtype)
    found = drawn(7, 9, seed=seed + 1).repeat(10, 0).repeat(10, 1) if blobs else drawn(70, 90, seed=seed + 1)
    hole = np.where(found < share, 255, 0).astype(np.uint8)
    pieces = []
    for x, y, side, angle in squares:
        c, s = side / 16 * np.cos(angle), side / 16 * np.sin(angle)
        placement = Placement(((float(c), float(-s), x), (float(s), float(c), y)), 16)
        pieces.append(Piece(placement, 255 * drawn(16, 16, 3, seed=seed + 2)))
    result = paste(photo, hole, pieces, beyond=lambda _, values, __: (np.full_like(values, 77), 16.0), blend=blend)
    assert result.dtype == dtype and result.shape == photo.shape
    assert np.array_equal(result[hole == 0], photo[hole == 0])
    other = np.where(hole[..., None] > 0, np.iinfo(dtype).max - photo, photo)
    again = paste(other, hole, pieces, beyond=lambda _, values, __: (np.full_like(values, 77), 16.0), blend=blend)
    assert np.array_equal(result, again), "the photo's pixels in the hole are looked at"


@pytest.mark.parametrize("side", [20, 64, 200, 420])
def test_an_untouched_crop_changes_little(side):
    y, x = np.mgrid[:512, :512]
    smooth = np.stack([128 + 100 * np.sin((x + k * y) / side * 3) for k in (0.2, 0.5, 1)], -1).round().astype(np.uint8)
    placement = Placement.square(60.3, 40.8, float(side), 64)
    hole = disc(60.3 + side / 2, 40.8 + side / 2, side * 0.4)
    result = paste(smooth, hole, [Piece(placement, placement.crop(smooth).astype(float))])
    assert np.abs(result.astype(int) - smooth).max() <= 1


def test_poisson_takes_an_offset_away_and_overlay_keeps_it():
    placement = Placement.square(150.0, 50.0, 128.0, 64)
    hole = disc(214, 114, 45)
    crop = placement.crop(ASTRONAUT).astype(float)
    plain, shifted = (paste(ASTRONAUT, hole, [Piece(placement, v)], grain=False).astype(int) for v in (crop, crop + 20))
    assert np.abs(plain - shifted).max() <= 1
    kept = paste(ASTRONAUT, hole, [Piece(placement, crop + 20)], blend="overlay", grain=False)
    assert 15 < (kept.astype(int) - plain)[hole > 0].mean() < 21


def test_16_bits_do_not_pass_through_8():
    photo = np.zeros((64, 64, 3), np.uint16)
    values = np.linspace(10, 12, 64)[:, None, None] * np.ones((64, 64, 3))
    hole = np.full((64, 64), 255, np.uint8)
    result = paste(photo, hole, [square(0, 0, 64, values)])
    assert np.array_equal(result, np.floor(values.astype(np.float32) * 257 + 0.5).astype(np.uint16))
    assert len(np.unique(result)) == 64


def test_the_middle_of_a_piece_wins_over_the_edge_of_another_without_a_step():
    photo, hole = np.zeros((200, 300, 3), np.uint8), np.zeros((200, 300), np.uint8)
    hole[50:150, 20:280] = 255
    result = paste(photo, hole, [square(10, 30, 160, 50), square(130, 30, 160, 150)], blend="overlay")
    row = result[100, 20:280, 0].astype(int)
    assert (np.diff(row) >= 0).all() and np.diff(row).max() < 10
    assert abs(row[130] - 100) <= 5 and abs(row[105] - 50) <= 1 and row[0] == 50 and row[-1] == 150


def test_what_no_piece_covers_comes_from_beyond_which_sees_the_pieces():
    hole = disc(256, 256, 90)
    seen = []

    def beyond(box, values, wanted):
        seen.append((values, wanted))
        assert box.shape == wanted.shape
        return np.full_like(values, 33), 16.0

    plain, grainy = (
        paste(ASTRONAUT, hole, [square(256, 100, 300, 99)], beyond=beyond, blend="overlay", grain=grain)
        for grain in (False, True)
    )
    right = np.arange(512) >= 256
    (values, wanted), left = seen[-1], (hole > 0) & ~right
    assert values.dtype == np.float32 and wanted.dtype == np.uint8 and values.shape[:2] == wanted.shape
    deep = np.arange(512) >= 256 + 38  # 0.12 of 300 pixels, and the next
    assert left.sum() < (wanted > 0).sum() < ((hole > 0) & ~deep).sum()
    assert np.isclose(values, 99).all(-1).sum() >= ((hole > 0) & right).sum()
    assert (plain[(hole > 0) & deep] == 99).all() and (plain[left] == 33).all()
    assert np.diff(plain[256, 180:340, 0].astype(int)).max() <= 2, "the piece has no visible border"
    assert abs(grainy[left].mean() - 33) < 1 and np.std(grainy[left]) > 0.5


def test_no_beyond_is_asked_for_where_pieces_cover_all():
    def never(box, values, wanted):
        raise AssertionError

    paste(ASTRONAUT, disc(256, 256, 60), [square(150, 150, 210, 99)], beyond=never)


def test_a_part_that_only_beyond_joins_to_the_photo_stays_as_generated():
    hole = disc(256, 256, 100)
    result = paste(ASTRONAUT, hole, [square(236, 236, 40, 99)], beyond=lambda _, v, __: (v * 0 + 9, 16.0), grain=False)
    assert (result[244:268, 244:268] == 99).all()


def test_parts_far_apart_are_filled_as_if_alone():
    left, right = disc(90, 100, 40), disc(420, 400, 50)
    pieces = [square(30, 40, 120, 70), square(340, 320, 160, 180)]
    both = paste(ASTRONAUT, np.maximum(left, right), pieces, grain=False)
    alone = [paste(ASTRONAUT, hole, pieces, grain=False) for hole in (left, right)]
    off = [np.abs(both.astype(int) - one)[hole > 0] for one, hole in zip(alone, (left, right), strict=True)]
    assert all(o.max() <= 1 and o.mean() < 0.02 for o in off)


def test_detail_is_added_to_what_is_enlarged():
    noisy = np.clip(120 + 6 * np.random.Generator(np.random.Philox(key=1)).standard_normal((512, 512, 3)), 0, 255)
    photo, hole = noisy.round().astype(np.uint8), disc(256, 256, 90)
    large, exact = square(128, 128, 256, 120), square(224, 224, 64, 120)
    smooth, fine = (paste(photo, hole, [large], grain=grain) for grain in (False, True))
    inside = disc(256, 256, 80) > 0
    assert np.std(smooth[inside]) < 1 and np.std(fine[inside]) == pytest.approx(6, rel=0.2)
    hole = disc(256, 256, 30)
    assert np.array_equal(paste(photo, hole, [exact]), paste(photo, hole, [exact], grain=False))
    drawing = np.full((512, 512, 3), (250, 240, 20), np.uint8)
    assert np.array_equal(paste(drawing, hole, [large]), paste(drawing, hole, [large], grain=False))


def test_detail_comes_from_all_of_a_pieces_square_unless_that_is_too_large(monkeypatch):
    seen = []
    monkeypatch.setattr(pasting, "copy_detail", lambda values, *_: seen.append(values.shape[:2]))
    for most in (256 * 256, 256 * 256 - 1):
        monkeypatch.setattr(pasting, "MOST", most)
        paste(ASTRONAUT, disc(256, 256, 20), [square(128, 128, 256, 120)])
    assert seen == [(256, 256), (168, 168)]


def test_grain_is_added_only_to_what_is_enlarged():
    rng = np.random.Generator(np.random.Philox(key=1))
    photo = np.clip(120 + 6 * rng.standard_normal((300, 600, 3)), 0, 255).round().astype(np.uint8)
    hole = disc(150, 150, 25, (300, 600)) + disc(406, 150, 25, (300, 600))
    pieces = [square(118, 118, 64, 90)]
    plain, grainy, other = (
        paste(photo, hole, pieces, beyond=lambda _, v, __: (v * 0 + 120, 16.0), grain=g, seed=seed)
        for g, seed in ((False, 0), (True, 0), (True, 1))
    )
    assert not np.array_equal(grainy, other)
    assert np.array_equal(plain[:, :300], grainy[:, :300]) and np.std(grainy[disc(406, 150, 25, (300, 600)) > 0]) > 3
    half = disc(182, 150, 25, (300, 600))
    plain, grainy = (
        paste(photo, half, pieces, beyond=lambda _, v, __: (v * 0 + 120, 16.0), grain=g) for g in (False, True)
    )
    assert np.array_equal(plain[:, :182], grainy[:, :182]) and not np.array_equal(plain[:, 182:], grainy[:, 182:])
    both = paste(photo[..., :1].repeat(3, 2), hole, [], beyond=lambda _, v, __: (v * 0 + 120, 16.0))
    alike = np.corrcoef(both[135:165, 135:165].ravel(), both[135:165, 391:421].ravel())[0, 1]
    assert abs(alike) < 0.2


@pytest.mark.parametrize("side", [64, 40, 150])
def test_poisson_meets_the_photo_also_at_the_edge_of_a_piece(side):
    photo, hole = np.full((300, 300, 3), 100, np.uint8), np.zeros((300, 300), np.uint8)
    hole[60 : 60 + side, 70 : 70 + side] = 255
    assert np.abs(paste(photo, hole, [square(70, 60, side, 50)]).astype(int) - 100).max() <= 1


def test_values_are_clipped():
    hole = disc(256, 256, 40)
    for value, found in ((-50, 0), (300, 255)):
        assert (
            paste(ASTRONAUT, hole, [square(200, 200, 112, value)], blend="overlay", grain=False)[hole > 0] == found
        ).all()


def test_what_is_too_bright_has_no_grain():
    rng = np.random.Generator(np.random.Philox(key=1))
    photo = np.clip(120 + 6 * rng.standard_normal((300, 300, 3)), 0, 255).round().astype(np.uint8)
    result = paste(photo, disc(150, 150, 60, (300, 300)), [square(50, 50, 200, 300)], blend="overlay")
    assert (result[130:170, 130:170] == 255).all()


def test_the_photo_itself_is_not_changed():
    photo = ASTRONAUT.copy()
    paste(photo, disc(256, 256, 40), [square(200, 200, 112, 5)])
    assert np.array_equal(photo, ASTRONAUT)


def test_misuse_is_named():
    hole = disc(256, 256, 40)
    with pytest.raises(ValueError, match=r"the photo is \(512, 512\) but the hole is \(64, 64\)"):
        paste(ASTRONAUT, HOLES["disc"], [])
    with pytest.raises(ValueError, match="no piece covers"):
        paste(ASTRONAUT, hole, [square(200, 200, 50, 5)])
    with pytest.raises(ValueError, match=r"was given values .* and answered with \(1, 1, 3\)"):
        paste(ASTRONAUT, hole, [], beyond=lambda _, values, __: (values[:1, :1], 16.0))
    with pytest.raises(ValueError, match=r"64 x 64 pixels, but the values are \(32, 32, 3\)"):
        Piece(Placement.square(0, 0, 64, 64), np.zeros((32, 32, 3)))
