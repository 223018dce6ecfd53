"""Complete pictures with a Gaussian of all their values: the mean of what may be in a hole, given the known pixels.

The Gaussian is that of factor analysis with equal noise (Tipping and Bishop 1999): a mean, the principal components
and noise. Of all methods that know only means and covariances it has the least squared error, and it looks like fog:
a floor for PSNR, not a goal. Pictures are uint8 [n, h, w, 3], holes uint8 [n, h, w] with 255 where to complete.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from ..types import PixelBatch
from .metrics import Where

COMPONENTS = 512
EACH = 4  # training pictures for one component at least: of fewer the last ones are noise
NOISE = (
    16  # times the variance per value that the components leave out: the best PSNR of 1, 4, 16, 64 on 64-pixel faces
)
LEAST_NOISE = 1.0  # grey levels squared: pictures of whole levels tell no more
EXTRA, ROUNDS = 32, 3  # directions beside the components, and multiplications by the covariance
CHUNK = 512  # training pictures at a time: 100 MB of 128 x 128 pixels

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
            filled[:, missing] = np.rint(np.clip(self._expected(values, missing), 0, 255))
            result[rows] = filled.reshape(len(rows), *pictures.shape[1:])
        return result

    def _expected(self, values: UInt8[ndarray, "n d"], missing: ndarray) -> Float32[ndarray, "n m"]:
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
    rng = np.random.Generator(np.random.Philox(key=0))
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
    return [flat[i : i + CHUNK] for i in range(0, len(flat), CHUNK)]
