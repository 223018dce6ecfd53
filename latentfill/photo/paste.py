"""Put what was generated for squares of a photo back into its hole, at the photo's own resolution."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import scipy
from jaxtyping import Bool, Float, Float32, UInt8, UInt16

from ..faces.placement import Box, Placement
from ..texture.detail import copy_detail
from ..texture.grain import grain as grain_of
from ..texture.membrane import solve_laplace
from ..types import Hole

Photo = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
Values = Float32[np.ndarray, "h w 3"]
Plane = Float32[np.ndarray, "h w"]
Where = Bool[np.ndarray, "h w"]
Beyond = Callable[[Box, np.ndarray, np.ndarray], tuple[np.ndarray, float]]
Blend = Literal["overlay", "poisson"]

MARGIN = 64  # pixels of the photo around the hole that are used: two blocks of grain
APART = 64  # pixels: parts of a hole that are farther apart than this,
PARTS = 16  # and than 1/16 of the box around all of them, are filled one by one
LEAST = 0.01  # least depth of a piece, as a share of its middle's, so that its edge counts where no other piece is
MOST = 4_000_000  # most pixels of a picture in which detail is searched, because of memory
FADE = 0.12  # share of a square's side over which its piece fades into the fill beyond it
BEYOND = 1  # pixels, of the photo and of the crop, that a piece extends beyond its edge, for known pixels there


@final
@dataclass(frozen=True, eq=False)
class Piece:
    """A generated square of the photo: RGB in 0..255, not yet rounded, at the square's `size`.

    Raises ValueError unless the values fit the placement.
    """

    placement: Placement
    values: Float[np.ndarray, "s s 3"]

    def __post_init__(self) -> None:
        size = self.placement.size
        if self.values.shape != (size, size, 3):
            raise ValueError(f"the placement is of {size} x {size} pixels, but the values are {self.values.shape}")


def paste(
    photo: Photo,
    hole: Hole,
    pieces: Sequence[Piece],
    *,
    beyond: Beyond | None = None,
    blend: Blend = "poisson",
    grain: bool = True,
    seed: int = 0,
    hidden: Hole | None = None,
) -> Photo:
    """The photo with its hole filled from the pieces; elsewhere it is as it was, to the bit.

    `photo` is uint8 or uint16 [H, W, 3] and so is the result; `hole` [H, W] is above 0 where a pixel is to be found.
    Where pieces overlap, the middle of one wins over the edge of another. `poisson` keeps the pieces' gradients and
    meets the photo's values around the hole (as `images.blending.poisson`), `overlay` puts them in as they are. What
    no piece covers comes from `beyond(box, values, hole)`, and pieces fade into it: float32 [h, w, 3] in 0..255, that
    part of the photo with the pieces already in place, and uint8 [h, w], 255 where it is wanted. It answers with values
    of this shape, and with their scale: 1 if they have grain as the photo has, more if they are as smooth as what is
    enlarged so much.

    `hidden` [H, W] is above 0 in the hole and where the photo means nothing else, such as where it is transparent.

    With `grain`, detail of the photo is added where pieces are enlarged; where none can be had, and where `beyond` is
    smooth, it is noise like the photo's, drawn from `seed`.
    Raises ValueError for shapes that do not fit, or if `beyond` is needed and missing.
    """
    if photo.shape[:2] != hole.shape:
        raise ValueError(f"the photo is {photo.shape[:2]} but the hole is {hole.shape}")
    if blend not in ("overlay", "poisson"):
        raise ValueError(f"blend is one of overlay, poisson, not {blend!r}")
    result = photo.copy()
    unit = np.float32(257 if photo.dtype == np.uint16 else 1)
    there = (hole if hidden is None else hidden) == 0
    for number, (box, gap) in enumerate(_parts(hole, there)):
        known = there[box.slices]
        values = np.asarray(photo[box.slices], np.float32) / unit
        generated, near, covered, scale = _compose(pieces, box)
        covered &= gap
        if blend == "poisson" and covered.any():
            absent = ~(covered | (known & near))
            generated += solve_laplace(values - generated, covered, absent)
        filled = np.where(covered[..., None], generated, values)
        left = gap & ~covered
        if left.any():
            width = FADE * scale * max((piece.placement.size for piece in pieces), default=0)
            away = scipy.ndimage.distance_transform_edt(~left).astype(np.float32)
            share = np.where(covered, np.minimum(away / (width + 1), 1), 0).astype(np.float32)
            found, scale[left] = _fill_beyond(beyond, box, filled.clip(0, 255), ~known & (share < 1))
            filled[gap] += ((1 - share)[..., None] * (found - filled))[gap]
        if grain and covered.any():
            wide = _detail_box(pieces, box, *hole.shape)
            inner = np.s_[box.top - wide.top : box.bottom - wide.top, box.left - wide.left : box.right - wide.left]
            around, wanted = np.asarray(photo[wide.slices], np.float32) / unit, np.zeros(wide.shape, bool)
            around[inner], wanted[inner] = filled, covered
            detail = copy_detail(around, there[wide.slices], wanted, float(np.median(scale[covered])))
            if detail is not None:
                filled += detail[inner]
                scale[covered] = 1
        if grain and (scale[gap] > 1).any():
            noise = grain_of(values, known, float(np.median(scale[gap])), seed + (number << 64))
            filled += noise * np.clip(scale - 1, 0, 1)[..., None]
        result[box.slices][gap] = np.floor(filled[gap].clip(0, 255) * unit + np.float32(0.5)).astype(photo.dtype)
    return result


def _parts(hole: Hole, known: Where) -> Iterator[tuple[Box, Where]]:
    """Boxes with a margin around parts of the hole that lie apart, and which of their pixels belong to the part.

    Where nothing is known in the margin, the box is all of the photo.
    """
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    if not len(rows):
        return
    top, left = int(rows[0]), int(columns[0])
    inside = hole[top : rows[-1] + 1, left : columns[-1] + 1] > 0
    side = max(APART, max(inside.shape) // PARTS)
    cells = inside
    for axis in (0, 1):
        cells = np.logical_or.reduceat(cells, np.arange(0, inside.shape[axis], side), axis)
    labels, _ = scipy.ndimage.label(scipy.ndimage.binary_dilation(cells, np.ones((3, 3), int)), np.ones((3, 3)))
    labels = np.where(cells, labels, 0)
    for number, (down, across) in enumerate(scipy.ndimage.find_objects(labels), 1):
        own = (labels[down, across] == number).repeat(side, 0).repeat(side, 1)
        y, x = down.start * side, across.start * side
        part = inside[y : y + own.shape[0], x : x + own.shape[1]]
        part = part & own[: part.shape[0], : part.shape[1]]
        inner = Box(top + y, left + x, top + y + part.shape[0], left + x + part.shape[1])
        box = inner.expand(MARGIN, *hole.shape)
        box = box if known[box.slices].any() else Box(0, 0, *hole.shape)
        gap = np.zeros(box.shape, bool)
        gap[inner.top - box.top : inner.bottom - box.top, inner.left - box.left : inner.right - box.left] = part
        yield box, gap


def _detail_box(pieces: Sequence[Piece], box: Box, height: int, width: int) -> Box:
    """The box with the squares of the pieces that touch it: detail is copied from there."""
    wide = box
    for piece in pieces:
        square = piece.placement.box(height, width)
        if square.top < box.bottom and box.top < square.bottom and square.left < box.right and box.left < square.right:
            wide = wide.union(square)
    return wide if wide.shape[0] * wide.shape[1] <= MOST else box


def _compose(pieces: Sequence[Piece], box: Box) -> tuple[Values, Where, Where, Plane]:
    """Compose the pieces in a box; returns also where that means anything, where they cover it, and their scale."""
    total, scale = np.zeros(box.shape, np.float32), np.zeros(box.shape, np.float32)
    values, covered = np.zeros((*box.shape, 3), np.float32), np.zeros(box.shape, bool)
    shown = []
    for piece in pieces:
        at = piece.placement
        around = at.box(box.bottom, box.right).expand(BEYOND, box.bottom, box.right)
        inner = Box(max(around.top, box.top), max(around.left, box.left), around.bottom, around.right)
        if inner.top >= inner.bottom or inner.left >= inner.right:
            continue
        here = np.s_[inner.top - box.top : inner.bottom - box.top, inner.left - box.left : inner.right - box.left]
        depth = at.depth(inner)
        weight = np.maximum(2 / at.size * depth, LEAST) ** 3
        weight[depth < -BEYOND * max(1, 1 / at.scale)] = 0
        total[here] += weight
        covered[here] |= depth >= 0
        shown.append((piece, inner, here, weight))
    for piece, inner, here, weight in shown:
        share = np.divide(weight, total[here], out=weight, where=weight > 0)
        scale[here] += share * np.float32(piece.placement.scale)
        values[here] += piece.placement.uncrop(piece.values, inner) * share[..., None]
    return values, total > 0, covered, scale


def _fill_beyond(beyond: Beyond | None, box: Box, values: Values, wanted: Where) -> tuple[Values, float]:
    """The values of `beyond` at the pixels to fill, and its scale."""
    if beyond is None:
        raise ValueError("no piece covers all of the hole, and there is no `beyond` for the rest")
    found, scale = beyond(box, values, np.where(wanted, np.uint8(255), np.uint8(0)))
    found = np.asarray(found, np.float32)
    if found.shape != values.shape:
        raise ValueError(f"beyond was given values {values.shape} and answered with {found.shape}")
    return found, scale
