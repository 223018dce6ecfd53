"""A photo restored from a measurement: the model's squares, and elsewhere colours propagated from them."""

from collections.abc import Sequence
from math import exp, sqrt

import numpy as np
import scipy
import torch
from jaxtyping import Float32

from ..completion.operators import LUMA
from ..faces.placement import Box
from ..images.photos import Values
from ..types import Hole
from .data_consistency import (
    Measurement,
    crop_operator,
    enlarge_blocks,
    image_to_levels,
    image_to_values,
    impose,
    levels_to_image,
    original_to_image,
    pad_to_blocks,
)
from .paste import Piece

Levels = Float32[np.ndarray, "h w c"]
Plane = Float32[np.ndarray, "h w"]

EDGE = 50.0  # summed grey levels between neighbours that weaken a colour as the distance REACH does; by eye
REACH = 1.0  # sides of the square that colours travel without an edge in the way; a forehead ends half a side above
ROUNDS = 3  # passes over rows and columns in turn; with fewer, lines show
DOUBT = 0.003  # the amount of a colour at which it counts half; pixels that get less stay grey
BEYOND = 1.0  # margin around the square, in its sides; in the outer half of it the colours fade


def propagate_colour(values: Levels, sure: Plane, boxes: Sequence[Box], sides: Sequence[float]) -> Levels:
    """A grey photo [h, w, 3], 0..255, coloured in some boxes, with their colours in the pixels around them too.

    `sure` is 1 where the colours are full, less where they are paler by so much, and 0 where there are none. `sides`
    are those of the boxes' squares. Luma stays; where a colour would leave the range of values it is paler.
    """
    luma = values @ np.array(LUMA, np.float32)
    given = values - luma[..., None]
    total, weights = np.zeros_like(values), np.zeros_like(luma)
    for box, side in zip(boxes, sides, strict=True):
        around = box.expand(round(BEYOND * side), *sure.shape)
        known, guide = sure[around.slices], scipy.ndimage.gaussian_filter(luma[around.slices], 1.0)  # grain is no edge
        carried = _filter(np.dstack([given[around.slices], known]), guide, max(1.0, REACH * side))
        window = _window(around, BEYOND * side / 2, sure.shape)
        total[around.slices] += window[..., None] * carried[..., :3] / (carried[..., 3:] + DOUBT)
        weights[around.slices] += window
    colours = given + ((1 - sure) / np.maximum(1, weights))[..., None] * total
    return np.asarray(luma[..., None] + colours * _room(luma, colours)[..., None])


def _filter(values: Levels, guide: Plane, reach: float) -> Levels:
    """Smooth along similar pixels (the recursive filter of the domain transform, Gastal and Oliveira 2011, eq. 21)."""
    steps = [1 + reach / EDGE * np.abs(np.diff(guide, axis=axis, prepend=guide.take([0], axis))) for axis in (0, 1)]
    for i in range(ROUNDS):
        sigma = reach * sqrt(3) * 2 ** (ROUNDS - i - 1) / sqrt(4**ROUNDS - 1)
        base = np.float32(exp(-sqrt(2) / sigma))
        values = _filter_rows(values, base ** steps[0])
        values = _filter_rows(values.swapaxes(0, 1), base ** steps[1].T).swapaxes(0, 1)
    return values


def _filter_rows(values: Levels, share: Plane) -> Levels:
    """Down the rows and up again: each takes its share of the one before."""
    values, share = np.array(values, order="C"), np.ascontiguousarray(share)[..., None]
    for i in range(1, len(values)):
        values[i] += share[i] * (values[i - 1] - values[i])
    for i in range(len(values) - 2, -1, -1):
        values[i] += share[i + 1] * (values[i + 1] - values[i])
    return values


def _window(around: Box, width: float, shape: tuple[int, ...]) -> Plane:
    """1 in the middle, falling to 0 over a width at the sides of the box, except the photo's own sides."""
    low, high = (around.top, around.left), (around.bottom, around.right)
    ramps = []
    for first, last, most in zip(low, high, shape, strict=True):
        at = np.arange(first, last, dtype=np.float32) + np.float32(0.5)
        begin = np.inf if first == 0 else at - first
        end = np.inf if last == most else last - at
        ramps.append(np.clip(np.minimum(begin, end) / max(width, 1.0) * np.ones_like(at), 0, 1))
    return np.asarray(np.outer(*ramps), np.float32)


def _room(luma: Plane, colours: Levels) -> Plane:
    """The share of the colours that fits into 0..255."""
    room = np.where(colours > 0, 255 - luma[..., None], luma[..., None])
    share = np.divide(room, np.abs(colours), out=np.ones_like(colours), where=np.abs(colours) > room)
    return np.asarray(share.min(2).clip(0, 1))


FADE = 0.15  # share of a square's side over which the generated part fades into its surroundings


def restore(observed: Measurement, hole: Hole, pieces: Sequence[Piece]) -> Values:
    """The photo [H, W, 3] in colour and at the size wanted, with the same bit depth, in agreement with its measurement.

    In the squares of the pieces it is what agrees and is nearest to these; beyond, what agrees and is smoothest, with
    their colours if it is like them and near. All that agree form a convex set, so where one goes over into the other
    it agrees as well. In the hole it means nothing.
    """
    operator, shown = observed.operator, observed.shown
    height, width = hole.shape
    factor = operator.linear.factor
    unit = factor * operator.noise.side
    where = observed.where(hole)
    seen = pad_to_blocks(observed.seen, operator.noise.side)
    told = operator.noise.measure(
        seen if operator.linear.grey else seen.expand(-1, 3, -1, -1)
    )  # a grey file may hold a measurement of colours
    colours = pad_to_blocks(original_to_image(shown).expand(-1, 3, -1, -1), unit)
    flat = (colours * enlarge_blocks(where, operator)).sum((2, 3), keepdim=True) / enlarge_blocks(
        where, operator
    ).sum().clamp_min(1)
    whole = (
        len(pieces) == 1
        and crop_operator(operator, pieces[0].placement) is operator
        and pieces[0].placement.size == height
    )
    made = colours if whole and height == width else impose(operator, flat.expand_as(colours), told, where)
    made = torch.where(enlarge_blocks(where, operator) == 1, made, colours)
    sure = torch.zeros(made.shape[2:])
    for piece in pieces:
        box = _align_to_blocks(piece.placement.box(height, width), unit)
        rows, columns = box.slices
        part = np.s_[..., rows, columns]
        drawn = levels_to_image(piece.placement.uncrop(piece.values, box))
        depth = torch.from_numpy(piece.placement.depth(box))
        share = torch.ones_like(depth) if whole else (depth / (FADE * piece.placement.size)).clamp(0, 1)
        share = share * share * (3 - 2 * share)  # smooth at both ends
        down, across = (slice(s.start // factor, s.stop // factor) for s in box.slices)
        small = np.s_[..., down, across]
        guess = torch.where(depth >= 0, drawn, made[part])
        agreeing = impose(operator, guess, told[small], where[small])
        made[part] = torch.lerp(made[part], agreeing, share)
        sure[part] += share * (1 - sure[part])
    if operator.linear.grey and not whole:
        squares = [piece.placement for piece in pieces]
        boxes, sides = [at.box(height, width) for at in squares], [at.scale * at.size for at in squares]
        made = levels_to_image(propagate_colour(image_to_levels(made), sure.numpy(), boxes, sides))
    return image_to_values(made[:, :, :height, :width], shown)


def _align_to_blocks(box: Box, unit: int) -> Box:
    """Grown to whole blocks."""
    low, high = (box.top, box.left), (box.bottom, box.right)
    return Box(*(at // unit * unit for at in low), *(-(-at // unit) * unit for at in high))
