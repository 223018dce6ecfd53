import numpy as np
import pytest

from latentfill.evaluation import baselines as linear
from latentfill.evaluation.baselines import Gaussian, fit, mean_picture
from latentfill.evaluation.metrics import psnr
from latentfill.images.holes import draw, parse


def discs(n, seed, size=16):
    """Drawn shapes: an ellipse of one colour on a slope of another."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    pictures = np.empty((n, size, size, 3), np.uint8)
    for picture in pictures:
        back, front, slope = rng.uniform(20, 200, (3, 3))
        centre, radii = rng.uniform(0.3, 0.7, 2), rng.uniform(0.15, 0.4, 2)
        inside = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1
        picture[:] = np.clip(np.where(inside[..., None], front, back + slope * (y - 0.5)[..., None]), 0, 255)
    return pictures


def some_holes(kind, n, size=16):
    return np.stack([draw(parse(kind), (size, size), seed=i).hole for i in range(n)])


@pytest.mark.parametrize("kind", ["center", "half", "random:0.8", "mouth"])
def test_the_conditional_mean_beats_the_mean_and_leaves_what_is_known(kind):
    train, unseen = discs(400, 0), discs(24, 1)
    holes = some_holes(kind, 24)
    shown = np.where(holes[..., None] > 0, np.uint8(128), unseen)
    made = fit(train).complete(shown, holes)
    assert (made[holes == 0] == unseen[holes == 0]).all() and made.dtype == np.uint8
    mean = np.broadcast_to(mean_picture(train), made.shape)
    assert psnr(made, unseen, holes).mean() > psnr(mean, unseen, holes).mean() + 2


def test_it_is_the_gaussian_conditional_with_the_whole_covariance():
    rng = np.random.default_rng(0)
    picture, hole = rng.integers(90, 160, (1, 4, 4, 3), dtype=np.uint8), np.zeros((1, 4, 4), np.uint8)
    hole[:, 1:3, 1:3] = 255
    gaussian = Gaussian(np.full(48, 120, np.float32), rng.normal(0, 9, (48, 6)).astype(np.float32), 25.0)
    covariance = gaussian.components @ gaussian.components.T + 25 * np.eye(48)
    missing = np.repeat(hole.ravel() > 0, 3)
    inverse = np.linalg.inv(covariance[np.ix_(~missing, ~missing)])
    wanted = 120 + covariance[np.ix_(missing, ~missing)] @ inverse @ (picture.ravel()[~missing] - 120.0)
    assert np.array_equal(gaussian.complete(picture, hole).ravel()[missing], np.rint(np.clip(wanted, 0, 255)))


def test_the_components_are_the_principal_ones(monkeypatch):
    monkeypatch.setattr(linear, "CHUNK", 37)
    train = discs(200, 2, 8)
    flat = train.reshape(200, -1).astype(float)
    variances = np.linalg.eigvalsh(np.cov(flat.T, bias=True))[::-1]
    found = fit(train, 10)
    np.testing.assert_allclose(found.mean, flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose((found.components.astype(float) ** 2).sum(0), variances[:10], rtol=1e-2)
    assert found.noise == pytest.approx(16 * variances[10:].sum() / 192, rel=1e-2)


def test_few_pictures_have_few_components_and_nothing_known_is_the_mean():
    found = fit(discs(9, 0))
    assert found.components.shape == (768, 2) and found.noise >= linear.LEAST_NOISE
    made = found.complete(discs(2, 1), np.full((2, 16, 16), 255, np.uint8))
    assert np.array_equal(made[0], np.rint(np.clip(found.mean, 0, 255)).reshape(16, 16, 3))
    assert fit(discs(1, 0)).components.shape == (768, 1), "and one picture has none that vary"
