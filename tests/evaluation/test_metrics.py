import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from latentfill.evaluation.metrics import l1, psnr, ssim


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    original = rng.integers(0, 256, (3, 24, 24, 3), dtype=np.uint8)
    noise = rng.normal(0, 20, original.shape)
    return np.clip(original + noise, 0, 255).astype(np.uint8), original


def test_psnr_is_that_of_scikit_image(pair):
    completed, original = pair
    expected = [peak_signal_noise_ratio(o, c) for c, o in zip(completed, original, strict=True)]
    np.testing.assert_allclose(psnr(completed, original), expected)


def test_ssim_is_that_of_scikit_image(pair):
    completed, original = pair
    expected = [
        structural_similarity(o, c, channel_axis=-1, gaussian_weights=True, use_sample_covariance=False, full=True)[1]
        for c, o in zip(completed, original, strict=True)
    ]
    np.testing.assert_allclose(ssim(completed, original), np.stack(expected).mean((1, 2, 3)), atol=1e-6)


def test_only_the_hole_counts_when_a_hole_is_given(pair):
    completed, original = pair
    hole = np.zeros((3, 24, 24), np.uint8)
    hole[:, 4:9, 5:17] = 255
    mixed = np.where(hole[..., None] > 0, completed, original)
    cut = (slice(None), slice(4, 9), slice(5, 17))
    np.testing.assert_allclose(psnr(mixed, original, hole), psnr(completed[cut], original[cut]))
    np.testing.assert_allclose(l1(mixed, original, hole), l1(completed[cut], original[cut]))
    assert (psnr(mixed, original) > psnr(mixed, original, hole)).all()


def test_equal_pictures_have_the_best_scores(pair):
    _, original = pair
    assert np.isinf(psnr(original, original)).all()
    assert (l1(original, original) == 0).all()
    np.testing.assert_allclose(ssim(original, original), 1)
