"""The tint of a photo of one colour: black and white, sepia and the like, however its file stores it."""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import final

import numpy as np
from jaxtyping import Bool, Float, UInt8, UInt16

from ..faces.placement import Box

Values = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
Known = Bool[np.ndarray, "h w"]
Colours = Float[np.ndarray, "n 3"]
Weights = Float[np.ndarray, "n k"]

LUMA = np.array([0.299, 0.587, 0.114])  # of Rec. 601
KNOTS = 52  # knots of the curve from luma to colour: one every five grey levels, as whites may be clipped
STIFF = 1e-4  # the curve's resistance to bending, as a share of the pull of all blocks
SIDES = (8, 4, 2, 1)  # sides of blocks whose colours are averaged, as in a JPEG; the largest with enough blocks
AROUND = 3  # least distance in blocks that counts as near the hole
SAMPLE = 3000  # most blocks that are tested, in the photo and near the hole
ENOUGH = 200, 20  # least blocks that are tested, likewise: a curve through fewer could fit anything
TOLERANCE = 6.0  # grey levels that a block's colour may be off the curve; a pale photo may lose colours up to this
FAR, NEAR = 0.01, 0.002  # shares of blocks that may be farther off: in the photo (a stamp at its edge), near the hole


SLACK = 8.0  # grey levels beyond the known lumas for which a curve is still trusted
WIDE = 64.0  # grey levels: a photo of one colour over this range of luma has one colour beyond it too
BEYOND = 0.1  # share of the generated pixels that may lie beyond that


@final
@dataclass(frozen=True, eq=False)
class Tint:
    """A colour for each luma: R, G and B less the luma, at equal steps from 0 to 255; it was seen for these `lumas`."""

    curve: Float[np.ndarray, "k 3"]
    lumas: tuple[float, float] = (0.0, 255.0)

    def covers(self, values: UInt8[np.ndarray, "n 3"] | UInt16[np.ndarray, "n 3"]) -> bool:
        """True if the known pixels say anything of such RGB: a white wall does not, of who stands before it."""
        low, high = self.lumas
        luma = values @ (LUMA * 255 / np.iinfo(values.dtype).max)
        return high - low >= WIDE or bool(np.mean((luma < low - SLACK) | (luma > high + SLACK)) <= BEYOND)

    def apply(self, values: UInt8[np.ndarray, "n 3"] | UInt16[np.ndarray, "n 3"]) -> np.ndarray:
        """RGB of the same luma in this tint, rounded."""
        unit = np.iinfo(values.dtype).max / 255
        luma = values @ (LUMA / unit)
        at = np.linspace(0, 255, len(self.curve))
        rgb = np.stack([luma + np.interp(luma, at, colour) for colour in self.curve.T], -1)
        return np.asarray(np.rint(rgb.clip(0, 255) * unit), values.dtype)


GREY = Tint(np.zeros((KNOTS, 3)))


def find_tint(values: Values, known: Known, wanted: Known) -> Tint | None:
    """Fit how the colour of a photo [h, w, 3] follows from its luma, by its known pixels; None if it does not.

    Judged of all of the photo, and more strictly near to what is wanted: skin in front of a grey wall is colour. One
    block may always be off.
    """
    rows, columns = (np.flatnonzero(wanted.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    hole = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    for side in SIDES:
        everywhere = _blocks(values, known, Box(0, 0, *known.shape), side)
        around = _blocks(values, known, hole.expand(max(*hole.shape, AROUND * side), *known.shape), side)
        if len(everywhere[0]) >= ENOUGH[0] and len(around[0]) >= ENOUGH[1]:
            break
    else:
        return None
    curve = _fit(*everywhere)
    for blocks, share in ((everywhere, FAR), (around, NEAR)):
        if np.quantile(_curve_error(*blocks, curve), 1 - max(share, 1 / len(blocks[0]))) > TOLERANCE:
            return None
    low, high = np.flatnonzero(everywhere[0].sum(0) > FAR)[[0, -1]] * (255 / (KNOTS - 1))
    return Tint(curve, (float(low), float(high)))


def _blocks(values: Values, known: Known, box: Box, side: int) -> tuple[Weights, Colours]:
    """For the blocks of a box, means over their known pixels: the weight of each knot in their lumas, and their
    colours. Blocks with less than half as many known pixels as others are left out.
    """
    rows, columns = (length // side for length in box.shape)
    step = max(1, ceil(sqrt(rows * columns / SAMPLE)))

    def cut(plane: np.ndarray) -> np.ndarray:
        blocks = plane[box.slices][: rows * side, : columns * side].reshape(rows, side, columns, side, -1)
        return blocks[::step, :, ::step].swapaxes(1, 2).reshape(-1, side * side, blocks.shape[-1])

    there = cut(known)[..., 0]
    count = there.sum(1)
    chosen = (count > 0) & (2 * count >= count.max(initial=0))
    there, count = there[chosen], count[chosen, None]
    pixels = cut(values)[chosen] / (np.iinfo(values.dtype).max / 255)
    luma = pixels @ LUMA
    colours = ((pixels - luma[..., None]) * there[..., None]).sum(1) / count
    knot = luma * ((KNOTS - 1) / 255)
    lower = np.minimum(knot.astype(int), KNOTS - 2)
    at = np.arange(len(luma))[:, None] * KNOTS + lower
    length = len(luma) * KNOTS
    weights = np.bincount(at.ravel(), ((1 - (knot - lower)) * there).ravel(), length)
    weights += np.bincount(at.ravel() + 1, ((knot - lower) * there).ravel(), length + 1)[:length]
    return weights.reshape(-1, KNOTS) / count, colours


def _fit(weights: Weights, colours: Colours) -> Float[np.ndarray, "k 3"]:
    """The curve, twice: the second time without the blocks that are off it the most."""
    bend = np.diff(np.eye(KNOTS), 2, axis=0)
    stiff = len(weights) * (STIFF * bend.T @ bend + 1e-9 * np.eye(KNOTS))
    curve = np.linalg.solve(weights.T @ weights + stiff, weights.T @ colours)
    off = _curve_error(weights, colours, curve)
    kept = off <= np.quantile(off, 1 - FAR)
    weights, colours = weights[kept], colours[kept]
    return np.asarray(np.linalg.solve(weights.T @ weights + stiff, weights.T @ colours))


def _curve_error(weights: Weights, colours: Colours, curve: Float[np.ndarray, "k 3"]) -> Float[np.ndarray, " n"]:
    """The distance of blocks' colours from the curve, in the channel that is farthest."""
    return np.asarray(np.abs(colours - weights @ curve).max(-1))
