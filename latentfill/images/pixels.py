"""Pixels to tensors and back; pictures of any shape to a model's square; many tiles as one picture.

Only this file converts between the two ranges.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from ..types import Hole, Images, PixelBatch, Pixels

GREY_LEVEL = 2 / 255  # one of 255, in the range [-1, 1] of images


def to_images(pixels: Pixels, channels: int = 3) -> Images:
    """uint8 [H, W, 3] in 0..255 -> float32 [1, channels, H, W] in [-1, 1]; one channel is the luma of Rec. 601."""
    return batch_to_images((pixels if channels == 3 else to_grey(pixels))[None])


def batch_to_images(batch: PixelBatch) -> Images:
    """uint8 [n, h, w, c] in 0..255 -> float32 [n, c, h, w] in [-1, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
    return tensor.float() / 127.5 - 1


def to_pixels(images: Images) -> list[Pixels]:
    """The inverse of `to_images`, exact for values that came from pixels; grey becomes RGB. Rounds, clamps first."""
    rounded = (images * 127.5 + 128).clamp(0, 255).byte()
    rgb = rounded.expand(-1, 3, -1, -1) if rounded.shape[1] == 1 else rounded
    return list(rgb.permute(0, 2, 3, 1).cpu().numpy())


def to_levels(images: Images) -> Float[np.ndarray, "n h w 3"]:
    """float [n, c, h, w] in [-1, 1] -> float32 [n, h, w, 3] in 0..255, not rounded; grey becomes RGB."""
    levels = (images.float() * 127.5 + 127.5).clamp(0, 255)
    rgb = levels.expand(-1, 3, -1, -1) if levels.shape[1] == 1 else levels
    return np.ascontiguousarray(rgb.permute(0, 2, 3, 1).cpu().numpy())


def to_grey(pixels: Pixels) -> UInt8[np.ndarray, "_ _ 1"]:
    """uint8 [H, W, 3] -> [H, W, 1]: 0.299 R + 0.587 G + 0.114 B, rounded."""
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    grey: UInt8[np.ndarray, "_ _ 1"] = np.round(luma).astype(np.uint8)[..., None]
    return grey


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


def grid(tiles: Sequence[Pixels], columns: int = 8) -> Pixels:
    """Lay equal tiles row by row: at most `columns` wide, the last row padded with black."""
    if not tiles:
        raise ValueError("a grid needs at least one tile")
    columns = min(columns, len(tiles))
    rows = ceil(len(tiles) / columns)
    height, width = tiles[0].shape[:2]
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * height, i % columns * width
        sheet[top : top + height, left : left + width] = tile
    return sheet
