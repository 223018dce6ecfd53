"""Holes as people paint them on photos, drawn at random: bool [h, w], True where a pixel is missing."""

import numpy as np

from ..shapes import Length, Missing, Shape, draw_line, drawn

LINES, PIECES = (1, 4), (2, 5)  # of a brush, bounds included
WIDTHS, STEPS = (0.03, 0.12), (0.08, 0.3)  # of a line and of its pieces, as shares of the shorter side
TURN = 1.0  # radians, the standard deviation between two pieces
RADII, CENTRES = (0.06, 0.3), (0.1, 0.9)  # of ellipses, as shares of the shorter side and of both sides
SMALLEST = 0.75  # pixels: around any point in a picture a circle of this radius holds the centre of a pixel


def brush(h: int, w: int, rng: np.random.Generator) -> Missing:
    """Broken lines with round ends, each of its own width; they begin anywhere, at any angle, and turn a little."""
    missing, side, corner = np.zeros((h, w), bool), min(h, w), np.array([w, h])
    for _ in range(rng.integers(LINES[0], LINES[1] + 1)):
        start, angle = rng.random(2) * corner, rng.uniform(0, 2 * np.pi)
        radius = max(SMALLEST, side * rng.uniform(*WIDTHS) / 2)
        for _ in range(rng.integers(PIECES[0], PIECES[1] + 1)):
            step = side * rng.uniform(*STEPS) * np.array([np.cos(angle), np.sin(angle)])
            end = np.clip(start + step, 0, corner)
            draw_line(missing, start, end, radius)
            start, angle = end, angle + rng.normal(0, TURN)
    return missing


def ellipses(h: int, w: int, rng: np.random.Generator) -> Missing:
    """One or two, upright, anywhere."""
    return drawn(tuple(_ellipse(h, w, rng) for _ in range(rng.integers(1, 3))), h, w)


def _ellipse(h: int, w: int, rng: np.random.Generator) -> Shape:
    centre = rng.uniform(*CENTRES, 2) * (w, h)
    radii = np.maximum(SMALLEST, rng.uniform(*RADII, 2) * min(h, w))
    return Shape("ellipse", tuple(Length(float(number)) for number in (*centre, *radii)))
