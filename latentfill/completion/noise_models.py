"""Noise models: how the values of a picture are measured: exactly, with noise, in bins, or as in a JPEG file.

JPEG stores the cosine transform of 8x8 blocks. In the same transform, Wiener's filter recovers what exceeds the noise.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, sqrt
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..images.pixels import GREY_LEVEL

Values = Float[Tensor, "n c h w"]  # in [-1, 1]: an image, or linear measurements of one
Given = Float[Tensor, "n 1 h w"]

SIDE = 8  # side of a block, in pixels
STRIDE = 2  # pixels between one filtered tiling and the next; 1 takes four times as long and gains 0.03 dB
STRENGTHS = 0.1, 10.0  # bounds of a block's strength relative to the average, because it is measured in noise
# JFIF: luma (Rec. 601) and the two colour differences, computed from red, green and blue
YCBCR = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))


ROUNDS = 20  # between JPEG's bins and the range of pixels; values then miss their bins by hundredths of a level at most
UNIFORM = sqrt(1 / 12)  # standard deviation in a bin of width 1

# ITU T.81, tables K.1 and K.2: how coarse each coefficient of luma and of colour is at quality 50
LUMA_TABLE = """
16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""
COLOUR_TABLE = """
17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99"""


def to_dct(values: Values) -> Values:
    """The orthonormal cosine transform (JPEG's) of the blocks of Y, Cb and Cr; a single channel is Y.

    Each block's coefficients lie where its pixels did. 8 must divide the sides.
    """
    if values.shape[1] == 3:
        values = torch.einsum("kc,nchw->nkhw", torch.tensor(YCBCR).to(values), values)
    return _by_blocks(values, _cosines().to(values))


def from_dct(transformed: Values) -> Values:
    """Invert `to_dct`."""
    values = _by_blocks(transformed, _cosines().T.to(transformed))
    if transformed.shape[1] == 3:
        inverse = torch.linalg.inv(torch.tensor(YCBCR, dtype=torch.float64)).to(transformed)
        values = torch.einsum("kc,nchw->nkhw", inverse, values)
    return values


def white_noise(sigma: float, channels: int) -> Float[Tensor, "1 _ 1 1"]:
    """The deviation of each coefficient of Y, Cb and Cr where every number has independent noise."""
    colours = torch.tensor(YCBCR).square().sum(1).sqrt() if channels == 3 else torch.ones(1)
    return (sigma * colours)[None, :, None, None]


def wiener_filter(difference: Values, where: Given, noise: Float[Tensor, "_ c 1 1"]) -> Values:
    """Filter the noise out of a difference: Wiener's filter of blocks' frequencies, the mean over shifted tilings.

    `noise` is the deviation of each coefficient of Y, Cb and Cr in `difference`, which counts only in `where`. How much
    each frequency holds besides is measured over the image, and how strong a block is by its own sum.
    """
    h, w = difference.shape[2:]
    beyond = (0, -w % SIDE, 0, -h % SIDE)
    difference, where = F.pad(where * difference, beyond), F.pad(where, beyond)
    noise = noise.to(difference).square()[..., None, None]
    shifts = [(y, x) for y in range(0, SIDE, STRIDE) for x in range(0, SIDE, STRIDE)]
    tilings = [_blocks(to_dct(difference.roll(shift, (2, 3)))) for shift in shifts]
    power = torch.stack([t.square().mean((2, 4), keepdim=True) for t in tilings]).mean(0)
    signal = (power - noise).clamp_min(0)
    kept = torch.zeros_like(difference)
    for shift, tiling in zip(shifts, tilings, strict=True):
        own = (tiling.square() - noise).sum((3, 5), keepdim=True) / signal.sum((3, 5), keepdim=True).clamp_min(1e-12)
        local = own.clamp(*STRENGTHS) * signal
        smooth = tiling * local / (local + noise).clamp_min(1e-12)
        kept += from_dct(smooth.reshape(difference.shape)).roll((-shift[0], -shift[1]), (2, 3))
    return kept[:, :, :h, :w] / len(shifts)


def _blocks(x: Values) -> Float[Tensor, "n c _ 8 _ 8"]:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // SIDE, SIDE, w // SIDE, SIDE)


def _by_blocks(x: Values, matrix: Float[Tensor, "8 8"]) -> Values:
    """The matrix on the rows and columns of every block."""
    return torch.einsum("ui,ncaibj,vj->ncaubv", matrix, _blocks(x), matrix).reshape(x.shape)


@lru_cache(maxsize=1)
def _cosines() -> Float[Tensor, "8 8"]:
    """The orthonormal DCT-II: one frequency in each row."""
    rows = [[cos(pi * (2 * j + 1) * u / (2 * SIDE)) for j in range(SIDE)] for u in range(SIDE)]
    scale = torch.tensor([sqrt(1 / SIDE)] + [sqrt(2 / SIDE)] * (SIDE - 1), dtype=torch.float64)
    return torch.tensor(rows, dtype=torch.float64) * scale[:, None]


@final
@dataclass(frozen=True)
class Identity:
    """The numbers themselves."""

    name: str = ""
    sigma: float = 0.0  # of the noise in the measurements, in units of the image
    side: int = 1  # side of the blocks of numbers that are measured together

    def measure(self, values: Values) -> Values:
        """Tell a picture's numbers, without noise."""
        return values

    def residual(self, values: Values, seen: Values) -> Values:
        """The difference of numbers from the measurement, in units of the image."""
        return values - seen

    def penalty(self, residual: Values) -> Values:
        """The price of a residual; its slope is that of the contextual loss."""
        return residual.abs()

    def restore(self, values: Values, seen: Values, where: Given) -> Values:
        """The likeliest numbers that agree with the measurement, if `values` are a first guess."""
        return seen

    def decode(self, seen: Values) -> Values:
        """Numbers to show."""
        return seen


@final
@dataclass(frozen=True)
class GaussianNoise:
    """Gaussian noise, with its standard deviation in grey levels."""

    grey_levels: float
    side: int = 1

    @property
    def name(self) -> str:
        return f"noise:{self.grey_levels:g}"

    @property
    def sigma(self) -> float:
        return self.grey_levels * GREY_LEVEL

    def measure(self, values: Values) -> Values:
        return values

    def residual(self, values: Values, seen: Values) -> Values:
        return values - seen

    def penalty(self, residual: Values) -> Values:
        """The Gaussian's r^2 / 2 sigma^2, times sigma: a number that is off by sigma pulls as any known one does."""
        return residual.square() / (2 * self.sigma)

    def restore(self, values: Values, seen: Values, where: Given) -> Values:
        """The posterior mean, if the picture differs from these by a normal amount in each frequency."""
        return values + wiener_filter(seen - values, where, white_noise(self.sigma, seen.shape[1]))

    def decode(self, seen: Values) -> Values:
        return seen.clamp(-1, 1)


@final
@dataclass(frozen=True)
class Quantization:
    """Quantisation to a number of levels: 0..255 in bins of equal width; the bin's index, from 0, is measured."""

    count: int
    sigma: float = 0.0
    side: int = 1

    @property
    def name(self) -> str:
        return f"levels:{self.count}"

    def measure(self, values: Values) -> Values:
        return (((values + 1) / GREY_LEVEL).round().clamp(0, 255) * self.count / 256).floor()

    def residual(self, values: Values, seen: Values) -> Values:
        """The distance of numbers from their bins."""
        return values - self._nearest(values, seen, 0.5)

    def penalty(self, residual: Values) -> Values:
        return residual.abs()

    def restore(self, values: Values, seen: Values, where: Given) -> Values:
        """Filter as if the bins were noise, then clip into the bins' whole levels, so that rounding leaves none."""
        noise = white_noise(256 / self.count * GREY_LEVEL * UNIFORM, seen.shape[1])
        return self._nearest(values + wiener_filter(self.decode(seen) - values, where, noise), seen, 0.0)

    def decode(self, seen: Values) -> Values:
        """The middle of each bin."""
        first, last = self._ends(seen)
        return (first + last) / 2 * GREY_LEVEL - 1

    def _nearest(self, values: Values, seen: Values, margin: float) -> Values:
        first, last = self._ends(seen)
        return values.clamp((first - margin) * GREY_LEVEL - 1, (last + margin) * GREY_LEVEL - 1)

    def _ends(self, seen: Values) -> tuple[Values, Values]:
        """The first and the last whole level of each bin."""
        return (seen * 256 / self.count).ceil(), ((seen + 1) * 256 / self.count).ceil() - 1


@final
@dataclass(frozen=True)
class Jpeg:
    """The whole numbers of a JPEG file: each coefficient's bin, laid where its block's pixels are (ITU T.81).

    With the tables that libjpeg, and so Pillow, writes for a quality from 1 to 100, and colour at full size (4:4:4).
    """

    quality: int
    sigma: float = 0.0
    side: int = SIDE

    @property
    def name(self) -> str:
        return f"jpeg:{self.quality}"

    @property
    def mean_divisor(self) -> float:
        """The mean divisor of luma, in grey levels."""
        return jpeg_tables(self.quality)[0].mean().item()

    def measure(self, values: Values) -> Values:
        return (_to_levels(values) / self._divisors(values)).round()

    def residual(self, values: Values, seen: Values) -> Values:
        """The distance of each coefficient from its bin; the transform keeps lengths, and so the unit."""
        here = _to_levels(values)
        return (here - self._nearest(here, seen)) * GREY_LEVEL

    def penalty(self, residual: Values) -> Values:
        return residual.abs()

    def restore(self, values: Values, seen: Values, where: Given) -> Values:
        """Filter as if the bins were noise; then clip into the bins, and pixels into their range, in turns."""
        hidden = (self._divisors(seen) * UNIFORM).square()
        # A coefficient that was rounded to 0 hardly ever varies over the whole bin. In photos such coefficients had
        # about twice the power that G draws there.
        hidden = torch.where(seen == 0, torch.minimum(2 * _to_levels(values).square(), hidden), hidden)
        share = where.mean((2, 3), keepdim=True).clamp_min(1e-6)
        noise = ((where * hidden).mean((2, 3), keepdim=True) / share).sqrt() * GREY_LEVEL
        values = values + wiener_filter(self.decode(seen) - values, where, noise)
        for _ in range(ROUNDS):
            values = _from_levels(self._nearest(_to_levels(values), seen)).clamp(-1, 1)
        return values

    def decode(self, seen: Values) -> Values:
        """The middle of each bin, as a viewer shows it."""
        return _from_levels(seen * self._divisors(seen)).clamp(-1, 1)

    def _nearest(self, transformed: Values, seen: Values) -> Values:
        table = self._divisors(seen)
        return transformed.clamp((seen - 0.5) * table, (seen + 0.5) * table)

    def _divisors(self, like: Values) -> Float[Tensor, "1 c h w"]:
        _, c, h, w = like.shape
        return jpeg_tables(self.quality)[:c].to(like).repeat(1, h // SIDE, w // SIDE)[None]


NoiseModel = Identity | GaussianNoise | Quantization | Jpeg


@lru_cache(maxsize=8)
def jpeg_tables(quality: int) -> Float[Tensor, "3 8 8"]:
    """JPEG's divisors for Y, Cb and Cr, as libjpeg scales them: whole numbers from 1 to 255."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, colour = (
        torch.tensor([int(word) for word in text.split()]).view(SIDE, SIDE) for text in (LUMA_TABLE, COLOUR_TABLE)
    )
    return ((torch.stack([luma, colour, colour]) * percent + 50) // 100).clamp(1, 255).float()


def _to_levels(values: Values) -> Values:
    """Coefficients as JPEG counts them: in grey levels, 128 being nothing; so much of each colour has no difference."""
    return to_dct((values + 1) / GREY_LEVEL - 128)


def _from_levels(transformed: Values) -> Values:
    """Invert `_to_levels`."""
    return (from_dct(transformed) + 128) * GREY_LEVEL - 1
