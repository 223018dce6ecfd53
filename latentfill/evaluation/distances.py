"""Distances between two collections of pictures, by their features, and bootstrap intervals.

The bootstrap resamples the pictures with replacement (Efron 1979).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from ..seeds import Stream, philox
from .metrics import Scores

Features = Float[ndarray, "n f"]
Pairs = Float[ndarray, "n n"]


def frechet(one: Float[ndarray, "_ f"], other: Float[ndarray, "_ f"]) -> float:
    """The squared Fréchet distance of the Gaussians with the means and covariances of two collections.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), Heusel et al. 2017. Of few pictures it comes out too large: compare
    only what was measured on the same number. The trace of the root is the sum of the singular values of A B^T, where
    C1 = A^T A and C2 = B^T B; it needs no root of a matrix that may have none.
    """
    if min(len(one), len(other)) < 2:
        raise ValueError(f"a covariance needs two pictures or more, not {len(one)} and {len(other)}")
    (mean, a), (other_mean, b) = _centred(one), _centred(other)
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(0.0, float(((mean - other_mean) ** 2).sum() + (a * a).sum() + (b * b).sum() - 2 * root))


def unit_of(real: Features) -> float:
    """The root mean square of features, in which `kernel` measures them; 1 if all are 0."""
    return float(np.sqrt((real.astype(float) ** 2).mean())) or 1.0


def kernel_terms(made: Features, real: Features, unit: float) -> Pairs:
    """The terms whose mean `kernel` is: one number for each pair of pictures, and 0 on the diagonal.

    k(x, y) = (x.y / f + 1)^3 (Binkowski et al. 2018), x and y being measured in `unit`.
    """
    x, y = made.astype(float) / unit, real.astype(float) / unit
    cross = _kernel(x, y)
    terms: Pairs = _kernel(x, x) + _kernel(y, y) - cross - cross.T
    np.fill_diagonal(terms, 0)
    return terms


def kernel(made: Features, real: Features) -> float:
    """The squared kernel distance (MMD) of completed pictures and their originals, in the same order.

    Without bias (Gretton et al. 2012, eq. 4), so that it may fall below 0; 0 if every picture equals its original.
    """
    return float(kernel_terms(made, real, unit_of(real)).sum() / (len(made) * (len(made) - 1)))


def _kernel(x: Features, y: Features) -> Pairs:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def _centred(features: Features) -> tuple[Float[ndarray, " f"], Float[ndarray, "_ f"]]:
    """The mean, and the smaller of the two matrices whose product with their transpose is the covariance."""
    x = features.astype(float)
    mean = x.mean(0)
    x = (x - mean) / np.sqrt(len(x) - 1)
    return mean, np.asarray(np.linalg.qr(x, mode="r")) if len(x) > x.shape[1] else x


Values = Float[ndarray, " r"]  # one for each bootstrap sample

LEVEL = 0.95
DRAWINGS = 2000  # for means: the ends of the interval then vary by 2 % of its width
FEW = 50  # for slow measures: enough for a standard deviation, known to 10 %
NORMAL = 1.959964  # standard deviations on either side that hold 95 %


@final
@dataclass(frozen=True, eq=False)
class Estimate:
    """A number, and its value in each bootstrap sample. Estimates of the same pictures and seed share these samples, so
    that their difference is an Estimate as well: a paired one, which is narrower, because a picture that is hard for
    one method is hard for the other.
    """

    value: float
    draws: Values
    n: int
    normal: bool = False
    """the interval is 1.96 standard deviations to either side, for few drawings and those that shift the number"""

    def __sub__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value - other.value, self.draws - other.draws, self.n, self.normal)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval: low, high. Of a single picture it has no width."""
        if self.normal:
            reach = NORMAL * float(self.draws.std())
            return self.value - reach, self.value + reach
        low, high = np.quantile(self.draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)


def mean(scores: Scores, seed: int) -> Estimate:
    """The mean of one score per picture."""
    drawn = _counts(len(scores), DRAWINGS, seed) @ scores / len(scores)
    return Estimate(float(scores.mean()), np.asarray(drawn), len(scores))


def ratio(parts: Scores, wholes: Scores, seed: int) -> Estimate:
    """The sum of one score per picture as a share of the sum of another, which is above 0."""
    value, counts = float(parts.sum() / wholes.sum()), _counts(len(parts), DRAWINGS, seed)
    below, drawn = counts @ wholes, np.full(DRAWINGS, value)
    np.divide(counts @ parts, below, out=drawn, where=below > 0)
    return Estimate(value, drawn, len(parts))


def mean_of_pairs(terms: Pairs, seed: int) -> Estimate:
    """The mean over all pairs of different pictures of a symmetric matrix whose diagonal is 0."""
    n = len(terms)
    counts = _counts(n, DRAWINGS, seed)
    drawn = np.einsum("rn,rn->r", counts @ terms, counts) / (n * (n - 1))
    return Estimate(float(terms.sum() / (n * (n - 1))), drawn, n, normal=True)


def ratio_of_pairs(parts: Pairs, wholes: Pairs, seed: int) -> Estimate:
    """The sum over all pairs of pictures, those with themselves too, as a share of another, which is above 0."""
    counts = _counts(len(parts), DRAWINGS, seed)
    sums, below = (np.einsum("rn,rn->r", counts @ terms, counts) for terms in (parts, wholes))
    return Estimate(float(parts.sum() / wholes.sum()), sums / below, len(parts))


def any_number(measure: Callable[[Int64[ndarray, " n"]], float], n: int, seed: int) -> Estimate:
    """`measure` of all pictures; it is given their numbers, in each drawing some of them several times."""
    rows = _rng(seed).integers(0, n, (FEW, n))
    return Estimate(measure(np.arange(n)), np.array([measure(row) for row in rows]), n, normal=True)


def _counts(n: int, drawings: int, seed: int) -> Float[ndarray, "_ n"]:
    return np.asarray(_rng(seed).multinomial(n, np.full(n, 1 / n), drawings), float)


def _rng(seed: int) -> np.random.Generator:
    return philox(Stream.BOOTSTRAP.key(number=seed))
