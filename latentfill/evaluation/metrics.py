"""Scores of completed pictures against the originals, per picture, anywhere or in the hole alone."""

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from scipy.ndimage import gaussian_filter

from ..types import PixelBatch

PEAK = 255.0
Scores = Float[ndarray, " n"]
Where = UInt8[ndarray, "n h w"]  # 255 where pixels are measured, as in a hole


def psnr(completed: PixelBatch, original: PixelBatch, where: Where | None = None) -> Scores:
    """Peak signal-to-noise ratio in dB, the larger the better; infinite where nothing differs, NaN where nothing is."""
    error = (completed.astype(float) - original) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        score: Scores = 10 * np.log10(PEAK**2 / _mean(error, where))
    return score


def l1(completed: PixelBatch, original: PixelBatch, where: Where | None = None) -> Scores:
    """Mean absolute difference in grey levels, 0 to 255, the smaller the better."""
    return _mean(np.abs(completed.astype(float) - original), where)


def ssim(completed: PixelBatch, original: PixelBatch, where: Where | None = None) -> Scores:
    """Structural similarity (Wang et al. 2004), at most 1: Gaussian window of sigma 1.5, mean over the channels.

    The windows see the whole picture; with `where`, their scores are averaged over that region only.
    """
    x, y = completed.astype(float), original.astype(float)
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_x, mean_y = _smooth(x), _smooth(y)
    var_x, var_y = _smooth(x * x) - mean_x**2, _smooth(y * y) - mean_y**2
    covariance = _smooth(x * y) - mean_x * mean_y
    score = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return _mean(score / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)), where)


def detail(pictures: PixelBatch, holes: Where) -> Scores:
    """The energy of the finest detail in the hole: each value minus the mean of its 2 x 2 block, squared, summed.

    A share of the originals' energy says how sharp completions are: 1 is right, 0.5 is fog, 1.5 is noise. An odd side's
    last pixel is not looked at.
    """
    n, height, width = (side // 2 * 2 if i else side for i, side in enumerate(holes.shape))
    x = pictures[:, :height, :width].astype(float)
    blocks = x.reshape(n, height // 2, 2, width // 2, 2, -1)
    fine = (blocks - blocks.mean((2, 4), keepdims=True)).reshape(x.shape)
    return np.asarray(((fine**2).sum(-1) * (holes[:, :height, :width] > 0)).sum((1, 2)))


def chroma(pictures: PixelBatch, holes: Where) -> Scores:
    """The energy of the colour's gradient in the hole: neighbours' differences, each value less its pixel's mean.

    A share of the originals' energy says whether colours look natural: more than 1 is tinted blotches, less is pale.
    """
    x = pictures.astype(float)
    return _gradient_energy(x - x.mean(-1, keepdims=True), holes, np.logical_and)


def rim(pictures: PixelBatch, holes: Where) -> Scores:
    """The energy of the gradient across the hole's border: squared differences of neighbours, one in it, one outside.

    A share of the originals' energy says whether a border is seen: more than 1 is a seam, less a smear.
    """
    return _gradient_energy(pictures.astype(float), holes, np.not_equal)


def _gradient_energy(x: Float[ndarray, "n h w c"], holes: Where, counts: np.ufunc) -> Scores:
    """Squared differences of neighbours, summed where `counts` is true of which of the two lie in the hole."""
    inside = holes > 0
    down = ((x[:, 1:] - x[:, :-1]) ** 2).sum(-1) * counts(inside[:, 1:], inside[:, :-1])
    across = ((x[:, :, 1:] - x[:, :, :-1]) ** 2).sum(-1) * counts(inside[:, :, 1:], inside[:, :, :-1])
    return np.asarray(down.sum((1, 2)) + across.sum((1, 2)))


def _smooth(images: Float[ndarray, "n h w c"]) -> Float[ndarray, "n h w c"]:
    smoothed: Float[ndarray, "n h w c"] = gaussian_filter(images, (0, 1.5, 1.5, 0), truncate=3.5)
    return smoothed


def _mean(values: Float[ndarray, "n h w c"], where: Where | None) -> Scores:
    per_pixel = values.mean(-1)
    if where is None:
        return np.asarray(per_pixel.mean((1, 2)))
    counts = where.astype(bool)
    with np.errstate(invalid="ignore"):
        return np.asarray((per_pixel * counts).sum((1, 2)) / counts.sum((1, 2)))
