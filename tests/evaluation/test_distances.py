import numpy as np
import pytest
from scipy.linalg import sqrtm

from latentfill.evaluation.distances import frechet, kernel, kernel_terms


def features(n, f, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, f)) @ rng.normal(size=(f, f)) + shift


def gaussian(mean, deviation, n=50, f=6):
    """Features with exactly this mean and covariance deviation^2 * 1."""
    x = np.random.default_rng(1).normal(size=(n, f))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return mean + deviation * x


def test_frechet_of_gaussians_is_the_formula():
    assert frechet(gaussian(0, 1), gaussian(0.5, 3)) == pytest.approx(6 * 0.25 + 6 * (3 - 1) ** 2)


@pytest.mark.parametrize("n", [200, 30])
def test_frechet_is_that_of_the_root_of_the_matrix(n):
    x, y = features(200, 20, 0), features(n, 20, 1, 0.3)
    a, b = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet(x, y) == pytest.approx(expected) == frechet(y, x)


def test_frechet_needs_no_more_pictures_than_features():
    x, y = features(8, 20, 0), features(12, 20, 1)
    a, b = np.cov(x.T) + 1e-9 * np.eye(20), np.cov(y.T) + 1e-9 * np.eye(20)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet(x, y) == pytest.approx(expected, rel=1e-3)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="two pictures"):
        frechet(x[:1], y)


def test_kernel_is_the_sum_over_pairs_written_out():
    x, y = features(7, 5, 0), features(7, 5, 1)
    scale = np.sqrt((y**2).mean())

    def k(a, b):
        return (a @ b / scale**2 / 5 + 1) ** 3

    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    expected = np.mean([k(x[i], x[j]) + k(y[i], y[j]) - k(x[i], y[j]) - k(x[j], y[i]) for i, j in pairs])
    assert kernel(x, y) == pytest.approx(expected)
    assert (kernel_terms(x, x, 2.0) == 0).all()


def test_kernel_has_no_bias():
    rng = np.random.default_rng(0)
    found = [kernel(rng.normal(size=(10, 3)), rng.normal(size=(10, 3))) for _ in range(2000)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(2000)
