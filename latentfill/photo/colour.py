"""Colours carried on from where they are known along what has the same brightness: from a cheek to ear and forehead."""

from collections.abc import Sequence
from math import exp, sqrt

import numpy as np
from jaxtyping import Float32
from scipy import ndimage

from ..completion.operators import LUMA
from ..faces.placement import Box

Values = Float32[np.ndarray, "h w c"]
Plane = Float32[np.ndarray, "h w"]

EDGE = 50.0  # grey levels between neighbours, in sum, that halve what is left of a colour several times; by eye
REACH = 1.0  # of the square's side: how far colours go where nothing is in their way: a brow is half of it above it
ROUNDS = 3  # of rows and columns by turns: with fewer, lines show
DOUBT = 0.003  # how much of a colour must arrive to count half: what gets less stays grey
BEYOND = 1.0  # sides of the square around it that are looked at; in their outer half the colours fade


def propagate_colour(values: Values, sure: Plane, boxes: Sequence[Box], sides: Sequence[float]) -> Values:
    """A grey photo [h, w, 3], 0..255, coloured in some boxes, with their colours in the pixels around them too.

    `sure` is 1 where the colours are full, less where they are paler by so much, and 0 where there are none. `sides`
    are those of the boxes' squares. Luma stays; where a colour would leave the range of values it is paler.
    """
    luma = values @ np.array(LUMA, np.float32)
    given = values - luma[..., None]
    total, weights = np.zeros_like(values), np.zeros_like(luma)
    for box, side in zip(boxes, sides, strict=True):
        around = box.grown(round(BEYOND * side), *sure.shape)
        known, guide = sure[around.slices], ndimage.gaussian_filter(luma[around.slices], 1.0)  # grain is no edge
        carried = _filter(np.dstack([given[around.slices], known]), guide, max(1.0, REACH * side))
        window = _window(around, BEYOND * side / 2, sure.shape)
        total[around.slices] += window[..., None] * carried[..., :3] / (carried[..., 3:] + DOUBT)
        weights[around.slices] += window
    colours = given + ((1 - sure) / np.maximum(1, weights))[..., None] * total
    return np.asarray(luma[..., None] + colours * _room(luma, colours)[..., None])


def _filter(values: Values, guide: Plane, reach: float) -> Values:
    """Smoothed along what is alike (the recursive filter of the domain transform, Gastal and Oliveira 2011, eq. 21)."""
    steps = [1 + reach / EDGE * np.abs(np.diff(guide, axis=axis, prepend=guide.take([0], axis))) for axis in (0, 1)]
    for i in range(ROUNDS):
        sigma = reach * sqrt(3) * 2 ** (ROUNDS - i - 1) / sqrt(4**ROUNDS - 1)
        base = np.float32(exp(-sqrt(2) / sigma))
        values = _filter_rows(values, base ** steps[0])
        values = _filter_rows(values.swapaxes(0, 1), base ** steps[1].T).swapaxes(0, 1)
    return values


def _filter_rows(values: Values, share: Plane) -> Values:
    """Down the rows and up again: each takes its share of the one before."""
    values, share = np.array(values, order="C"), np.ascontiguousarray(share)[..., None]
    for i in range(1, len(values)):
        values[i] += share[i] * (values[i - 1] - values[i])
    for i in range(len(values) - 2, -1, -1):
        values[i] += share[i + 1] * (values[i + 1] - values[i])
    return values


def _window(around: Box, width: float, shape: tuple[int, ...]) -> Plane:
    """1 in the middle, falling to 0 over a width at the sides of what is looked at, but for those of the photo."""
    low, high = (around.top, around.left), (around.bottom, around.right)
    ramps = []
    for first, last, most in zip(low, high, shape, strict=True):
        at = np.arange(first, last, dtype=np.float32) + np.float32(0.5)
        begin = np.inf if first == 0 else at - first
        end = np.inf if last == most else last - at
        ramps.append(np.clip(np.minimum(begin, end) / max(width, 1.0) * np.ones_like(at), 0, 1))
    return np.asarray(np.outer(*ramps), np.float32)


def _room(luma: Plane, colours: Values) -> Plane:
    """What share of the colours can be had without leaving 0..255."""
    room = np.where(colours > 0, 255 - luma[..., None], luma[..., None])
    share = np.divide(room, np.abs(colours), out=np.ones_like(colours), where=np.abs(colours) > room)
    return np.asarray(share.min(2).clip(0, 1))
