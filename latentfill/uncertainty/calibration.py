"""A model's calibration: its errors as functions of features, measured on pictures with known originals.

The functions are ridge regressions that do not extrapolate far beyond the data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from pydantic import ValidationError
from torch import Tensor

from ..errors import ModelError
from ..gan.gan import Gan
from ..options import CompleteOptions
from ..options.validation import adapter_of
from ..types import PerImage
from .features import Features, Map

Values = Float[Tensor, " _"]
RIDGE = 1e-3  # share of a feature's variance, per row: keeps nearly equal features from cancelling each other
BEYOND = 0.25  # share of the fitted range by which a feature may exceed that range; beyond it is clipped


@final
@dataclass(frozen=True)
class RidgeRegression:
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


def fit_ridge(
    numbers: Mapping[str, Values], names: Sequence[str], target: Values, *, products: bool = False
) -> RidgeRegression:
    """Fit `target` by least squares with a ridge. Raises ValueError for fewer rows than weights."""
    columns = [numbers[name].double() for name in names]
    mean = [column.mean() for column in columns]
    deviation = [column.std().clamp_min(1e-6) for column in columns]
    xs = [(column - m) / d for column, m, d in zip(columns, mean, deviation, strict=True)]
    matrix = torch.stack([torch.ones_like(target.double()), *_terms(xs, products)], 1)
    rows, weights = matrix.shape
    if rows <= weights:
        raise ValueError(f"{weights} weights cannot be fitted to {rows} rows")
    ridge = RIDGE * rows * torch.eye(weights, dtype=torch.double)
    ridge[0, 0] = 0
    solved = torch.linalg.solve(matrix.T @ matrix + ridge, matrix.T @ target.double())
    span = [BEYOND * (column.max() - column.min()) for column in columns]
    return RidgeRegression(
        tuple(names),
        _round(mean),
        _round(deviation),
        _round([column.min() - s for column, s in zip(columns, span, strict=True)]),
        _round([column.max() + s for column, s in zip(columns, span, strict=True)]),
        _round(solved),
        products,
    )


def _terms(xs: Sequence[Tensor], products: bool) -> list[Tensor]:
    return [*xs, *(xs[0] * x for x in xs)] if products else list(xs)


def _round(values: Sequence[Tensor] | Tensor) -> tuple[float, ...]:
    """Round as a file holds them."""
    return tuple(float(f"{float(value):.6g}") for value in values)


KEY = "trust"  # the key of the calibrations in a model's file
FREE = {"seed", "candidates", "precision"}  # options that hardly affect the errors
INSIDE = 0.8  # share of the errors that lie between `low` and `high`
BAND = 0.9  # share of the hidden values that the band holds


@final
@dataclass(frozen=True)
class Measured:
    """The making of a calibration, and its quality on pictures that were left out for the purpose.

    `rank_correlation` is Spearman's, of predicted and true errors; `off_by` the factor between them in the middle case.
    """

    date: str
    pictures: int
    completions: int
    rank_correlation: float
    off_by: float


@final
@dataclass(frozen=True)
class Calibration:
    """The errors of completions with `options`, as functions of features. Logarithms of grey levels throughout.

    `error` is the expected error of the hole, `unsure` how far off that tends to be, and `between` the quantiles of it
    in those units. `pixel` is the usual error of a pixel, given also the `predicted` one of its hole, and `factor` of
    it makes a band. `usual` is the agreement to expect, `varies` how far it varies, and `ladder` pairs of a share of
    the pictures and the agreement, in those units, below which so many are. `measured` says how it was made and how
    well it does.
    """

    options: CompleteOptions
    error: RidgeRegression
    unsure: RidgeRegression
    between: tuple[float, float]
    pixel: RidgeRegression
    factor: float
    usual: RidgeRegression
    varies: RidgeRegression
    ladder: tuple[tuple[float, float], ...]
    measured: Measured

    def predict(self, features: Features) -> tuple[PerImage, PerImage, PerImage]:
        """The error of each hole, a root mean square in grey levels, and the interval that holds it in 80 % of the
        cases.

        0 where nothing is missing, NaN where nothing is known.
        """
        error, unsure = self.error(features.numbers), self.unsure(features.numbers).exp()
        missing = features.numbers["share"] > 0
        made = (error, error + self.between[0] * unsure, error + self.between[1] * unsure)
        best, low, high = (torch.where(missing, one.exp(), 0) for one in made)
        return best, low, high

    def band(self, features: Features) -> Map:
        """The error that each missing pixel's values keep below in 90 % of the cases, in grey levels."""
        predicted = self.error(features.numbers)[:, None, None, None]
        maps = {**features.maps, "predicted": predicted.expand_as(features.maps["depth"])}
        return torch.where(features.hole == 1, self.factor * self.pixel(maps).exp(), 0)

    def rarity(self, features: Features) -> PerImage:
        """The share of the calibration's pictures whose agreement is as bad, 0 to 1. NaN where nothing is known, or
        nothing that can be compared.
        """
        numbers = features.numbers if features.seen is None else features.seen
        odd = (numbers["agreement"] - self.usual(numbers)) / self.varies(numbers).exp()
        shares, values = torch.tensor(self.ladder).to(odd).T.contiguous()
        above = torch.searchsorted(values, odd.nan_to_num()).clamp(1, len(values) - 1)
        (a, b), (x, y) = ((side[above - 1], side[above]) for side in (shares, values))
        share = a + (b - a) * ((odd - x) / (y - x).clamp_min(1e-9)).clamp(0, 1)
        lowest = torch.where(odd < values[0], 0.0, share)
        return torch.where(odd.isnan(), odd, lowest)

    def fits(self, options: CompleteOptions) -> bool:
        """Say whether it was measured with these options, but for those that hardly matter."""
        mine, theirs = asdict(self.options), asdict(options)
        return all(theirs[name] == value for name, value in mine.items() if name not in FREE)


def read_calibrations(gan: Gan) -> dict[str, Calibration]:
    """The calibrations of a model, by the names of their presets. Raises ModelError for what cannot be understood."""
    kept = gan.about.get(KEY, {})
    try:
        return adapter_of(dict[str, Calibration]).validate_python(kept)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelError(
            f"the model's calibration cannot be understood ({where}: {first['msg']})",
            "Update latentfill, or make it anew with `latentfill calibrate`.",
        ) from error


def write_calibrations(gan: Gan, calibrations: Mapping[str, Calibration]) -> dict[str, Any]:
    """The `about` of a model with these calibrations, instead of those it had."""
    return {**gan.about, KEY: {name: asdict(one) for name, one in calibrations.items()}}


def choose_calibration(
    found: Mapping[str, Calibration], options: CompleteOptions, features: Features
) -> tuple[str, bool] | None:
    """The name of the calibration for these options, and whether it was measured with them; None if none is near.

    Near are those of which all features are at hand and that search alike: from such a start, by descent or by the same
    sampling. The nearest is one that tunes as well, or does not either.
    """
    have = features.numbers.keys()
    usable = {
        name: one
        for name, one in found.items()
        if have >= set(one.error.names)
        and _maps(one) <= features.maps.keys()
        and _search(one.options) == _search(options)
    }
    for name, one in usable.items():
        if one.fits(options):
            return name, True
    tuned = bool(options.tune_steps)
    nearest = sorted(usable, key=lambda name: bool(usable[name].options.tune_steps) != tuned)
    return (nearest[0], False) if nearest else None


def _search(options: CompleteOptions) -> tuple[str, bool]:
    """The kind of a search: samples are off by more than the best that a descent finds."""
    kind = "descent" if options.method in ("adam", "nesterov") else options.method
    return kind, options.start != "random"


def _maps(one: Calibration) -> set[str]:
    return set(one.pixel.names) - {"predicted"}


def quantile(values: Tensor, share: float) -> float:
    """A quantile of any number of values, rounded as a file holds it."""
    return float(f"{torch.quantile(values.double(), share).item():.6g}")
