"""Put what was generated for squares of a photo back into its hole, at the photo's own resolution."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float, UInt8, UInt16

from ..images.placement import Box, Placement
from ..types import Hole
from .membrane import stretch

Photo = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
Values = Float[np.ndarray, "h w 3"]
Where = Bool[np.ndarray, "h w"]
Beyond = Callable[[np.ndarray, np.ndarray], np.ndarray]
Blend = Literal["overlay", "poisson"]

MARGIN = 32  # pixels of the photo around the hole that are looked at


@final
@dataclass(frozen=True, eq=False)
class Piece:
    """What was generated for one square of the photo: RGB in 0..255, not yet rounded, at the square's `size`.

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
) -> Photo:
    """The photo with its hole filled from the pieces; elsewhere it is as it was, to the bit.

    `photo` is uint8 or uint16 [H, W, 3] and so is the result; `hole` [H, W] is 255 where a pixel is to be found. Where
    pieces overlap, the middle of one wins over the edge of another. What no piece covers comes from
    `beyond(values, hole)`, both of a part of the photo, float32 [h, w, 3] in 0..255 with the pieces already in place,
    and uint8 [h, w]; the result is values of the same shape. Raises ValueError for shapes that do not fit, or if
    `beyond` is needed and missing.
    """
    if photo.shape[:2] != hole.shape:
        raise ValueError(f"the photo is {photo.shape[:2]} but the hole is {hole.shape}")
    if blend not in ("overlay", "poisson"):
        raise ValueError(f"blend is one of overlay, poisson, not {blend!r}")
    result = photo.copy()
    box = _around(hole > 0)
    if box is None:
        return result
    unit = np.float32(257 if photo.dtype == np.uint16 else 1)
    part = np.asarray(photo[box.slices], np.float32) / unit
    gap = hole[box.slices] > 0
    generated, covered = _composed(pieces, box, gap)
    filled = np.where((covered & gap)[..., None], generated, part)
    left = gap & ~covered
    if blend == "poisson":
        error = np.where(gap[..., None], np.float32(0), part - generated)
        filled += np.where((covered & gap)[..., None], stretch(error, gap & covered, left), 0)
    if left.any():
        if beyond is None:
            raise ValueError(f"no piece covers {left.sum()} pixels of the hole, and there is no `beyond`")
        filled[left] = _filled(beyond, filled, left)[left]
    np.clip(filled, 0, 255, out=filled)
    made = np.floor(filled[gap] * unit + np.float32(0.5)).astype(photo.dtype)
    result[box.slices][gap] = made
    return result


def _around(inside: Where) -> Box | None:
    """The bounding box with a margin, within the picture."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return None
    height, width = inside.shape
    top, left = max(0, int(rows[0]) - MARGIN), max(0, int(columns[0]) - MARGIN)
    return Box(top, left, min(height, int(rows[-1]) + 1 + MARGIN), min(width, int(columns[-1]) + 1 + MARGIN))


def _composed(pieces: Sequence[Piece], box: Box, gap: Where) -> tuple[Values, Where]:
    """What the pieces show in a box, and where at least one does."""
    total = np.zeros(box.shape, np.float32)
    seen = []
    for piece in pieces:
        size = piece.placement.size
        rows, columns = np.mgrid[box.top : box.bottom, box.left : box.right]
        at = piece.placement.to_crop(np.stack([columns.ravel(), rows.ravel()], -1) + 0.5)
        depth = np.minimum(at, size - at).min(-1).reshape(box.shape) / (size / 2)
        weight = np.where(depth >= 0, np.maximum(depth, 1e-3) ** 3, 0).astype(np.float32)
        seen.append((piece.placement.back(piece.values, box), weight))
        total += weight
    covered = total > 0
    result = np.zeros((*box.shape, 3), np.float32)
    for values, weight in seen:
        share = np.divide(weight, total, out=np.zeros_like(weight), where=covered)
        result += np.where(share[..., None] > 0, values * share[..., None], 0)
    return result, covered


def _filled(beyond: Beyond, values: Values, left: Where) -> Values:
    made = np.asarray(beyond(values, np.where(left, 255, 0).astype(np.uint8)), np.float32)
    if made.shape != values.shape:
        raise ValueError(f"beyond gave {made.shape}, expected {values.shape}")
    return made
