"""A hole widened by a disc: soft edges and the rest of a mark lie just outside of what was painted."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import distance_transform_edt

from ...types import Hole

Where = Bool[np.ndarray, "_ _"]
BAND = 512  # rows measured at once, besides those around them: distances are large


def grow(hole: Hole, pixels: int) -> Hole:
    """The hole [H, W] and all pixels whose centres lie at most so many pixels from that of one of its own.

    Raises ValueError for a negative number.
    """
    if pixels < 0:
        raise ValueError(f"a hole is widened by 0 pixels or more, not {pixels}")
    grown = np.where(hole > 0, np.uint8(255), np.uint8(0))
    for part, distance in _distances(hole > 0, pixels):
        grown[part][distance <= pixels] = 255
    return grown


def reach(hole: Where, wanted: Where, most: int) -> int:
    """By how many pixels a hole must be widened to hold those `wanted` that lie at most so far; 0 if none does."""
    least = 0.0
    for part, distance in _distances(hole, most):
        near = distance[wanted[part] & (distance <= most)]
        least = max(least, near.max(initial=0.0))
    return int(np.ceil(least))


def _distances(hole: Where, most: int) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """How far each pixel is from the hole, in bands of rows; those farther than `most` may be left out."""
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    if not most or not len(rows):
        return
    left, right = max(0, columns[0] - most), columns[-1] + 1 + most
    bottom = min(len(hole), rows[-1] + 1 + most)
    for top in range(max(0, rows[0] - most), bottom, BAND):
        end, begin = min(bottom, top + BAND), max(0, top - most)
        around = hole[begin : end + most, left:right]
        if around.any():
            yield (slice(top, end), slice(left, right)), distance_transform_edt(~around)[top - begin : end - begin]
