"""How sure a mean is: the pictures are drawn anew, with replacement (Efron 1979)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from .distances import Pairs
from .metrics import Scores

Values = Float[ndarray, " r"]  # one for each drawing

LEVEL = 0.95
DRAWINGS = 2000  # for means: the ends of the interval then vary by 2 % of its width
FEW = 50  # for what takes long: enough for a standard deviation, known to 10 %
NORMAL = 1.959964  # standard deviations on either side that hold 95 %
STREAM = 0x626F6F74 << 64  # "boot": keeps these draws apart from others with the same seed


@final
@dataclass(frozen=True, eq=False)
class Estimate:
    """A number, and what it came to in each drawing.

    Estimates of the same pictures and seed share their drawings, so that their difference is an Estimate as well: a
    paired one, which is narrower, because a picture that is hard for one method is hard for the other.
    """

    value: float
    drawn: Values
    n: int
    normal: bool = False
    """the interval is 1.96 standard deviations to either side, for few drawings and those that shift the number"""

    def __sub__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value - other.value, self.drawn - other.drawn, self.n, self.normal)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval: low, high. Of a single picture it has no width."""
        if self.normal:
            reach = NORMAL * float(self.drawn.std())
            return self.value - reach, self.value + reach
        low, high = np.quantile(self.drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
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
    """What `measure` makes of all pictures; it is given their numbers, in each drawing some of them several times."""
    rows = _rng(seed).integers(0, n, (FEW, n))
    return Estimate(measure(np.arange(n)), np.array([measure(row) for row in rows]), n, normal=True)


def _counts(n: int, drawings: int, seed: int) -> Float[ndarray, "_ n"]:
    return np.asarray(_rng(seed).multinomial(n, np.full(n, 1 / n), drawings), float)


def _rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=STREAM + seed))
