import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import data

from latentfill.errors import ExtraError
from latentfill.faces.detector import Face
from latentfill.faces.placement import Box
from latentfill.texture import content_aware
from latentfill.texture.content_aware import Filler, fill_content_aware, is_smooth
from latentfill.texture.outside import fill


def texture(name):
    """A grey photo of grass or bricks, 0..255."""
    return np.repeat(getattr(data, name)()[:200, :240, None], 3, 2).astype(np.float32)


def sky(height=120, width=160, grain=2.0):
    y, x = np.mgrid[:height, :width]
    even = np.dstack([60 + 0.3 * x, 110 - 0.2 * y, 200 + 0.1 * x]).astype(np.float32)
    return even + np.random.default_rng(0).normal(0, grain, even.shape).astype(np.float32)


def disc(height, width, radius=28):
    y, x = np.mgrid[:height, :width]
    inside = (y - height / 2) ** 2 + (x - width / 2) ** 2 < radius**2
    return np.where(inside, np.uint8(255), np.uint8(0))


def spectrum(values):
    """Power of a square's grey levels in rings of frequencies, from 1/8 cycles per pixel on."""
    side = values.shape[0]
    window = np.outer(np.hanning(side), np.hanning(side))
    power = abs(np.fft.fft2((values[..., 0] - values[..., 0].mean()) * window)) ** 2
    ring = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    return np.array([power[(ring >= low) & (ring < low + 0.125)].mean() for low in (0.125, 0.25, 0.375)])


@pytest.fixture(params=[60_000, 700], ids=["as it is", "coarse to fine"])
def budget(request, monkeypatch):
    monkeypatch.setattr(content_aware, "LARGEST_HOLE", request.param)


@pytest.mark.parametrize("name", ["grass", "brick"])
@pytest.mark.usefixtures("budget")
def test_the_spectrum_of_what_is_filled_is_that_of_the_texture_around(name):
    photo = texture(name)
    inside = np.s_[80:120, 100:140]
    filled = fill_content_aware(photo, disc(200, 240))
    around = np.mean([spectrum(photo[y : y + 40, x : x + 40]) for y in (10, 150) for x in range(10, 200, 40)], 0)
    assert (spectrum(filled[inside]) > around / 4).all() and (spectrum(filled[inside]) < around * 4).all()
    smooth = spectrum(fill(photo, disc(200, 240))[inside])
    assert (smooth < around / 50).all(), "a smooth surface has no texture"


@pytest.mark.usefixtures("budget")
def test_a_period_goes_on_across_the_hole():
    y, x = np.mgrid[:160, :200]
    stripes = np.repeat((128 + 100 * np.sin(2 * np.pi * (x + y) / 12))[..., None], 3, 2).astype(np.float32)
    hole = disc(160, 200)
    assert abs(fill_content_aware(stripes, hole) - stripes)[hole > 0].mean() < 12
    assert abs(fill(stripes, hole) - stripes)[hole > 0].mean() > 50


@pytest.mark.usefixtures("budget")
def test_a_seed_and_nothing_else_decides():
    photo, hole = texture("grass"), disc(200, 240)
    once = fill_content_aware(photo, hole, seed=3)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda seed: fill_content_aware(photo, hole, seed=seed), (3, 4, 5, 3)))
    assert np.array_equal(once, again[0]) and np.array_equal(once, again[3])
    assert not np.array_equal(once, again[1])
    spoilt = np.where(hole[..., None] > 0, np.float32(77), photo)
    assert np.array_equal(fill_content_aware(spoilt, hole, seed=3), once), "what stands in the hole does not matter"


@pytest.mark.usefixtures("budget")
def test_nothing_is_copied_from_where_it_may_not_be():
    photo, hole = np.random.default_rng(0).uniform(90, 120, (160, 200, 3)).astype(np.float32), disc(160, 200)
    face = np.zeros_like(hole)
    face[50:110, 20:80] = 255
    photo[face > 0] = (255, 0, 0)

    def is_red(filled):
        return ((filled[..., 0] - filled[..., 1]) > 100) & (ndimage.distance_transform_edt(hole) > 4)

    assert is_red(fill_content_aware(photo, hole)).any(), "else there is nothing to see"
    assert not is_red(fill_content_aware(photo, hole, face)).any()


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_is_copied_that_is_unlike_what_is_around_the_hole(seed):
    """A wall with a black ball half in the hole, and one like it that is striped red within, beside the hole."""
    y, x = np.mgrid[:120, :180]
    photo = np.random.default_rng(0).normal(180, 3, (120, 180, 3)).astype(np.float32)
    photo[(np.hypot(y - 60, x - 45) < 30) | (np.hypot(y - 86, x - 125) < 20)] = 20
    photo[(np.hypot(y - 60, x - 45) < 24) & (x // 4 % 2 == 1)] = (255, 0, 0)
    hole = np.where(np.hypot(y - 60, x - 125) < 26, np.uint8(255), np.uint8(0))
    filled = fill_content_aware(photo, hole, seed=seed)
    assert np.ptp(filled, axis=2)[hole > 0].max() < 60, "nothing is red"


BORDERS = {
    "all borders": lambda y, x: (y < 20) | (y > 100) | (x < 20) | (x > 140),
    "larger than half": lambda y, x: x > 50,
    "a corner": lambda y, x: (y < 60) & (x < 60),
    "scattered": lambda y, x: np.random.default_rng(1).random(y.shape) < 0.8,
    "all but a pixel": lambda y, x: (y != 3) | (x != 5),
    "all": lambda y, x: y >= 0,
    "nothing": lambda y, x: y < 0,
}


@pytest.mark.parametrize("name", BORDERS)
@pytest.mark.usefixtures("budget")
def test_any_hole_is_filled_and_known_pixels_stay(name):
    photo = 90 + texture("grass")[:120, :160] / 4
    hole = np.where(BORDERS[name](*np.mgrid[:120, :160]), np.uint8(255), np.uint8(0))
    filled = fill_content_aware(photo, hole)
    assert filled.dtype == np.float32 and 0 <= filled.min() <= filled.max() <= 255
    assert np.array_equal(filled[hole == 0], photo[hole == 0])
    if name not in ("all", "nothing"):
        assert filled[hole > 0].min() > 60, "no pixel is forgotten"


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1), st.booleans())
def test_a_photo_may_be_small_and_what_may_be_copied_little(height, width, seed, share, coarse):
    rng = np.random.default_rng(seed)
    photo = rng.uniform(50, 200, (height, width, 3)).astype(np.float32)
    hole = np.zeros((height, width), np.uint8)
    hole[: int(share * height) + 1, rng.integers(width) :] = 255
    avoid = np.where(rng.random((height, width)) < rng.choice([0, 0.001, 0.5]), np.uint8(255), np.uint8(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content_aware, "LARGEST_HOLE", 20 if coarse else 60_000)
        filled = fill_content_aware(photo, hole, avoid, seed)
    assert np.array_equal(filled[hole == 0], photo[hole == 0])
    assert (filled >= 0).all() and (filled <= 255).all() and (filled.sum(-1) > 0).all()


def test_the_tone_is_that_of_the_rim():
    """Bricks in uneven light: what is copied from brighter ones is as dark as its surroundings."""
    light = np.linspace(0.4, 1, 240, dtype=np.float32)[:, None]
    photo, hole = texture("brick") * light, disc(200, 240)
    filled = fill_content_aware(photo, hole)
    across = hole[:, 1:] != hole[:, :-1]
    step = abs(np.diff(filled[..., 0], axis=1))[across].mean()
    assert step < 1.5 * abs(np.diff(photo[..., 0], axis=1))[across].mean()


def red_wall():
    """A noisy wall with a red face beside its hole."""
    photo, hole = np.random.default_rng(0).integers(90, 120, (160, 200, 3), dtype=np.uint8), disc(160, 200)
    photo[50:110, 20:80] = (255, 0, 0)
    return photo, hole


def redness(values, hole):
    inside = ndimage.distance_transform_edt(hole) > 4
    return np.ptp(values, axis=2)[inside].max()


@pytest.mark.parametrize("deep", [False, True])
def test_a_filler_copies_nothing_that_is_transparent(deep):
    photo, hole = red_wall()
    photo = photo.astype(np.uint16) * 257 if deep else photo
    box = Box(40, 60, 120, 140)
    values = np.asarray(photo[box.slices], np.float32) / (257 if deep else 1)
    transparent = hole.copy()
    transparent[50:110, 20:80] = 255
    found, scale = Filler(photo, hole)(box, values, hole[box.slices])
    assert scale == 1 and redness(found, hole[box.slices]) > 100, "else there is nothing to see"
    found, _ = Filler(photo, transparent)(box, values, transparent[box.slices])
    assert redness(found, hole[box.slices]) < 60


def face_of(left, top, right, bottom):
    """A face whose middle, from brows to lips, is the middle half of its box; without the hair around it."""
    x, y = np.meshgrid(np.linspace(0.25, 0.75, 17), np.linspace(0.25, 0.75, 3))
    middle = np.stack([left + x * (right - left), top + y * (bottom - top)], -1).reshape(-1, 2)
    chin = np.stack([np.linspace(left, right, 17), np.full(17, float(bottom))], 1)
    return Face(float(left), float(top), float(right), float(bottom), 1.0, middle[:3], np.concatenate([chin, middle]))


def test_nothing_is_copied_from_faces_but_skin_into_their_own(monkeypatch):
    avoided = []
    monkeypatch.setattr(
        content_aware, "fill_content_aware", lambda values, hole, avoid, *_, **__: avoided.append(avoid)
    )
    photo = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    face = face_of(100, 50, 200, 150)  # with its hair from 80 to 220 and from 30 to 170, its middle from 125 to 175
    for left in (240, 205, 160):  # beside it, at its edge, and into its middle
        hole = np.zeros((200, 300), np.uint8)
        hole[60:140, left : left + 30] = 255
        with pytest.raises(TypeError):  # nothing was filled
            Filler(photo, hole, (face,), how="patches")(Box(0, 0, 200, 300), photo.astype(np.float32), hole)
    beside, edge, into = (avoid > 0 for avoid in avoided)
    assert beside[30:170, 80:220].all() and beside.sum() == 140 * 140
    assert edge[75:125, 125:175].all() and not edge[:60].any() and not edge[:, 190:].any() and not edge[:, :110].any()
    assert into[75:125, 125:147].all() and not into[:, 148:].any(), "what is near the hole has to go on in it"


def test_what_is_missing_of_a_face_is_copied_from_it():
    rng = np.random.default_rng(0)
    photo = np.where(np.arange(200)[None, :, None] < 80, (200, 40, 40), (200, 160, 140)) + rng.normal(
        0, 15, (140, 200, 1)
    )
    photo = photo.clip(0, 255).astype(np.uint8)
    hole, box = np.zeros((140, 200), np.uint8), Box(30, 60, 110, 160)
    hole[40:100, 70:150] = 255
    values = np.asarray(photo[box.slices], np.float32)
    found, _ = Filler(photo, hole, (face_of(80, 0, 200, 140),), how="patches")(box, values, hole[box.slices])
    assert abs(found[15:65, 30:85].mean((0, 1)) - (200, 160, 140)).max() < 15


def test_of_16_bits_the_fill_has_all_steps():
    height, width = 90, 120
    y, x = np.mgrid[:height, :width]
    weave = 100 + 0.02 * x + 0.6 * np.sin(x / 2) * np.sin(y / 3) + np.random.default_rng(0).normal(0, 0.3, x.shape)
    photo = np.rint(np.repeat(weave[..., None], 3, 2) * 257).astype(np.uint16)
    hole = disc(height, width, 20)
    made, scale = Filler(photo, hole, how="patches")(Box(0, 0, height, width), photo / np.float32(257), hole)
    steps = np.abs(np.diff(made[..., 0], axis=1))
    inside = hole[:, 1:] & hole[:, :-1] > 0
    assert scale == 1 and abs((steps[inside] < 0.05).mean() - (steps[~inside] < 0.05).mean()) < 0.05
    assert abs(made - photo / 257)[hole > 0].mean() < 0.4, "the weave goes on"


def test_a_filler_takes_what_suits_the_rim():
    photo, hole, box = np.rint(sky()).astype(np.uint8), disc(120, 160), Box(0, 0, 120, 160)
    values = photo.astype(np.float32)
    found, scale = Filler(photo, hole)(box, values, hole)
    assert scale > 1 and np.array_equal(found, fill(values, hole))
    found, scale = Filler(photo, hole, how="patches")(box, values, hole)
    assert scale == 1 and abs(found - values)[hole > 0].mean() < 6
    assert np.array_equal(Filler(photo, hole, how="telea")(box, values, hole)[0], fill(values, hole, "telea"))


def test_sky_is_smooth_and_bricks_are_not():
    hole = disc(120, 160)
    assert is_smooth(sky(), hole) and is_smooth(sky(grain=5), hole), "grain does not count"
    crossed = sky()
    crossed[58:62] = 20
    assert not is_smooth(crossed, hole), "a wire runs through it"
    assert not is_smooth(texture("brick")[:120, :160], hole) and not is_smooth(texture("grass")[:120, :160], hole)
    far = sky()
    far[:, :30] = 20
    assert is_smooth(far, hole), "what is far does not count"
    assert is_smooth(crossed, hole, disc(120, 160, 60)), "nor what is not known"


def test_a_missing_library_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "patchmatch", None)
    with pytest.raises(ExtraError, match=r"(?s)PyPatchMatch.*pip install 'latentfill\[faces\]'.*biharmonic"):
        fill_content_aware(texture("grass"), disc(200, 240))
