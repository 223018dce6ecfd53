"""Pictures that need no data: drawn shapes, and digits. Each has a seed of its own."""

from math import cos, pi, sin

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from latentfill.seeds import philox
from latentfill.types import PixelBatch, Pixels

FINER = 4  # what is drawn is so many times as large, and shrunk by means: its edges are smooth
SHAPES, DIGITS = 8 << 64, 9 << 64  # streams of their own


def shapes(count: int, size: int) -> PixelBatch:
    """uint8 [count, size, size, 3]: a coloured disc, square or triangle on a shaded background."""
    return np.stack([_shape(size, SHAPES + number) for number in range(count)])


def digits(count: int, size: int) -> PixelBatch:
    """uint8 [count, size, size, 1]: a light digit on a dark ground, shifted, turned, of any scale and thickness."""
    return np.stack([_digit(size, DIGITS + number)[..., :1] for number in range(count)])


def _shape(size: int, seed: int) -> Pixels:
    rng, side = philox(seed), size * FINER
    one, other, colour = rng.integers(0, 256, (3, 3))
    up = rng.uniform(-1, 1)
    along = np.add.outer(np.arange(size) * up, np.arange(size) * (1 - abs(up)))
    shade = ((along - along.min()) / np.ptp(along))[..., None]
    corners = int(rng.choice([0, 3, 4]))
    radius, turned = side * rng.uniform(0.15, 0.35), rng.uniform(0, 2 * pi)
    x, y = rng.uniform(radius, side - radius, 2)
    ink = Image.new("L", (side, side))
    if corners:
        angles = [turned + 2 * pi * k / corners for k in range(corners)]
        ImageDraw.Draw(ink).polygon([(x + radius * cos(a), y + radius * sin(a)) for a in angles], fill=255)
    else:
        ImageDraw.Draw(ink).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return _inked(one + shade * (other - one), colour, ink)


def _digit(size: int, seed: int) -> Pixels:
    rng, side = philox(seed), size * FINER
    dark, light = rng.integers(0, 60), rng.integers(180, 256)
    font = ImageFont.load_default(size=side * rng.uniform(0.55, 0.8))
    x, y = side * rng.uniform(0.42, 0.58, 2)
    thickness = side * rng.uniform(0, 0.03)
    ink = Image.new("L", (side, side))
    ImageDraw.Draw(ink).text((x, y), str(rng.integers(10)), 255, font, anchor="mm", stroke_width=thickness)
    turned = ink.rotate(rng.uniform(-20, 20), Image.Resampling.BILINEAR)
    return _inked(np.full((size, size, 3), dark, float), np.full(3, light), turned)


def _inked(ground: Float[ndarray, "_ _ 3"], colour: Int64[ndarray, " 3"], ink: Image.Image) -> Pixels:
    """A colour on a ground, where there is ink, drawn larger."""
    size = ground.shape[1], ground.shape[0]
    share = np.asarray(ink.resize(size, Image.Resampling.BOX), float)[..., None] / 255
    return np.asarray((ground + share * (colour - ground)).round(), np.uint8)
