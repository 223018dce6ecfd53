import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from latentfill.evaluation.metrics import chroma, detail, l1, psnr, rim, ssim


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


def test_detail_is_what_a_mean_of_four_pixels_loses():
    fine = np.zeros((1, 4, 5, 3), np.uint8)
    fine[:, ::2, ::2] = 4  # of each block one pixel: 3 and three times -1, so 12 for each of three colours
    hole = np.full((1, 4, 5), 255, np.uint8)
    assert detail(fine, hole).tolist() == [4 * 36]
    hole[:, :, 2:] = 0
    assert detail(fine, hole).tolist() == [2 * 36], "in the hole alone"
    assert detail(fine * 0 + 7, hole).tolist() == [0]


def test_chroma_is_how_colours_differ_in_the_hole_whatever_the_lightness():
    hole = np.zeros((1, 6, 6), np.uint8)
    hole[:, 2:4, 1:3] = 255
    tinted = np.full((1, 6, 6, 3), 100, np.uint8)
    tinted[:, 2, 1, 0] = 160  # 40, -20 and -20 from its mean, beside two neighbours in the hole
    tinted[:, 0, 0, 1] = 250  # outside
    assert chroma(tinted, hole).tolist() == [2 * (40**2 + 2 * 20**2)]
    lighter = np.full((1, 6, 6, 3), 100, np.uint8)
    lighter[:, 2, 1] = 160
    assert chroma(lighter, hole).tolist() == [0]


def test_rim_is_what_differs_across_the_border_of_the_hole_alone():
    hole = np.zeros((1, 6, 6), np.uint8)
    hole[:, 2:4, 1:3] = 255
    steep = np.where(hole[..., None] > 0, np.uint8(30), np.uint8(10)).repeat(3, -1)
    assert rim(steep, hole).tolist() == [8 * 3 * 400]
    steep[:, 2, 1] = 10  # at a corner of the hole two of the eight differences are gone
    steep[:, 5, 5] = 200  # far away
    assert rim(steep, hole).tolist() == [6 * 3 * 400]


def test_blur_has_less_detail_than_the_original_and_a_patch_more_rim(pair):
    _, original = pair
    hole = np.zeros((3, 24, 24), np.uint8)
    hole[:, 4:20, 6:18] = 255
    original = uniform_filter(original, (0, 3, 3, 0))
    blurred = np.where(hole[..., None] > 0, uniform_filter(original, (0, 5, 5, 0)), original)
    patch = np.where(hole[..., None] > 0, original // 4, original)
    assert (detail(blurred, hole) < 0.4 * detail(original, hole)).all()
    assert (rim(blurred, hole) < rim(original, hole)).all()
    assert (rim(patch, hole) > 2 * rim(original, hole)).all()
