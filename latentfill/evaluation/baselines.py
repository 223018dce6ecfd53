"""Baselines without a latent space: a mean, another picture, four continuations of the surroundings, and a Gaussian.

Pictures are uint8 [n, h, w, 3], holes uint8 [n, h, w] with 255 where a pixel is to be found. Baselines ignore
the values in the hole, and the values that they return outside of it do not count.

The Gaussian of all values is that of probabilistic PCA (Tipping and Bishop 1999): a mean, the principal components and
equal noise. A hole is filled with its conditional mean. Of all methods that use only means and covariances it has the
least squared error, but it looks blurred: it is a floor for PSNR, not a goal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from ..errors import LatentfillError
from ..seeds import Stream, philox
from ..types import Hole, PixelBatch, Pixels
from .metrics import Where

Levels = Float32[ndarray, "n h w c"]
Train = UInt8[ndarray, "t h w c"]

RADIUS = 3  # radius in pixels that OpenCV's methods look at, as in its examples
MIDDLE = 128  # grey, used where nothing is known
TV_STEPS = 500  # for 64-pixel faces the variation is then 0.05 % above the minimum, 1 % where half of a face is missing
TV_PRIMAL = 0.04  # for levels from 0 to 1; the product of both steps may be 1/8 at most
TV_AT_ONCE = 8  # pictures of 64 x 64 that stay in the processor's cache
CHUNK = 1024  # training pictures compared at a time: 50 MB of 64 x 64


def mean_picture(train: Train) -> Pixels:
    """The mean of many pictures [n, h, w, 3], rounded."""
    total = np.zeros(train.shape[1:])
    for i in range(0, len(train), CHUNK):
        total += train[i : i + CHUNK].sum(0, dtype=float)
    return np.asarray(np.rint(total / len(train)), np.uint8)


def nearest(pictures: PixelBatch, holes: Where, train: Train) -> PixelBatch:
    """The training picture of [t, h, w, 3] whose known pixels differ least, by the sum of squares."""
    known = np.repeat(holes[..., None] == 0, pictures.shape[-1], -1).reshape(len(pictures), -1).astype(np.float32)
    shown = (pictures.reshape(len(pictures), -1).astype(np.float32) - MIDDLE) * known
    best = np.full(len(pictures), np.inf)
    which = np.zeros(len(pictures), np.int64)
    for first in range(0, len(train), CHUNK):  # |k (x - t)|^2 without the term that is the same for all t
        others = train[first : first + CHUNK].reshape(-1, known.shape[1]).astype(np.float32) - MIDDLE
        distances = known @ (others * others).T - 2 * shown @ others.T
        nearer = distances.min(1) < best
        which[nearer] = first + distances.argmin(1)[nearer]
        best = np.minimum(best, distances.min(1))
    return np.asarray(train[which])


def one_by_one(fill: Callable[[Pixels, Hole], Pixels]) -> Callable[[PixelBatch, Where], PixelBatch]:
    """A method for many pictures from a method for one. Where nothing is known it is not asked: all is grey."""

    def complete(pictures: PixelBatch, holes: Where) -> PixelBatch:
        filled = [
            np.full_like(picture, MIDDLE) if hole.all() else fill(picture, hole)
            for picture, hole in zip(pictures, holes, strict=True)
        ]
        return np.stack(filled)

    return complete


def telea(picture: Pixels, hole: Hole) -> Pixels:
    """Telea 2004: from the border inwards, each pixel the weighted mean of those around that are known by then."""
    return _opencv(picture, hole, "telea")


def navier_stokes(picture: Pixels, hole: Hole) -> Pixels:
    """Bertalmio et al. 2001: lines of equal brightness are carried on into the hole, as a fluid carries its whirls."""
    return _opencv(picture, hole, "navier-stokes")


def biharmonic(picture: Pixels, hole: Hole) -> Pixels:
    """The surface that bends least (Damelin and Hoang 2018). Raises LatentfillError without scikit-image."""
    try:
        from skimage.restoration import inpaint_biharmonic
    except ImportError as error:
        raise _needs("biharmonic", "scikit-image") from error
    surface = 255 * inpaint_biharmonic(picture / 255, hole > 0, channel_axis=-1)
    return np.asarray(np.rint(np.clip(surface, 0, 255)), np.uint8)


def total_variation(pictures: PixelBatch, holes: Where, steps: int = TV_STEPS) -> PixelBatch:
    """The picture with the least total variation that has the known pixels (Chan and Shen 2001).

    The gradient's length is taken over both directions and all colours, and summed over the pixels; the first-order
    primal-dual method of Chambolle and Pock (2011, alg. 1).
    """
    if len(pictures) > TV_AT_ONCE:
        parts = (slice(i, i + TV_AT_ONCE) for i in range(0, len(pictures), TV_AT_ONCE))
        return np.concatenate([total_variation(pictures[part], holes[part], steps) for part in parts])
    known = (holes == 0)[..., None]
    given = np.asarray(pictures, np.float32) / 255
    counts = np.maximum(known.sum((1, 2), keepdims=True), 1)
    u = np.where(known, given, (given * known).sum((1, 2), keepdims=True) / counts).astype(np.float32)
    p, leading = np.zeros((2, *u.shape), np.float32), u
    for _ in range(steps):
        p += gradient(leading) / (8 * TV_PRIMAL)
        p /= np.maximum(1, np.sqrt((p * p).sum((0, -1), keepdims=True)))
        following = np.where(known, given, u + np.float32(TV_PRIMAL) * _divergence(p))
        leading, u = 2 * following - u, following
    return np.asarray(np.rint(np.clip(u, 0, 1) * 255), np.uint8)


def gradient(u: Levels) -> Float32[ndarray, "2 n h w c"]:
    """Differences to the pixel below and to the right; 0 at the border."""
    result = np.zeros((2, *u.shape), np.float32)
    result[0, :, :-1] = u[:, 1:] - u[:, :-1]
    result[1, :, :, :-1] = u[:, :, 1:] - u[:, :, :-1]
    return result


def _divergence(p: Float32[ndarray, "2 n h w c"]) -> Levels:
    """The negative transpose of `gradient`."""
    result: Levels = p[0] + p[1]
    result[:, 1:] -= p[0, :, :-1]
    result[:, :, 1:] -= p[1, :, :, :-1]
    return result


def _opencv(picture: Pixels, hole: Hole, how: Literal["telea", "navier-stokes"]) -> UInt8[ndarray, "_ _ 3"]:
    try:
        import cv2
    except ImportError as error:
        raise _needs(how, "OpenCV") from error
    flag: Any = cv2.INPAINT_TELEA if how == "telea" else cv2.INPAINT_NS
    return np.asarray(cv2.inpaint(np.ascontiguousarray(picture), np.ascontiguousarray(hole), RADIUS, flag), np.uint8)


def _needs(how: str, library: str) -> LatentfillError:
    return LatentfillError(
        f"{how} needs {library}, which is not installed", "Install it: pip install 'latentfill[faces]'."
    )


COMPONENTS = 512
EACH = 4  # least training pictures per component: with fewer the last components are noise
NOISE = 16  # times the variance per value outside the components: the best PSNR of 1, 4, 16, 64 on 64-pixel faces
LEAST_NOISE = 1.0  # grey levels squared: pictures of whole levels are no more precise
EXTRA, ROUNDS = 32, 3  # extra directions, and multiplications by the covariance
LINEAR_CHUNK = 512  # training pictures at a time: 100 MB of 128 x 128 pixels

Values = Float32[ndarray, " d"]
Directions = Float32[ndarray, "d k"]


@final
@dataclass(frozen=True, eq=False)
class Gaussian:
    """A mean [d], components [d, k] times their standard deviations, and the noise's variance; in grey levels."""

    mean: Values
    components: Directions
    noise: float

    def complete(self, pictures: PixelBatch, holes: Where) -> PixelBatch:
        """The conditional mean in the holes; what is known stays. One k x k system for each distinct hole."""
        result = pictures.copy()
        different, which = np.unique(holes.reshape(len(holes), -1) > 0, axis=0, return_inverse=True)
        for number, hole in enumerate(different):
            rows = np.flatnonzero(which.ravel() == number)
            missing = np.repeat(hole, pictures.shape[-1])
            values = pictures[rows].reshape(len(rows), -1)
            filled = values.copy()
            filled[:, missing] = np.rint(np.clip(self._conditional_mean(values, missing), 0, 255))
            result[rows] = filled.reshape(len(rows), *pictures.shape[1:])
        return result

    def _conditional_mean(self, values: UInt8[ndarray, "n d"], missing: ndarray) -> Float32[ndarray, "n m"]:
        """The mean of the missing values. By Woodbury's identity the system has the size of the components."""
        seen = self.components[~missing]
        system = (seen.T @ seen).astype(float) + self.noise * np.eye(seen.shape[1])
        differences = values[:, ~missing] - self.mean[~missing]
        weights = np.linalg.solve(system, (differences @ seen).T.astype(float)).astype(np.float32)
        return np.asarray(self.mean[missing] + (self.components[missing] @ weights).T)


def fit(train: PixelBatch, components: int = COMPONENTS) -> Gaussian:
    """The Gaussian of training pictures, by subspace iteration (Halko et al. 2011, alg. 4.4): no matrix of d x d.

    Few pictures have fewer components.
    """
    d = int(np.prod(train.shape[1:]))
    k = max(1, min(components, len(train) // EACH, d))
    mean = sum(part.sum(0, dtype=float) for part in _chunks(train)) / len(train)
    mean = np.asarray(mean, np.float32)
    rng = philox(Stream.PCA.key())
    basis = rng.standard_normal((d, min(k + EXTRA, d)), np.float32)
    for _ in range(ROUNDS):
        basis = np.linalg.qr(_times_covariance(train, mean, basis))[0]
    projected = _times_covariance(train, mean, basis)
    variances, turned = np.linalg.eigh((basis.T @ projected).astype(float))
    variances, turned = np.maximum(variances[::-1][:k], 0), turned[:, ::-1][:, :k]
    total = sum(float(np.square(part - mean).sum(dtype=float)) for part in _chunks(train)) / len(train)
    left_out = max(0.0, total - float(variances.sum())) / d
    return Gaussian(mean, basis @ (turned * np.sqrt(variances)).astype(np.float32), max(LEAST_NOISE, NOISE * left_out))


def _times_covariance(train: PixelBatch, mean: Values, directions: Directions) -> Directions:
    product = np.zeros_like(directions)
    for part in _chunks(train):
        centred = part - mean
        product += centred.T @ (centred @ directions)
    return product / np.float32(len(train))


def _chunks(train: PixelBatch) -> list[UInt8[ndarray, "_ d"]]:
    flat = train.reshape(len(train), -1)
    return [flat[i : i + LINEAR_CHUNK] for i in range(0, len(flat), LINEAR_CHUNK)]
