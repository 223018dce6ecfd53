import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.restoration import inpaint_biharmonic

from latentfill.errors import LatentfillError
from latentfill.texture import outside
from latentfill.texture.outside import diffuse, fill

BOTH = ["biharmonic", "telea"]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def slope(height, width):
    """A picture whose brightness grows evenly: what a smooth surface continues exactly."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([50 + 0.5 * x, 200 - 0.4 * y, 60 + 0.2 * x + 0.3 * y]).astype(np.float32)


def holes(height, width):
    y, x = np.mgrid[:height, :width]
    round_ = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (min(height, width) / 3) ** 2
    made = {
        "disc": round_,
        "corner": (y > height // 2) & (x < width // 2),
        "frame": ~round_,
        "scattered": np.random.default_rng(1).random((height, width)) < 0.8,
        "one known pixel": (y != 3) | (x != 5),
    }
    return {name: np.where(hole, np.uint8(255), np.uint8(0)) for name, hole in made.items()}


@pytest.mark.parametrize("how", BOTH)
@pytest.mark.parametrize("name", holes(60, 70))
@pytest.mark.parametrize("budget", [10**6, 100])
def test_known_pixels_stay_and_an_even_colour_goes_on(how, name, budget, monkeypatch):
    monkeypatch.setitem(outside.BUDGET, how, budget)
    hole = holes(60, 70)[name]
    photo = noise(60, 70)
    filled = fill(photo, hole, how)
    assert filled.dtype == np.float32 and filled.shape == photo.shape
    assert np.array_equal(filled[hole == 0], photo[hole == 0]) and 0 <= filled.min() <= filled.max() <= 255
    even = np.broadcast_to(np.array([10, 120, 250], np.uint8), photo.shape).copy()
    spoilt = np.where(hole[..., None] > 0, 99, even).astype(np.uint8)
    assert abs(fill(spoilt, hole, how) - even).max() < 0.3, "what stands in the hole does not matter"
    assert np.array_equal(diffuse(spoilt, hole), even)


def test_biharmonic_is_scikit_images_where_the_hole_is_small():
    photo, hole = noise(40, 50), holes(40, 50)["disc"]
    theirs = inpaint_biharmonic(photo / 255, hole > 0, channel_axis=-1) * 255
    assert abs(fill(photo, hole, "biharmonic") - theirs).max() < 0.01


@pytest.mark.parametrize("name", ["disc", "scattered"])
def test_a_large_hole_is_filled_like_a_small_one(name, monkeypatch):
    photo, hole = slope(97, 131), holes(97, 131)[name]
    exact = fill(photo, hole, "biharmonic")
    assert abs(exact - photo).max() < 1.2 and abs(exact - photo).mean() < 0.15
    monkeypatch.setitem(outside.BUDGET, "biharmonic", 200)
    coarse = fill(photo, hole, "biharmonic")
    assert abs(coarse - photo).max() < 4, "the slope is 0.5 a pixel, and the coarse picture has pixels of four"
    assert abs(coarse - photo).mean() < 0.4


@pytest.mark.parametrize("how", BOTH)
def test_the_filled_part_joins_what_is_around_it(how, monkeypatch):
    monkeypatch.setitem(outside.BUDGET, how, 200)
    photo, hole = slope(96, 128), holes(96, 128)["disc"]
    filled = fill(photo, hole, how)
    steps = abs(np.diff(filled, axis=1))[(hole[:, 1:] != hole[:, :-1])]
    assert steps.max() < 6


@pytest.mark.parametrize("how", BOTH)
def test_floating_point_photos_keep_what_is_between_the_levels(how):
    photo, hole = noise(20, 20) + np.float32(0.25), holes(20, 20)["disc"]
    assert np.array_equal(fill(photo.astype(np.float32), hole, how)[hole == 0], photo[hole == 0])


def test_diffusion_takes_the_means_of_what_is_near():
    photo, hole = np.zeros((4, 8, 3), np.uint8), np.full((4, 8), 255, np.uint8)
    photo[0, 0], photo[0, 7] = 100, 200
    hole[0, 0] = hole[0, 7] = 0
    found = diffuse(photo, hole)
    assert found[0, 0, 0] == 100 and found[0, 7, 0] == 200
    assert (np.diff(found[..., 0].astype(int), axis=1) >= 0).all() and found[3, 0, 0] < 130 < 170 < found[3, 7, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_any_size_and_any_hole_can_be_diffused(height, width, seed, share):
    rng = np.random.default_rng(seed)
    photo = noise(height, width, seed)
    hole = np.where(rng.random((height, width)) < share, np.uint8(255), np.uint8(0))
    found = diffuse(photo, hole)
    assert np.array_equal(found[hole == 0], photo[hole == 0])
    if (hole == 0).any():
        known = photo[hole == 0]
        assert (found >= known.min(0)).all() and (found <= known.max(0)).all(), "means lie between"


@pytest.mark.parametrize("how", BOTH)
def test_where_nothing_is_known_all_is_grey_and_where_all_is_known_nothing_is_done(how):
    photo = noise(9, 7)
    assert (fill(photo, np.full((9, 7), 255, np.uint8), how) == 128).all()
    assert (diffuse(photo, np.full((9, 7), 255, np.uint8)) == 128).all()
    assert np.array_equal(fill(photo, np.zeros((9, 7), np.uint8), how), photo)
    assert np.array_equal(diffuse(photo, np.zeros((9, 7), np.uint8)), photo)


@pytest.mark.parametrize(
    ("how", "module", "library"), [("biharmonic", "skimage.restoration", "scikit-image"), ("telea", "cv2", "OpenCV")]
)
def test_a_missing_library_is_named_with_what_to_install(how, module, library, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LatentfillError, match=rf"(?s){how} needs {library}.*pip install 'latentfill\[faces\]'"):
        fill(noise(9, 9), holes(9, 9)["disc"], how)


def test_misuse_is_named():
    with pytest.raises(ValueError, match=r"\(4, 5, 3\) but its hole \(4, 4\)"):
        diffuse(noise(4, 5), np.zeros((4, 4), np.uint8))
    with pytest.raises(Exception, match=r"biharmonic.*telea"):  # the checker of types is quicker
        fill(noise(4, 4), np.zeros((4, 4), np.uint8), "magic")


def fillers():
    return {"biharmonic": fill, "telea": lambda photo, hole: fill(photo, hole, "telea"), "diffusion": diffuse}


def blobs(height, width, rng):
    """A hole of some rectangles, that may touch the borders, or of single pixels as well; something is known."""
    hole = np.where(rng.random((height, width)) < rng.choice([0, 0.1, 0.8]), np.uint8(255), np.uint8(0))
    for _ in range(rng.integers(1, 4)):
        (top, bottom), (left, right) = (np.sort(rng.integers(-5, side + 6, 2)).clip(0) for side in (height, width))
        hole[top:bottom, left:right] = 255
    return hole if (hole == 0).any() else np.zeros_like(hole)


@pytest.mark.parametrize("name", ["biharmonic", "diffusion"])  # what OpenCV's telea finds depends on its order
@settings(max_examples=12, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_a_mirrored_picture_has_the_mirrored_answer(name, height, width, seed):
    how, rng = fillers()[name], np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    photo, hole = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)), blobs(height, width, rng)
    found = how(photo, hole).astype(float)
    for turn in (np.flipud, np.fliplr, lambda a: a.swapaxes(0, 1)):
        turned = how(np.ascontiguousarray(turn(photo)), np.ascontiguousarray(turn(hole))).astype(float)
        assert abs(turned - turn(found)).max() < 2


@pytest.mark.parametrize("name", fillers())
@settings(max_examples=12, deadline=None)
@given(st.integers(100, 400), st.integers(100, 400), st.integers(1, 60), st.integers(8, 40), st.integers(0, 2**32 - 1))
def test_even_paper_around_a_print_stays_even(name, height, width, deep, paper, seed):
    paper += deep // 3  # of narrower paper the means that a large hole is filled from hold some of the print
    deep = min(deep, (min(height, width) - 1) // 2 - paper)
    if deep < 1:
        return
    photo, hole = np.full((height, width, 3), (230, 225, 215), np.uint8), np.full((height, width), 255, np.uint8)
    inner = np.s_[deep + paper : -deep - paper, deep + paper : -deep - paper]
    photo[inner] = noise(*photo[inner].shape[:2], seed) // 3
    hole[deep:-deep, deep:-deep] = 0
    found = fillers()[name](photo, hole).astype(float)
    assert abs(found - (230, 225, 215))[hole > 0].max() <= 2
