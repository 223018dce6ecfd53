"""A linear function of named numbers, fitted by least squares, that does not run away where it has seen nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

Values = Float[Tensor, " _"]
RIDGE = 1e-3  # of a number's variance, per row: keeps clues that tell nearly the same from working against each other
BEYOND = 0.25  # of the range seen in fitting: so much further than that range a number is believed


@final
@dataclass(frozen=True)
class Line:
    """weights . (1, x1, x2, ..., x1 x1, x1 x2, ...), with each x in its own standard deviations from its mean.

    Without `products` only (1, x1, x2, ...). Numbers further out than `low` and `high` count as these.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    weights: tuple[float, ...]
    products: bool = False

    def __call__(self, numbers: Mapping[str, Tensor]) -> Tensor:
        """The value for numbers of any shape, all of one. Raises KeyError for want of a number."""
        bounds = zip(self.names, self.low, self.high, self.mean, self.deviation, strict=True)
        xs = [(numbers[name].clamp(low, high) - mean) / deviation for name, low, high, mean, deviation in bounds]
        terms = _terms(xs, self.products)
        value = torch.full_like(xs[0], self.weights[0])
        for weight, term in zip(self.weights[1:], terms, strict=True):
            value = value + weight * term
        return value


def fit(numbers: Mapping[str, Values], names: Sequence[str], wanted: Values, *, products: bool = False) -> Line:
    """The line through `wanted` with the least squares. Raises ValueError for fewer rows than weights."""
    columns = [numbers[name].double() for name in names]
    mean = [column.mean() for column in columns]
    deviation = [column.std().clamp_min(1e-6) for column in columns]
    xs = [(column - m) / d for column, m, d in zip(columns, mean, deviation, strict=True)]
    matrix = torch.stack([torch.ones_like(wanted.double()), *_terms(xs, products)], 1)
    rows, weights = matrix.shape
    if rows <= weights:
        raise ValueError(f"{weights} weights cannot be fitted to {rows} rows")
    ridge = RIDGE * rows * torch.eye(weights, dtype=torch.double)
    ridge[0, 0] = 0
    solved = torch.linalg.solve(matrix.T @ matrix + ridge, matrix.T @ wanted.double())
    span = [BEYOND * (column.max() - column.min()) for column in columns]
    return Line(
        tuple(names),
        _rounded(mean),
        _rounded(deviation),
        _rounded([column.min() - s for column, s in zip(columns, span, strict=True)]),
        _rounded([column.max() + s for column, s in zip(columns, span, strict=True)]),
        _rounded(solved),
        products,
    )


def _terms(xs: Sequence[Tensor], products: bool) -> list[Tensor]:
    return [*xs, *(xs[0] * x for x in xs)] if products else list(xs)


def _rounded(values: Sequence[Tensor] | Tensor) -> tuple[float, ...]:
    """As a file holds them."""
    return tuple(float(f"{float(value):.6g}") for value in values)
