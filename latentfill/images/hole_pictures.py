"""The one rule by which a picture is read as a hole: files, arrays, uploads, transparency, and the page.

docs/reference/holes.md has it as a table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import scipy
from jaxtyping import UInt8

from ..errors import HoleError
from ..options import ReadLimits
from ..types import Hole, Pixels
from .archives import Source
from .hole_shapes import Missing
from .photos import DEFAULT_LIMITS, Alpha, Photo, read
from .pixels import to_grey

WHITE = 128  # values from this on are white, and opaque
BLACK, BRIGHT = 32, 224  # values in between are grey: compression alone hardly reaches them
COLOURED = 32  # levels between the channels of a pixel that counts as coloured
BAND = 256  # rows of a picture processed together
FARTHEST = 64  # most pixels by which widening a hole is proposed
ROWS_AT_ONCE = 512  # rows measured at once, plus margins: arrays of distances are large


def to_hole(missing: Missing) -> Hole:
    """bool [H, W], True where a pixel is to be found -> uint8, 255 there and 0 elsewhere."""
    return np.where(missing, np.uint8(255), np.uint8(0))


def to_missing(hole: Hole) -> Missing:
    """uint8 [H, W] -> bool, True where the hole is white (128 and above)."""
    return np.asarray(hole >= WHITE)


def is_transparent(alpha: Alpha) -> Missing:
    """uint8 [H, W] -> bool, True where a pixel is so transparent (alpha below 128) that it may be filled."""
    return np.asarray(alpha < WHITE)


def grow(hole: Hole, by: int | str) -> Hole:
    """The hole [H, W] and all pixels whose centres are within a distance, in pixels, of the centre of one of its own.
    "2%" is a share of the picture's shorter side. Raises ValueError for a negative number.
    """
    pixels = by if isinstance(by, int) else round(float(by.removesuffix("%")) / 100 * min(hole.shape))
    if pixels < 0:
        raise ValueError(f"a hole is widened by 0 pixels or more, not {pixels}")
    grown = to_hole(hole > 0)
    for part, distance in _distances(hole > 0, pixels):
        grown[part][distance <= pixels] = 255
    return grown


def growth_to_reach(hole: Missing, targets: Missing, most: int) -> int:
    """The pixels by which a hole must grow to include the `targets` up to a distance; 0 if there are none."""
    least = 0.0
    for part, distance in _distances(hole, most):
        near = distance[targets[part] & (distance <= most)]
        least = max(least, near.max(initial=0.0))
    return int(np.ceil(least))


def _distances(hole: Missing, most: int) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """The distance of each pixel from the hole, in bands of rows; those farther than `most` may be left out."""
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    if not most or not len(rows):
        return
    left, right = max(0, columns[0] - most), columns[-1] + 1 + most
    bottom = min(len(hole), rows[-1] + 1 + most)
    for top in range(max(0, rows[0] - most), bottom, ROWS_AT_ONCE):
        end, begin = min(bottom, top + ROWS_AT_ONCE), max(0, top - most)
        around = hole[begin : end + most, left:right]
        if around.any():
            distances = scipy.ndimage.distance_transform_edt(~around)
            yield (slice(top, end), slice(left, right)), distances[top - begin : end - begin]


@final
@dataclass(frozen=True, eq=False)
class DrawnHole:
    """A hole uint8 [H, W], 255 where a pixel is to be found, and notes for its user.

    With `lowres` the means of 8x8 blocks are known. `soft` pixels of a painted hole are half black or half transparent
    and stay as they are; widened by `grow` pixels, the hole takes in those that lie at its edge.
    """

    hole: Hole
    notes: tuple[str, ...] = ()
    lowres: bool = False
    soft: int = 0
    grow: int = 0


def read_hole(
    source: Source, limits: ReadLimits = DEFAULT_LIMITS, *, invert: bool = False, threshold: int = WHITE
) -> DrawnHole:
    """The hole in a picture file, upright. Raises ImageError as `photos.read` does."""
    return interpret(read(source, limits), invert=invert, threshold=threshold)


def decode_hole(
    data: bytes, name: str, limits: ReadLimits = DEFAULT_LIMITS, *, invert: bool = False, threshold: int = WHITE
) -> DrawnHole:
    """The same of a picture file in memory, by whatever name the errors call it."""
    return read_hole(Source(name, Path(), size=len(data), data=data), limits, invert=invert, threshold=threshold)


def interpret(photo: Photo, *, invert: bool = False, threshold: int = WHITE) -> DrawnHole:
    """A picture as a hole: opaque pixels of the threshold and above are to be found; with `invert`, the others."""
    light = _brightness(photo.pixels)
    opaque = np.ones(light.shape, bool) if photo.alpha is None else photo.alpha >= WHITE
    missing = ((light >= threshold) & opaque) ^ invert
    notes = []
    red, green, blue = (photo.pixels[..., i] for i in range(3))
    apart = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if coloured := int(np.count_nonzero((apart > COLOURED) & opaque)):
        notes.append(
            f"{_count_pixels(coloured)} of the hole {_is_or_are(coloured)} coloured: "
            f"a colour counts as white if its brightness is {threshold} and above"
        )
    half = (light >= threshold) & (light < BRIGHT) if invert else (light >= BLACK) & (light < threshold)
    kind = f"grey ({threshold} and above)" if invert else f"grey (below {threshold})"
    return _with_notes(missing, half & opaque, notes, kind, _empty(light, opaque, invert, threshold), invert)


def interpret_array(values: np.ndarray) -> DrawnHole:
    """An array [H, W] as a hole: True, or 128 and above, is to be found.

    Raises HoleError for one that has values but no white: it is a mask of 0 and 1, more often than not.
    """
    if values.dtype == np.bool_:
        return _with_notes(values, np.zeros_like(values), [], "", "the hole is False all over", False)
    missing, half = to_missing(values), (values >= BLACK) & (values < WHITE)
    empty = _empty(values, np.ones(values.shape, bool), False)
    if values.any() and not missing.any():
        raise HoleError(empty, "Give a mask of 0 and 1 as booleans: hole.astype(bool).")
    return _with_notes(missing, half, [], f"grey (below {WHITE})", empty, False)


def interpret_alpha(alpha: Alpha, *, invert: bool = False) -> DrawnHole:
    """Read the transparent pixels of a photo as its hole; with `invert`, the opaque ones."""
    missing = is_transparent(alpha) ^ invert
    half = (alpha > 0) & (alpha < WHITE) if invert else (alpha >= WHITE) & (alpha < 255)
    kind = f"half transparent (alpha {f'1 to {WHITE - 1}' if invert else f'{WHITE} to 254'})"
    empty = f"no pixel is {'opaque' if invert else 'transparent'} (alpha {'from' if invert else 'below'} {WHITE})"
    return _with_notes(missing, half, [], kind, empty, invert)


def check_size(size: tuple[int, int], expected: tuple[int, int], hole: str, photo: str) -> None:
    """Raise HoleError unless a hole has the size (height, width) of its photo as it is shown."""
    if size == expected:
        return
    what = f"{hole} is {size[1]} x {size[0]} pixels, but {photo} is {expected[1]} x {expected[0]}"
    if size == expected[::-1]:
        cure = "EXIF data may turn the photo: turn the hole as well, or paint it on the photo as it is shown, upright."
        raise HoleError(what, cure)
    raise HoleError(what, "Give both the same size.")


def inversion_note(missing: Missing, *, invert: bool) -> str | None:
    """A note if black and white seem to be exchanged in a hole that someone made."""
    share = float(missing.mean())
    round_about = all(edge.any() for edge in (missing[0], missing[-1], missing[:, 0], missing[:, -1]))
    if share > 0.9 or (share > 0.7 and round_about):
        how = "do not invert it (--no-invert)" if invert else "invert it (--invert)"
        return f"{describe(missing)}: are white and black exchanged? If so, {how}"
    return None


def describe(hole: Hole | Missing) -> str:
    """The share of a picture that is to be found, as "25 % to be found (white)"."""
    return f"{100 * np.count_nonzero(hole) / hole.size:.3g} % to be found (white)"


def _with_notes(missing: Missing, half: Missing, notes: list[str], kind: str, empty: str, invert: bool) -> DrawnHole:
    if not missing.any():
        return DrawnHole(to_hole(missing), (*notes, f"nothing is to be found: {empty}"))
    if exchanged := inversion_note(missing, invert=invert):
        notes.append(exchanged)
    soft = int(np.count_nonzero(half))
    wider = growth_to_reach(missing, half, FARTHEST) if soft else 0
    if soft:
        cure = f": widening the hole by {wider} (--grow {wider}) fills those at its edge, too" if wider else ""
        stay = "stays as it is" if soft == 1 else "stay as they are"
        notes.append(f"{_count_pixels(soft)} {_is_or_are(soft)} {kind} and {stay}{cure}")
    return DrawnHole(to_hole(missing), tuple(notes), soft=soft, grow=wider)


def _brightness(pixels: Pixels) -> UInt8[np.ndarray, "_ _"]:
    """The brightness, computed in bands, because it takes eight bytes a pixel."""
    return np.concatenate([to_grey(pixels[top : top + BAND])[..., 0] for top in range(0, len(pixels), BAND)])


def _empty(light: np.ndarray, opaque: Missing, invert: bool, threshold: int = WHITE) -> str:
    if invert:
        return f"no pixel of the hole is black (below {threshold})"
    largest = int(light[opaque].max(initial=0))
    return f"no pixel of the hole is white; its largest value is {largest}; white is {threshold} and above"


def _count_pixels(count: int) -> str:
    return f"{count:,} pixel{'s' * (count != 1)}"


def _is_or_are(count: int) -> str:
    return "is" if count == 1 else "are"
