"""The cosine transform of 8x8 blocks, and a filter in it: how JPEG sees an image, and what noise cannot hide."""

from functools import lru_cache
from math import cos, pi, sqrt

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Values = Float[Tensor, "n c h w"]  # in [-1, 1]: an image, or what a view shows of one
Given = Float[Tensor, "n 1 h w"]

LEVEL = 2 / 255  # a grey level, in images of [-1, 1]
SIDE = 8  # of a block, in pixels
STRIDE = 2  # pixels between one tiling and the next that are filtered; 1 takes four times as long and gains 0.03 dB
STRENGTHS = (
    0.1,
    10.0,
)  # how much less or more than the average block may differ; measured in noise, so not trusted beyond
# JFIF: luma (Rec. 601) and the two colour differences, of red, green and blue
YCBCR = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))


def coefficients(values: Values) -> Values:
    """Numbers to the orthonormal cosine transform (JPEG's) of the blocks of Y, Cb and Cr; a single channel is Y.

    Each block's coefficients lie where its pixels did. 8 must divide the sides.
    """
    if values.shape[1] == 3:
        values = torch.einsum("kc,nchw->nkhw", torch.tensor(YCBCR).to(values), values)
    return _by_blocks(values, _cosines().to(values))


def pixels(transformed: Values) -> Values:
    """The inverse of `coefficients`."""
    values = _by_blocks(transformed, _cosines().T.to(transformed))
    if transformed.shape[1] == 3:
        inverse = torch.linalg.inv(torch.tensor(YCBCR, dtype=torch.float64)).to(transformed)
        values = torch.einsum("kc,nchw->nkhw", inverse, values)
    return values


def white(sigma: float, channels: int) -> Float[Tensor, "1 _ 1 1"]:
    """The deviation of each coefficient of Y, Cb and Cr where every number has independent noise."""
    colours = torch.tensor(YCBCR).square().sum(1).sqrt() if channels == 3 else torch.ones(1)
    return (sigma * colours)[None, :, None, None]


def filtered(difference: Values, where: Given, noise: Float[Tensor, "_ c 1 1"]) -> Values:
    """What of a difference is no noise: Wiener's filter in the frequencies of blocks, the mean over shifted tilings.

    `noise` is the deviation of each coefficient of Y, Cb and Cr in `difference`, which counts only in `where`. How much
    each frequency holds besides is measured over the image, and how strong a block is by its own sum.
    """
    h, w = difference.shape[2:]
    beyond = (0, -w % SIDE, 0, -h % SIDE)
    difference, where = F.pad(where * difference, beyond), F.pad(where, beyond)
    noise = noise.to(difference).square()[..., None, None]
    shifts = [(y, x) for y in range(0, SIDE, STRIDE) for x in range(0, SIDE, STRIDE)]
    tilings = [_blocks(coefficients(difference.roll(shift, (2, 3)))) for shift in shifts]
    power = torch.stack([t.square().mean((2, 4), keepdim=True) for t in tilings]).mean(0)
    signal = (power - noise).clamp_min(0)
    kept = torch.zeros_like(difference)
    for shift, tiling in zip(shifts, tilings, strict=True):
        own = (tiling.square() - noise).sum((3, 5), keepdim=True) / signal.sum((3, 5), keepdim=True).clamp_min(1e-12)
        local = own.clamp(*STRENGTHS) * signal
        smooth = tiling * local / (local + noise).clamp_min(1e-12)
        kept += pixels(smooth.reshape(difference.shape)).roll((-shift[0], -shift[1]), (2, 3))
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
