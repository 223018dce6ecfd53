import io

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from latentfill import fill_crops
from latentfill.gan.model_file import build
from latentfill.options import CompleteOptions, NetworkOptions
from latentfill.photo.monochrome import LUMA, find_tint

ASTRONAUT = np.asarray(skimage.data.astronaut())
GREY = np.asarray(Image.fromarray(ASTRONAUT).convert("L"))
HOLE = np.zeros((512, 512), bool)
HOLE[106:160, 203:245] = True


def toned(grey, dark, light):
    share = grey[..., None] / np.iinfo(grey.dtype).max
    return np.rint(np.array(dark) * (1 - share) + np.array(light) * share).clip(0, 255).astype(np.uint8)


def as_jpeg(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


TONED = {
    "black and white": toned(GREY, (0, 0, 0), (255, 255, 255)),
    "sepia, its whites clipped": toned(GREY, (0, 0, 0), (340, 300, 240)),
    "two tones": toned(GREY, (20, 30, 90), (255, 225, 160)),
}


@pytest.mark.parametrize("name", TONED)
@pytest.mark.parametrize("quality", [None, 75, 90])
def test_what_was_found_gets_the_tint_of_a_photo_of_one_colour(name, quality):
    photo = TONED[name] if quality is None else as_jpeg(TONED[name], quality)
    tint = find_tint(np.where(HOLE[..., None], ASTRONAUT, photo), ~HOLE, HOLE)
    found = np.repeat(np.rint(TONED[name] @ LUMA)[..., None], 3, 2).astype(np.uint8)
    off = np.abs(tint.apply(found[HOLE]).astype(int) - TONED[name][HOLE])
    assert off.mean() < 1.5 and off.max() <= 12


def test_a_grey_photo_stays_exactly_grey_in_16_bits_too():
    grey = GREY.astype(np.uint16) * 257 + 3
    tint = find_tint(np.repeat(grey[..., None], 3, 2), ~HOLE, HOLE)
    made = tint.apply(np.random.default_rng(0).integers(0, 65536, (2500, 3), dtype=np.uint16))
    assert made.dtype == np.uint16 and not np.ptp(made.astype(int), axis=1).any()


def on_a_wall(side):
    """A face in colour before a wall without any."""
    photo = np.full_like(ASTRONAUT, 150)
    photo[125 - side : 125 + side, 225 - side : 225 + side] = ASTRONAUT[
        125 - side : 125 + side, 225 - side : 225 + side
    ]
    return photo


COLOUR = {
    "colour": ASTRONAUT,
    "pale": np.rint(0.75 * TONED["black and white"] + 0.25 * ASTRONAUT).astype(np.uint8),
    "a face before a wall": on_a_wall(70),
    "a small face before a wall": on_a_wall(40),
    "a stamp on a grey photo, near": np.where(np.indices((512, 512))[0][..., None] // 20 == 4, ASTRONAUT, 90),
}


@pytest.mark.parametrize("name", COLOUR)
def test_a_photo_with_colours_has_no_tint(name):
    assert find_tint(COLOUR[name].astype(np.uint8), ~HOLE, HOLE) is None


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_tone_is_known_by_its_pixels_and_any_colour_is_not_taken_for_one(data):
    colour = st.tuples(*[st.integers(0, 255)] * 3)
    height, width = data.draw(st.tuples(st.integers(32, 200), st.integers(32, 200)))
    top, left = data.draw(st.integers(0, 512 - height)), data.draw(st.integers(0, 512 - width))
    part = np.s_[top : top + height, left : left + width]
    hole = np.zeros((height, width), bool)
    hole[height // 3 : height // 2, width // 4 : width // 2] = True
    dark, light = data.draw(colour), data.draw(colour)
    photo = toned(GREY[part], dark, light)
    if np.ptp((photo @ LUMA)[~hole]) > 20:  # else its luma says nothing of its colour
        tint = find_tint(photo, ~hole, hole)
        assert tint is not None and np.abs(tint.apply(photo[~hole]).astype(int) - photo[~hole]).mean() < 2
    across = ASTRONAUT[top : top + height]  # as wide as the photo: a part may show one cloth, which is of one tone
    known = np.ones(across.shape[:2], bool)
    known[height // 3 : height // 2, 128:256] = False
    assert find_tint(across, known, ~known) is None


def test_too_few_pixels_say_nothing():
    known = np.zeros((64, 64), bool)
    known[:4, :4] = True
    assert find_tint(np.zeros((64, 64, 3), np.uint8), known, ~known) is None
    assert find_tint(np.zeros((64, 64, 3), np.uint8), ~known & known, ~known) is None


@pytest.mark.parametrize("side", [128, 250])
def test_small_sepia_jpegs_have_a_tint_too(side):
    sepia = TONED["sepia, its whites clipped"]
    small = np.asarray(Image.fromarray(sepia).resize((side, side), Image.Resampling.BOX))
    hole = np.zeros((side, side), bool)
    hole[side // 4 : side // 3, side * 2 // 5 : side // 2] = True
    assert find_tint(as_jpeg(small, 75), ~hole, hole) is not None


def test_a_hole_that_leaves_little_of_a_small_photo_leaves_its_tint():
    known = np.ones((64, 64), bool)
    known[5:60, 5:60] = False
    grey = np.repeat(GREY[:64, 200:264, None], 3, 2)
    assert find_tint(grey, known, ~known) is not None


@pytest.mark.parametrize(("level", "says"), [(150, False), (None, True)])
def test_a_wall_says_nothing_of_the_colours_of_who_stands_before_it(level, says):
    photo = np.where(HOLE[..., None], ASTRONAUT, level or np.repeat(GREY[..., None], 3, 2)).astype(np.uint8)
    tint = find_tint(photo, ~HOLE, HOLE)
    assert tint.covers(ASTRONAUT[HOLE]) is says
    assert tint.covers(photo[~HOLE])


def test_crops_and_frames_of_one_colour_stay_so():
    gan = build(NetworkOptions(size=32, base=4, latent=6))
    grey, hole = np.repeat(GREY[90:122, 210:242, None], 3, 2), np.zeros((32, 32), np.uint8)
    hole[8:20, 8:20] = 255
    colour = ASTRONAUT[90:122, 210:242]
    made, other = fill_crops(gan, [grey, colour], [hole, hole], CompleteOptions(steps=2, precision="fp32"))
    assert np.ptp(made, axis=2).max() == 0 < np.ptp(made[hole > 0]) and np.ptp(other[hole > 0], axis=1).max() > 0
    assert np.array_equal(made[hole == 0], grey[hole == 0])
