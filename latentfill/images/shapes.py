"""Holes that a program draws: bool [h, w], True where a pixel is missing."""

from math import ceil

import numpy as np
from jaxtyping import Bool
from PIL import Image

from ..errors import HoleError
from .incomplete import BLOCK

Missing = Bool[np.ndarray, "_ _"]

CELL = 10_000 / 600  # pixels between the noise values of `pattern`, in the context encoder's pictures of 128
TRIES = 20_000


def center(h: int, w: int, scale: float) -> Missing:
    """The middle: from floor(side * scale) up to, not including, floor(side * (1 - scale)), on both axes."""
    missing = np.zeros((h, w), bool)
    missing[int(h * scale) : int(h * (1 - scale)), int(w * scale) : int(w * (1 - scale))] = True
    return missing


def half(h: int, w: int, side: int) -> Missing:
    """The left (0), right (1), upper (2) or lower (3) half; of an odd side the smaller one."""
    missing = np.zeros((h, w), bool)
    missing[(np.s_[:, : w // 2], np.s_[:, w - w // 2 :], np.s_[: h // 2], np.s_[h - h // 2 :])[side]] = True
    return missing


def scattered(h: int, w: int, fraction: float, rng: np.random.Generator) -> Missing:
    """Each pixel by itself, with probability `fraction`."""
    return rng.random((h, w)) < fraction


def grid(h: int, w: int) -> Missing:
    """All but the pixels whose row and column are multiples of 4."""
    missing = np.ones((h, w), bool)
    missing[::4, ::4] = False
    return missing


def blocks(h: int, w: int) -> Missing:
    """All of a picture whose sides 8x8 blocks fill, so that their means can be given. Else raises HoleError."""
    if h % BLOCK or w % BLOCK:
        raise HoleError(f"lowres needs sides that {BLOCK} divides, not {h} x {w}", "Crop or resize the picture.")
    return np.ones((h, w), bool)


def pattern(h: int, w: int, rng: np.random.Generator) -> Missing:
    """Windows of bicubic noise below 0.25 until one has 20 to 30 % missing (Pathak et al. 2016).

    The context encoder cuts its windows from one sheet of 600x600 values; here each is cut from noise of its own.
    Beyond its 128 pixels the blobs grow with the picture: a large window of the sheet has 16 % missing, always.
    Raises HoleError for the few pixels that cannot be covered so.
    """
    cell = CELL * max(1, max(h, w) / 128)
    rows, columns = ceil(h / cell), ceil(w / cell)
    for _ in range(TRIES):
        noise = Image.fromarray(rng.random((rows + 6, columns + 6), np.float32))
        top, left = 2 + rng.random(2)  # the bicubic kernel reaches two values beyond the window
        box = (left, top, left + w / cell, top + h / cell)
        missing = np.asarray(noise.resize((w, h), Image.Resampling.BICUBIC, box=box)) < 0.25
        if 0.2 <= missing.mean() <= 0.3:
            return missing
    raise HoleError(f"no pattern covers 20 to 30 % of {h} x {w} pixels", "Choose another hole, such as center.")
