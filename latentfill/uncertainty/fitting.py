"""Fit a calibration to completions with known originals, and measure it on unseen pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import final

import torch
from jaxtyping import Float, Int
from scipy.stats import spearmanr
from torch import Tensor

from ..errors import DataError
from ..images.pixels import GREY_LEVEL
from ..options import CompleteOptions
from ..seeds import philox
from ..types import Images, Known
from .calibration import BAND, INSIDE, Calibration, Measured, RidgeRegression, Values, fit_ridge, quantile
from .features import LEAST, Features

PARTS = 5  # parts that the pictures are divided into, each predicted from the others
PIXELS = 100  # pixels of each hole: enough for the size of its errors to 5 %, and neighbours are alike anyway
FEWEST = 300  # least completions: 20 weights need about a dozen each
LEVELS = (0.0, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
CONTEXT = ("depth", "share")  # properties of a hole that determine how far a feature varies
Numbers = Int[Tensor, " _"]


@final
@dataclass(frozen=True, eq=False)
class Evidence:
    """Completions and how wrong they were.

    Of each: its features, the `error` of its hole (root mean square in grey levels), and the number of its picture. Of
    some missing pixels of each: the features there, the row of their completion, and how wrong each channel was.
    """

    numbers: Mapping[str, Values]
    error: Values
    picture: Numbers
    pixels: Mapping[str, Values]
    row: Numbers
    missed: Float[Tensor, "_ _"]

    def select(self, rows: Tensor) -> "Evidence":
        """Some of the completions, by number, in that order."""
        place = torch.full((len(self.error),), -1)
        place[rows] = torch.arange(len(rows))
        kept = place[self.row] >= 0
        return Evidence(
            {name: values[rows] for name, values in self.numbers.items()},
            self.error[rows],
            self.picture[rows],
            {name: values[kept] for name, values in self.pixels.items()},
            place[self.row[kept]],
            self.missed[kept],
        )


def measure_errors(features: Features, completed: Images, original: Images, picture: Sequence[int]) -> Evidence:
    """Compare completed images with their originals in their holes.

    `picture` numbers the original, which several may share.
    """
    wrong = (completed - original).abs() / GREY_LEVEL
    values_missing = features.hole.sum((1, 2, 3)) * original.shape[1]
    error = ((wrong.square() * features.hole).sum((1, 2, 3)) / values_missing).sqrt()
    row, places = _sample_pixels(1 - features.hole.cpu(), picture)
    at = {name: values.cpu().flatten(1)[row, places] for name, values in features.maps.items()}
    numbers = {name: values.cpu() for name, values in features.numbers.items()}
    return Evidence(numbers, error.cpu(), torch.tensor(picture), at, row, wrong.cpu().flatten(2)[row, :, places])


def join_evidence(parts: Sequence[Evidence]) -> Evidence:
    """Join the evidence of several batches, without completions that lack a feature (as where nothing was known)."""
    first = [0]
    for part in parts:
        first.append(first[-1] + len(part.error))
    whole = Evidence(
        {name: torch.cat([part.numbers[name] for part in parts]) for name in parts[0].numbers},
        torch.cat([part.error for part in parts]),
        torch.cat([part.picture for part in parts]),
        {name: torch.cat([part.pixels[name] for part in parts]) for name in parts[0].pixels},
        torch.cat([part.row + before for part, before in zip(parts, first, strict=False)]),
        torch.cat([part.missed for part in parts]),
    )
    finite = torch.stack([*whole.numbers.values(), whole.error]).isfinite().all(0)
    return whole.select(finite.nonzero()[:, 0])


def calibrate(evidence: Evidence, options: CompleteOptions) -> Calibration:
    """Fit all that a calibration says. Raises DataError for too few completions."""
    e = evidence
    pictures = len(set(e.picture.tolist()))
    if len(e.error) < FEWEST or pictures < PARTS:
        raise DataError(
            f"{len(e.error)} completions of {pictures} pictures are too few to calibrate by",
            f"Give at least {FEWEST} of {PARTS} pictures.",
        )
    logarithm = e.error.clamp_min(LEAST).log().double()
    names = tuple(e.numbers)
    predicted = _cross_validate(e, names, logarithm)
    off = logarithm - predicted
    unsure = _fit_scale(e, off)
    between = off / unsure(e.numbers).exp()
    ends = ((1 - INSIDE) / 2, (1 + INSIDE) / 2)
    at = {**e.pixels, "predicted": predicted[e.row]}
    pixel = fit_ridge(at, ("predicted", *e.pixels), (e.missed.square().mean(1).sqrt() + LEAST).log())
    relative = e.missed / pixel(at).exp()[:, None]
    usual = fit_ridge(e.numbers, CONTEXT, e.numbers["agreement"], products=True)
    odd = e.numbers["agreement"] - usual(e.numbers)
    varies = _fit_scale(e, odd)
    standard = odd / varies(e.numbers).exp()
    return Calibration(
        options=options,
        error=fit_ridge(e.numbers, names, logarithm, products=True),
        unsure=unsure,
        between=(quantile(between, ends[0]), quantile(between, ends[1])),
        pixel=pixel,
        factor=quantile(_thin(relative.flatten()), BAND),
        usual=usual,
        varies=varies,
        ladder=tuple((level, quantile(standard, level)) for level in LEVELS),
        measured=Measured(
            str(date.today()),
            pictures,
            len(e.error),
            round(rank_correlation(predicted, e.error), 3),
            round(off.abs().median().exp().item(), 3),
        ),
    )


def rank_correlation(predicted: Tensor, true: Tensor) -> float:
    """Spearman's rank correlation."""
    return float(spearmanr(predicted.numpy(), true.numpy()).statistic)


def _cross_validate(e: Evidence, names: Sequence[str], logarithm: Tensor) -> Tensor:
    """Predict the logarithm of each error from the other parts of the pictures alone."""
    predicted = torch.zeros_like(logarithm)
    for part in range(PARTS):
        own = e.picture % PARTS == part
        regression = fit_ridge(
            {name: values[~own] for name, values in e.numbers.items()}, names, logarithm[~own], products=True
        )
        predicted[own] = regression({name: values[own].double() for name, values in e.numbers.items()})
    return predicted


def _fit_scale(e: Evidence, off: Tensor) -> RidgeRegression:
    """Fit the logarithm of how far off something tends to be, by the hole: its mean is that of the logarithms."""
    return fit_ridge(e.numbers, CONTEXT, (off.abs() + 0.05 * off.abs().mean()).log())


def _sample_pixels(known: Known, picture: Sequence[int]) -> tuple[Numbers, Numbers]:
    """Sample missing pixels of each image by its picture's number: their rows and places."""
    rows, places = [], []
    for i, one in enumerate(known.flatten(1)):
        missing = (one == 0).nonzero()[:, 0]
        order = torch.from_numpy(philox(picture[i]).permutation(len(missing))[:PIXELS])
        rows.append(torch.full_like(order, i))
        places.append(missing[order])
    return torch.cat(rows), torch.cat(places)


def _thin(values: Tensor) -> Tensor:
    """Keep at most 16 million, evenly spaced: torch.quantile takes no more."""
    return values[:: 1 + len(values) // 2**24]
