"""How far apart two collections of pictures are, by their features."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

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
    """What `kernel` is the mean of: for each pair of pictures, one number, and 0 on the diagonal.

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
