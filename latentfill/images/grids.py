"""Many images as one picture: rows of equal tiles, no gutter, as in the post."""

from collections.abc import Sequence
from math import ceil

import numpy as np

from ..types import Pixels


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
