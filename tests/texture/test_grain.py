import numpy as np
import pytest
from scipy import ndimage

from latentfill.texture.grain import grain


def rng(seed=0):
    return np.random.Generator(np.random.Philox(key=seed))


def slope(h=300, w=320):
    """A smooth picture, without grain."""
    y, x = np.mgrid[:h, :w]
    return np.stack([60 + x / 4, 80 + y / 3, 200 - x / 5], -1)


def hole(h=300, w=320):
    y, x = np.mgrid[:h, :w]
    return ((y - h / 2) / (h / 3)) ** 2 + ((x - w / 2) / (w / 3)) ** 2 < 1


def rounded(values):
    return np.round(values.clip(0, 255)).astype(np.float32)


def noise(kind, seed=0, h=300, w=320):
    white = rng(seed).standard_normal((h, w, 3))
    return {
        "white": 6 * white,
        "grey": 8 * white[..., :1].repeat(3, 2),
        "soft": 20 * ndimage.gaussian_filter(white, (0.8, 0.8, 0)),
        "bluish": white * (3, 3, 9),
    }[kind]


def together(values, shift):
    """The correlation of pixels with those on their right."""
    return np.mean(values[:, shift:] * values[:, : values.shape[1] - shift]) / np.mean(values**2)


@pytest.mark.parametrize("kind", ["white", "grey", "soft", "bluish"])
def test_it_is_as_strong_and_as_correlated_as_in_the_photo(kind):
    true = noise(kind)
    base = slope()[..., :1] if kind == "grey" else slope()
    made = grain(rounded(base + true), ~hole(), 16.0, 1)
    assert abs(made[hole()].mean()) < 0.3
    assert np.std(made[hole()].mean(-1)) == pytest.approx(np.std(true.mean(-1)), rel=0.2)
    grey, real = made.mean(-1)[100:200, 100:220], true.mean(-1)
    for shift in (1, 2, 3):
        assert together(grey, shift) == pytest.approx(together(real, shift), abs=0.12)
    if kind == "grey":
        assert np.ptp(made, -1).max() < 1e-3
    if kind == "bluish":
        red, green, blue = np.std(made[hole()], 0)
        assert red == pytest.approx(green, rel=0.3) and blue > 1.5 * red


def test_pictures_without_grain_get_none():
    y, x = np.mgrid[:300, :320]
    drawing = np.where(((x // 40 + y // 50) % 2 == 0)[..., None], [250.0, 240, 20], [10, 60, 200])
    for picture in (drawing, slope(), np.full((300, 320, 3), 255.0), np.zeros((300, 320, 3))):
        assert not grain(rounded(picture), ~hole(), 16.0, 0).any()


def test_edges_do_not_count():
    bars = 100.0 * (np.arange(320) % 48 < 2)[None, :, None]
    plain, barred = (grain(rounded(slope() / 2 + more + noise("white")), ~hole(), 16.0, 0) for more in (0, bars))
    assert np.std(barred[hole()]) == pytest.approx(np.std(plain[hole()]), rel=0.35)


def test_it_follows_what_is_around():
    strength = np.linspace(0.4, 1.6, 320)[None, :, None]
    made = grain(rounded(slope() + strength * noise("white")), ~hole(), 16.0, 0)
    left, right = np.std(made[140:160, 60:90]), np.std(made[140:160, 230:260])
    assert left < 0.65 * right and left == pytest.approx(6 * 0.68, rel=0.3)


def test_hair_is_not_continued_as_grain():
    values = slope() + noise("white")
    values[:, :70] += 60 * rng(5).standard_normal((300, 70, 1))
    made = grain(rounded(values), ~hole(), 16.0, 0)
    assert np.std(made[140:160, 60:80]) < 2.5 * 6


def test_only_frequencies_that_the_content_lacks_are_added():
    values = rounded(slope() + noise("white"))
    power = [np.abs(np.fft.rfft2(grain(values, ~hole(), s, 0)[100:200, 100:200, 1])) ** 2 for s in (16.0, 2.0)]
    assert power[1][1:12, 1:12].mean() < 0.05 * power[0][1:12, 1:12].mean()
    assert power[1][40:50, 40:].mean() == pytest.approx(power[0][40:50, 40:].mean(), rel=0.3)


def test_the_hole_is_not_looked_at():
    values = rounded(slope() + noise("white"))
    other = np.where(hole()[..., None], rounded(255 * rng(3).random((300, 320, 3))), values)
    assert np.array_equal(grain(values, ~hole(), 16.0, 0), grain(other, ~hole(), 16.0, 0))


def test_it_is_drawn_from_its_seed_alone():
    values = rounded(slope() + noise("white"))
    before = np.random.get_state()[1].tolist()
    first, again, other = (grain(values, ~hole(), 16.0, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (17, 17), (31, 100)])
def test_little_is_known_and_little_is_said(shape):
    values = rounded(128 + 5 * rng().standard_normal((*shape, 3)))
    for known in (np.zeros(shape, bool), np.ones(shape, bool), np.arange(shape[1])[None] % 7 + np.zeros(shape) < 5):
        made = grain(values, known, 16.0, 0)
        assert made.shape == values.shape and np.abs(made).max() < 40
