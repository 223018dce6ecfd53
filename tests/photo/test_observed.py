from dataclasses import replace

import numpy as np
import pytest
import skimage.data

import latentfill
from latentfill.completion.operators import parse_operator
from latentfill.errors import HoleError, ImageError, LatentfillError
from latentfill.faces.placement import Placement
from latentfill.gan.model_file import build
from latentfill.images.photos import Original
from latentfill.images.pixels import to_grey
from latentfill.options import CompleteOptions, NetworkOptions, PhotoOptions
from latentfill.photo import data_consistency
from latentfill.photo.crop import cut_observed
from latentfill.photo.data_consistency import crop_operator, degrade, read_measurement
from latentfill.photo.paste import Piece
from latentfill.photo.restoration import restore

PLAIN = build(NetworkOptions(size=64, base=4, latent=6))
FACES = replace(
    build(NetworkOptions(size=16, base=4, latent=6)),
    about={"alignment": {"landmarks": "inner-eyes-and-bottom-lip", "margin": 1.0, "size": 16}},
)
OPTIONS = CompleteOptions(steps=3, precision="fp32")
ASTRONAUT = np.asarray(skimage.data.astronaut())
LANDMARKS = np.array([[212.5, 104.5], [237.5, 106.5], [222.5, 156.5]])
FACE = Original(np.ascontiguousarray(ASTRONAUT[60:190, 150:290]))  # 130 x 140: no number of blocks
EVERYTHING = ["grey", "lowres:4", "noise:25", "levels:6", "jpeg:10", "grey+lowres:2", "lowres:2+jpeg:20"]
CENTER = PhotoOptions(place="center")


def fill(photo, observe, **others):
    return latentfill.fill(photo, gan=PLAIN, options=OPTIONS, observe=observe, photo_options=CENTER, **others)


@pytest.mark.parametrize("observe", EVERYTHING)
def test_a_photo_of_any_size_is_found_anew_and_agrees_with_what_was_seen(observe):
    sight = parse_operator(observe)
    seen = degrade(FACE, sight, seed=1)
    made = fill(seen, observe).candidates[0]
    height, width = (sight.linear.factor * side for side in seen.values.shape[:2])
    assert made.values.shape == (height, width, 3)
    again = degrade(made, replace(sight, noise=parse_operator("grey").noise) if sight.sigma else sight, seed=1)
    off = np.abs(again.values.astype(int) - seen.values)
    if sight.sigma:
        truth = FACE.values[:height, :width].astype(float)
        assert np.square(made.values - truth).mean() < 0.4 * np.square(seen.values - truth).mean()
    elif not sight.noise.name:
        assert off.max() <= 1
    else:  # a pixel that was rounded may fall into the next bin
        assert (off > 2).mean() < 0.05


@pytest.mark.parametrize("bits", [8, 16])
def test_the_luma_of_a_grey_photo_stays_as_it_is_and_colours_come_where_the_model_looks(bits):
    grey = to_grey(FACE.values) if bits == 8 else to_grey(FACE.values).astype(np.uint16) * 257 + 9
    photo = Original(grey, icc=b"\0" * 16 + b"GRAY" + b"\0" * 8)
    filled = fill(photo, "grey")
    made = filled.candidates[0]
    assert made.values.dtype == grey.dtype and made.icc is None, "a profile of grey means nothing in colour"
    luma = made.values @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma - grey[..., 0]).max() <= 0.501
    assert any("stays grey" in note for note in filled.notes)
    assert filled.photo.shape == (130, 140, 3)


def test_a_picture_of_the_model_s_size_is_found_from_its_blocks_like_the_small_one():
    whole = Original(FACE.values[:64, :64])
    small = degrade(whole, parse_operator("lowres:4"), 0)
    assert small.values.shape == (16, 16, 3)
    averaged = small.values.repeat(4, 0).repeat(4, 1)
    one, other = fill(small, "lowres:4"), fill(averaged, "lowres:4")
    assert one.photo.shape == (64, 64, 3) and np.array_equal(one.photo, other.photo)


@pytest.mark.parametrize(("observe", "size"), [("grey", 120), ("lowres:4", 120), ("lowres:4", 96)])
def test_in_the_hole_nothing_was_seen(observe, size):
    photo = degrade(Original(FACE.values[:size, :size]), parse_operator(observe), 0)
    side = len(photo.values)
    hole = np.zeros((side, side), bool)
    hole[side // 4 : side // 2, side // 4 : side // 2] = True
    other = replace(photo, values=np.where(hole[..., None], np.uint8(7), photo.values))
    one, two = (fill(p, observe, hole=hole).photo for p in (photo, other))
    assert np.array_equal(one, two)
    factor = len(one) // side
    where = ~hole.repeat(factor, 0).repeat(factor, 1)
    without = fill(photo, observe).photo
    assert (one != without)[~where].any()
    again = degrade(Original(one), parse_operator(observe), 0).values.astype(int)
    assert np.abs(again - photo.values)[~hole].max() <= 1


def test_a_hole_may_have_the_size_of_what_is_seen_or_of_what_is_wanted():
    observed = read_measurement(Original(FACE.values[:32, :32]), parse_operator("lowres:4"), 16)
    small, large = np.zeros((32, 32), np.uint8), np.zeros((128, 128), np.uint8)
    small[3:5, 2:9], large[12:20, 8:36] = 255, 255
    assert np.array_equal(observed.hole(small), observed.hole(large))
    with pytest.raises(HoleError, match="128 x 128 pixels are wanted, but its hole is 64 x 64"):
        observed.hole(np.zeros((64, 64), np.uint8))
    with pytest.raises(HoleError, match="the hole covers all of it"):
        observed.hole(np.full((32, 32), 255, np.uint8))


def test_a_square_shows_what_the_photo_does_as_far_as_its_pixels_are_the_same():
    def seen(text, side, size=64, left=0):
        return crop_operator(parse_operator(text), Placement.square(left, 0, side, size)).name

    assert seen("lowres:4+noise:10", 64) == "lowres:4+noise:10"
    assert seen("lowres:4", 64, left=2) == "lowres:4" and seen("jpeg:10", 64, left=8) == "jpeg:10"
    assert seen("jpeg:10", 64, left=4).startswith("noise")
    assert seen("lowres:4", 128) == "lowres:2" and seen("lowres:4", 256) == ""
    assert seen("grey", 32) == "grey+lowres:2", "an enlarged face is a small one"
    assert seen("noise:32", 256) == "noise:8" and seen("noise:32", 64, left=1) == "noise:32"
    assert seen("lowres:2+noise:32", 64, left=2) == "lowres:2+noise:32"


def test_what_the_model_drew_is_met_in_the_middle_of_its_square_and_goes_on_along_what_is_like_it():
    levels = np.full((96, 96, 1), 20, np.uint8)
    levels[:, 24:72] = 120
    observed = read_measurement(Original(levels), parse_operator("grey"), 16)
    piece = Piece(Placement.square(20, 30, 48, 16), np.full((16, 16, 3), [200.0, 100.0, 50.0], np.float32))
    made = restore(observed, np.zeros((96, 96), np.uint8), [piece])
    assert np.array_equal(to_grey(made), levels)
    colour = np.ptp(made.astype(int), axis=2)
    assert (np.abs(colour[40:70, 30:60] - 150) <= 1).all(), "in the square it is what was drawn"
    assert colour[20, 48] > 75 and np.abs(np.diff(colour[:, 48])).max() < 20, "above it the same, without an edge"
    assert colour[54, :18].max() < 60 and colour[54, 78:].max() < 60, "beyond an edge little of it"


def test_several_squares_colour_no_more_than_one():
    observed = read_measurement(Original(np.full((96, 96, 1), 120, np.uint8)), parse_operator("grey"), 16)
    drawn = np.full((16, 16, 3), [200.0, 100.0, 50.0], np.float32)
    pieces = [Piece(Placement.square(x, 30, 32, 16), drawn) for x in (10, 24, 50)]
    colour = np.ptp(restore(observed, np.zeros((96, 96), np.uint8), pieces).astype(int), axis=2)
    assert colour.max() <= 151


@pytest.mark.parametrize("observe", ["lowres:2", "lowres:2+jpeg:30"])
def test_a_large_photo_is_made_part_by_part_as_it_would_be_at_once(observe, monkeypatch):
    operator = parse_operator(observe)
    photo = degrade(Original(ASTRONAUT[:320, 100:436]), operator, 0)
    whole = read_measurement(photo, operator, 16).shown
    monkeypatch.setattr(data_consistency, "TILE", 128)
    monkeypatch.setattr(data_consistency, "OVERLAP", 40)
    parts = read_measurement(photo, operator, 16).shown
    off = np.abs(degrade(parts, operator, 0).values.astype(int) - photo.values)
    assert (off > 1).mean() < (0.02 if operator.noise.name else 1e-9), "a pixel that was rounded may leave its bin"
    assert np.abs(parts.values.astype(int) - whole.values).mean() < 1


def test_the_face_of_a_grey_photo_is_found_and_coloured():
    filled = latentfill.fill(to_grey(ASTRONAUT)[..., 0], gan=FACES, options=OPTIONS, observe="grey")
    (placement,) = filled.placements
    middle = placement.to_photo(np.full((1, 2), 8.0))[0].astype(int)
    assert np.abs(middle - [222, 130]).max() < 30
    given = latentfill.fill(
        to_grey(ASTRONAUT)[::2, ::2, 0], gan=FACES, options=OPTIONS, observe="grey", landmarks=[LANDMARKS / 2]
    )
    assert len(given.placements) == 1


@pytest.mark.parametrize(
    ("photo", "observe", "what", "cure"),
    [
        (FACE, "gery", "'gery' is not an observation", "It is one of"),
        (FACE, "lowres:2+jpeg:5+noise:3", "noise and jpeg cannot be observed together", "Give only the last"),
        (FACE, "lowres:2", "its square is 130 pixels wide", "give a smaller picture"),
    ],
)
def test_what_cannot_be_done_is_told_with_a_cure(photo, observe, what, cure):
    with pytest.raises(LatentfillError) as caught:
        fill(photo, observe)
    assert what in caught.value.what and cure in caught.value.cure


def test_misuse_is_told():
    with pytest.raises(ValueError, match="nothing is asked"):
        latentfill.fill(FACE, gan=PLAIN)
    with pytest.raises(ImageError, match="it would have 16 million pixels"):
        read_measurement(Original(np.zeros((2000, 2000, 1), np.uint8)), parse_operator("lowres:2"), 16, most=10**7)
    with pytest.raises(ImageError, match="too small to be made 8 times smaller"):
        degrade(Original(FACE.values[:7, :20]), parse_operator("lowres:8"), 0)
    grey = build(NetworkOptions(size=16, base=4, latent=6, channels=1))
    with pytest.raises(LatentfillError, match="it knows no colours"):
        latentfill.fill(FACE, gan=grey, options=OPTIONS, observe="grey", photo_options=CENTER)


def test_what_is_hidden_of_a_small_picture_does_not_show_around_the_hole():
    small = degrade(Original(FACE.values[:96, :96]), parse_operator("lowres:4"), 0)
    hole = np.zeros((24, 24), np.uint8)
    hole[6:12, 6:12] = 255
    other = replace(small, values=np.where(hole[..., None] > 0, np.uint8(7), small.values))
    one, two = (cut_observed(p, hole, parse_operator("lowres:4"), PLAIN, CENTER) for p in (small, other))
    given = one.crop_holes[0] == 0
    assert 0.8 < given.mean() < 1 and np.array_equal(one.crops[0][given], two.crops[0][given])
