"""Pixels to tensors and back. No other file knows both ranges."""

import numpy as np
import torch
from jaxtyping import Float, UInt8

from ..types import Images, PixelBatch, Pixels


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
