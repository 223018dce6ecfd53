"""The holes that a completer learns to fill: those that people make in photos, and all that an encoder learns from."""

import numpy as np

from ...images import shapes
from ...images.painted.freehand import brush, ellipses
from ..completers import draw_any, draw_rectangle

# How often each kind of hole is drawn; a part of a face, where there are no aligned faces, is one more rectangle.
SHARES = {"rectangle": 0.18, "half": 0.14, "center": 0.13, "ellipses": 0.15, "brush": 0.12, "part": 0.18, "any": 0.10}
INVERTED = 0.03  # share of holes of which the known pixels are drawn instead
# Left, top, right and bottom of what people cover, as shares of the side, in faces aligned with a margin of 1.
PARTS = {"eyes": (0.10, 0.05, 0.89, 0.27), "nose": (0.34, 0.20, 0.65, 0.52), "mouth": (0.22, 0.53, 0.79, 0.82)}
SHIFT = 0.05  # by which each side of a part may lie elsewhere


def draw_hole(size: int, rng: np.random.Generator, margin: float | None = None) -> shapes.Missing:
    """[size, size]: any hole, with something missing. `margin` is that of the alignment, if these are aligned faces."""
    missing = _draw(size, rng, margin)
    if rng.random() < INVERTED:
        missing = ~missing
    return missing if missing.any() else shapes.half(size, size, 0)


def _draw(size: int, rng: np.random.Generator, margin: float | None) -> shapes.Missing:
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    if kind == "half":
        return shapes.half(size, size, int(rng.integers(4)))
    if kind == "center":
        return shapes.center(size, size, 0.25)
    if kind == "ellipses":
        return ellipses(size, size, rng)
    if kind == "brush":
        return brush(size, size, rng)
    if kind == "part" and margin:
        return _part(size, rng, margin)
    return draw_any(size, rng) if kind == "any" else draw_rectangle(size, rng)


def _part(size: int, rng: np.random.Generator, margin: float) -> shapes.Missing:
    """Eyes, nose or mouth of an aligned face, under a rectangle or an ellipse."""
    sides = np.array(list(PARTS.values())[rng.integers(len(PARTS))]) + rng.uniform(-SHIFT, SHIFT, 4)
    left, top, right, bottom = np.clip(0.5 + (sides - 0.5) / margin, 0, 1)
    if rng.random() < 0.5:
        return _ellipse(size, (left + right) / 2, (top + bottom) / 2, 0.6 * (right - left), 0.6 * (bottom - top))
    missing = np.zeros((size, size), bool)
    rows, columns = (
        slice(int(a * size), max(int(b * size), int(a * size) + 2)) for a, b in ((top, bottom), (left, right))
    )
    missing[rows, columns] = True
    return missing


def _ellipse(size: int, x: float, y: float, across: float, down: float) -> shapes.Missing:
    """About that middle, with these radii; all in shares of the side."""
    rows, columns = np.mgrid[:size, :size] + 0.5
    inside: shapes.Missing = ((columns / size - x) / across) ** 2 + ((rows / size - y) / down) ** 2 < 1
    return inside
