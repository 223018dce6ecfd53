"""Holes that a program draws: bool [h, w], True where a pixel is missing."""

from dataclasses import dataclass
from math import ceil, isfinite
from typing import final

import numpy as np
from jaxtyping import Bool, Float64
from PIL import Image

from ..errors import HoleError
from .incomplete import BLOCK

Missing = Bool[np.ndarray, "_ _"]
Point = Float64[np.ndarray, "2"]  # x, y

CELL = 10_000 / 600  # pixels between the noise values of `pattern`, for the context encoder's pictures of 128
TRIES, FEW_TRIES = 20_000, 50  # for strokes few are enough: nine in ten cover less than half of a picture
WRITTEN = {
    "rectangle": "rectangle:LEFT,TOP,WIDTH,HEIGHT",
    "ellipse": "ellipse:CENTRE_X,CENTRE_Y,RADIUS_X,RADIUS_Y",
}
PARTS = 256  # parts of a picture's shorter side: LaMa gives strokes in pixels of its pictures of 256
MOST = 0.5  # share of a picture: LaMa redraws holes that cover more
FARTHEST = 1e6  # pixels or percent: beyond any picture, but without overflow when squared
SMALLEST = 1e-3  # pixels or percent: below any pixel


@final
@dataclass(frozen=True)
class Length:
    """A length in pixels, or in percent of the picture's width or height."""

    number: float
    percent: bool = False

    def of(self, side: int) -> float:
        return self.number * side / 100 if self.percent else self.number


@final
@dataclass(frozen=True)
class Shape:
    """A `rectangle` (left, top, width, height) or an `ellipse` (centre x, y, radius x, y; or one radius).

    Percent are of the picture's width for what is measured along x, of its height along y, and of its shorter side
    for the one radius of a circle. The upper left corner of the picture is 0,0.
    """

    kind: str
    lengths: tuple[Length, ...]


@final
@dataclass(frozen=True)
class Brush:
    """LaMa's drawing of a hole: broken lines, or boxes. Lengths in `PARTS` of the shorter side, bounds included."""

    lines: tuple[int, int]
    length: int
    width: int
    boxes: tuple[int, int] = (0, 0)
    side: tuple[int, int] = (0, 0)
    border: int = 0


# Suvorov et al. 2021, as configured for 256 pixels (advimman/lama, configs/data_gen/random_thin_256.yaml and others).
# Its program draws up to one line more than the configuration says, and so does this one.
BRUSHES = {
    "thin": Brush((4, 51), 40, 10),
    "medium": Brush((4, 6), 100, 50, (1, 5), (10, 50), 0),
    "thick": Brush((1, 6), 200, 100, (1, 3), (30, 150), 10),
}
BOXES_SHARE = 0.3 / 1.3  # share of a brush's holes that are boxes: LaMa weights lines with 1, boxes with 0.3


def parse(text: str) -> tuple[Shape, ...]:
    """Understand shapes joined with `+`: "rectangle:10,20,30,40+ellipse:50%,50%,10%". Raises HoleError."""
    return tuple(_parse_one(part.strip(), text) for part in text.split("+"))


def draw_shapes(shapes: tuple[Shape, ...], h: int, w: int, name: str = "") -> Missing:
    """Every pixel whose centre lies in one of the shapes; what lies outside the picture is cut off.

    Raises HoleError, which calls the picture by its name, if no pixel is left.
    """
    missing = np.zeros((h, w), bool)
    y, x = np.arange(h) + 0.5, np.arange(w) + 0.5
    for shape in shapes:
        across, down, *more = shape.lengths
        if shape.kind == "rectangle":
            left, top, width, height = across.of(w), down.of(h), more[0].of(w), more[1].of(h)
            missing |= ((y >= top) & (y < top + height))[:, None] & ((x >= left) & (x < left + width))
        else:
            sides = (w, h) if len(more) == 2 else (min(h, w),) * 2
            radius_x, radius_y = more[0].of(sides[0]), more[-1].of(sides[1])
            x2, y2 = ((x - across.of(w)) / radius_x) ** 2, ((y - down.of(h)) / radius_y) ** 2
            rows, columns = (np.flatnonzero(v <= 1) for v in (y2, x2))  # processing all of a large photo is slow
            if rows.size and columns.size:
                box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
                missing[box] |= y2[box[0], None] + x2[box[1]] <= 1
    if not missing.any():
        what = " or ".join(dict.fromkeys(shape.kind for shape in shapes))
        raise HoleError(
            f"{name or 'the picture'}: none of its {w} x {h} pixels lies in the {what}",
            "0,0 is the picture's upper left corner; 50%,50% is its middle.",
        )
    return missing


def parse_number(text: str, digits: str, least: float, most: float) -> float:
    """The number that a part of a hole's text is. Raises HoleError if it is none, or out of bounds."""
    try:
        found = float(digits)
    except ValueError:
        found = float("nan")
    if not isfinite(found) or not least <= found <= most:
        raise HoleError(f"{text!r}: {digits!r} is not a number from {least:g} to {most:g}", "Write it as 0.25.")
    return found


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


def random_pixels(h: int, w: int, fraction: float, rng: np.random.Generator) -> Missing:
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
        raise HoleError(
            f"lowres needs sides that are multiples of {BLOCK}, not {w} x {h} pixels", "Crop or resize the picture."
        )
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
        top, left = 2 + rng.random(2)  # the bicubic kernel uses two values beyond the window
        box = (left, top, left + w / cell, top + h / cell)
        missing = np.asarray(noise.resize((w, h), Image.Resampling.BICUBIC, box=box)) < 0.25
        if 0.2 <= missing.mean() <= 0.3:
            return missing
    raise HoleError(f"no pattern covers 20 to 30 % of {h} x {w} pixels", "Choose another hole, such as center.")


def strokes(h: int, w: int, brush: Brush, rng: np.random.Generator) -> Missing:
    """Broken lines with round ends, or overlapping boxes, drawn again until they cover something and at most half.

    Raises HoleError for the few pixels of which they cover all or nothing.
    """
    for _ in range(FEW_TRIES):
        boxes = brush.boxes[1] and rng.random() < BOXES_SHARE
        missing = _boxes(h, w, brush, rng) if boxes else _lines(h, w, brush, rng)
        if 0 < missing.mean() <= MOST:
            return missing
    raise HoleError(f"no stroke covers at most half of {h} x {w} pixels", "Choose another hole, such as center.")


def _lines(h: int, w: int, brush: Brush, rng: np.random.Generator) -> Missing:
    """Each begins anywhere and has one to five pieces, all to the left or all to the right, in four directions."""
    missing, unit, corner = np.zeros((h, w), bool), min(h, w) / PARTS, np.array([w, h])
    for i in range(int(rng.integers(brush.lines[0], brush.lines[1] + 1))):
        start = rng.random(2) * corner
        for _ in range(int(rng.integers(1, 6))):
            angle = (0.01 + rng.integers(4)) * (1 if i % 2 else -1)
            length, width = unit * (10 + rng.integers(brush.length)), unit * (5 + rng.integers(brush.width))
            end = np.clip(start + length * np.array([np.sin(angle), np.cos(angle)]), 0, corner)
            draw_line(missing, start, end, max(1.0, width) / 2)  # a line thinner than a pixel would have gaps
            start = end
    return missing


def draw_line(missing: Missing, start: Point, end: Point, radius: float) -> None:
    """Add to bool [h, w] every pixel whose centre is at most `radius` from a point of the line."""
    (left, top), (right, bottom) = np.minimum(start, end) - radius, np.maximum(start, end) + radius
    box = np.s_[max(0, int(top)) : ceil(bottom), max(0, int(left)) : ceil(right)]
    y, x = (np.arange(side)[part] + 0.5 for side, part in zip(missing.shape, box, strict=True))
    (across, down), (x, y) = end - start, (x - start[0], y[:, None] - start[1])
    along = np.clip((x * across + y * down) / max(across**2 + down**2, SMALLEST), 0, 1)
    missing[box] |= (x - along * across) ** 2 + (y - along * down) ** 2 <= radius**2


def _boxes(h: int, w: int, brush: Brush, rng: np.random.Generator) -> Missing:
    missing, unit = np.zeros((h, w), bool), min(h, w) / PARTS
    for _ in range(int(rng.integers(brush.boxes[0], brush.boxes[1] + 1))):
        size = unit * rng.uniform(brush.side[0], brush.side[1], 2)
        edge = unit * brush.border
        left, top = edge + rng.random(2) * (np.array([w, h]) - 2 * edge - size)
        missing[round(top) : round(top + size[1]), round(left) : round(left + size[0])] = True
    return missing


def _parse_one(part: str, text: str) -> Shape:
    kind, _, rest = part.partition(":")
    if kind not in WRITTEN:
        raise HoleError(f"{text!r}: {part!r} is neither a rectangle nor an ellipse", f"Join with + only {_forms()}.")
    lengths = tuple(_parse_length(word.strip(), text) for word in rest.split(","))
    if len(lengths) != 4 and (kind, len(lengths)) != ("ellipse", 3):
        raise HoleError(
            f"{text!r}: {part!r} has {len(lengths)} numbers, not {'4' if kind == 'rectangle' else '3 or 4'}",
            f"Write {WRITTEN[kind]}, in pixels or as 10%.",
        )
    if any(length.number < SMALLEST for length in lengths[2:]):
        raise HoleError(f"{text!r}: {part!r} has no size", f"Write {WRITTEN[kind]}; sizes are 0.001 or more.")
    return Shape(kind, lengths)


def _parse_length(word: str, text: str) -> Length:
    try:
        number = float(word.removesuffix("%"))
    except ValueError:
        number = float("nan")
    if not isfinite(number) or abs(number) > FARTHEST:
        raise HoleError(f"{text!r}: {word!r} is no number of pixels or percent", f"Write {_forms()}, as 25 or 12.5%.")
    return Length(number, word.endswith("%"))


def _forms() -> str:
    return " or ".join(WRITTEN.values())


LINES, PIECES = (1, 4), (2, 5)  # of a brush, bounds included
WIDTHS, STEPS = (0.03, 0.12), (0.08, 0.3)  # ranges for a line and for its pieces, as shares of the shorter side
TURN = 1.0  # radians: standard deviation of the turn between two pieces
RADII, CENTRES = (0.06, 0.3), (0.1, 0.9)  # of ellipses, as shares of the shorter side and of both sides
SMALLEST_STROKE = 0.75  # pixels: around any point in a picture a circle of this radius holds the centre of a pixel


def brush(h: int, w: int, rng: np.random.Generator) -> Missing:
    """Broken lines with round ends, each of its own width; they begin anywhere, at any angle, and turn a little."""
    missing, side, corner = np.zeros((h, w), bool), min(h, w), np.array([w, h])
    for _ in range(rng.integers(LINES[0], LINES[1] + 1)):
        start, angle = rng.random(2) * corner, rng.uniform(0, 2 * np.pi)
        radius = max(SMALLEST_STROKE, side * rng.uniform(*WIDTHS) / 2)
        for _ in range(rng.integers(PIECES[0], PIECES[1] + 1)):
            step = side * rng.uniform(*STEPS) * np.array([np.cos(angle), np.sin(angle)])
            end = np.clip(start + step, 0, corner)
            draw_line(missing, start, end, radius)
            start, angle = end, angle + rng.normal(0, TURN)
    return missing


def ellipses(h: int, w: int, rng: np.random.Generator) -> Missing:
    """One or two, upright, anywhere."""
    return draw_shapes(tuple(_ellipse(h, w, rng) for _ in range(rng.integers(1, 3))), h, w)


def _ellipse(h: int, w: int, rng: np.random.Generator) -> Shape:
    centre = rng.uniform(*CENTRES, 2) * (w, h)
    radii = np.maximum(SMALLEST_STROKE, rng.uniform(*RADII, 2) * min(h, w))
    return Shape("ellipse", tuple(Length(float(number)) for number in (*centre, *radii)))
