"""Bring a picture of any shape to the square that a model works on."""

import numpy as np
from PIL import Image

from ..types import Hole, Pixels


def fit(pixels: Pixels, size: int) -> Pixels:
    """The central square of a picture [H, W, 3] at `size`: averaged when shrinking, bicubic when enlarging."""
    side = min(pixels.shape[:2])
    method = Image.Resampling.BOX if side >= size else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(pixels).resize((size, size), method, box=central_square(*pixels.shape[:2])))


def fit_hole(hole: Hole, size: int) -> Hole:
    """The same square of a hole [H, W]; a pixel that any part of the hole falls on is to be found."""
    shrunk = (
        Image.fromarray(hole).convert("F").resize((size, size), Image.Resampling.BOX, box=central_square(*hole.shape))
    )
    return np.where(np.asarray(shrunk) > 0, 255, 0).astype(np.uint8)


def central_square(height: int, width: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the largest square in the middle."""
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side
