"""From a photo and its hole to the squares that a model completes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, final

import numpy as np
from jaxtyping import Float

from ..completion.operators import LinearOperator, Operator
from ..errors import HoleError, ImageError, LatentfillError
from ..faces.detector import SURE, Face
from ..faces.placement import Placement
from ..faces.templates import are_flat, are_mirrored
from ..gan.gan import Gan
from ..images.hole_pictures import check_size, grow, is_transparent, to_hole, to_missing
from ..images.photos import Original
from ..images.pixels import central_square
from ..options import Alignment, PhotoOptions
from ..options.validation import check_bounds
from ..texture.outside import diffuse
from ..types import Hole, Pixels
from .data_consistency import Measurement, crop_operator, fill_hidden, read_measurement
from .locate import covered_share, describe_doubts, find_faces, place_upright
from .monochrome import find_tint

Threes = Float[np.ndarray, "n 3 2"]
GIVE = "Give its landmarks (--landmarks), or have the model complete the middle of the photo (--place center)."
SMALLEST_FACE = 40  # pixels a side of the smallest face that the detector finds
COMPACT = 0.4  # least share of its box that a hole over a face fills; an ellipse fills 0.79
SCATTERED = 0.25  # share of a crop that a fine hole may touch beyond what it hides; then it is cut differently
EMPTY = "the hole is empty: nothing is done"
INVENTED = "the hole covers all of it: all of the result is invented"
MARGINS = re.compile(",".join([r"\d{1,9}(\.\d{1,9})?%?"] * 4))
FROM_PHOTO = "filled from the photo; no estimate"
NO_ESTIMATE = {"predicted": None, "share": 0.0, "words": [FROM_PHOTO]}  # in place of a trust when no model was used
LITTLE = 0.15  # with a smaller known share of the crop, the completion could be anybody
REMOVED = "a whole face lies in the hole and is removed. To have one drawn there: --place faces"


@final
@dataclass(frozen=True, eq=False)
class Cut:
    """A photo, its hole [H, W], and the squares of it that the model completes.

    `seen` is the share of the hole that they hold, 0 to 1; `notes` say what a user should know; `faces` are those that
    were found, as far as they were looked for. Of an observed photo the original is what is shown of it.
    """

    original: Original
    hole: Hole
    placements: tuple[Placement, ...]
    crops: tuple[Pixels, ...]
    crop_holes: tuple[Hole, ...]
    seen: float
    notes: tuple[str, ...] = ()
    observed: Measurement | None = None
    faces: tuple[Face, ...] = ()

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The measurement operator of each square, if the photo is an observation."""
        return tuple(crop_operator(self.observed.operator, p) for p in self.placements) if self.observed else ()


def cut(
    original: Original,
    hole: Hole,
    gan: Gan,
    options: PhotoOptions,
    landmarks: Sequence[Any] | np.ndarray = (),
    name: str = "the photo",
    *,
    observed: Measurement | None = None,
    most: int | None = None,
) -> Cut:
    """The squares of a photo that a hole [H, W] touches, as the model wants them; of an observed one, all it can find.

    `landmarks` [n, 3, 2] are x, y of three points for each of n faces, in continuous coordinates (the centre of the
    first pixel is 0.5, 0.5), in the order of the model's alignment. They are used beside the faces that are found.
    With its margins the photo may have at most `most` pixels.

    Raises HoleError if nothing of the photo is known, ImageError if a model of faces finds none or landmarks do not
    suit the photo, and ValueError for options and shapes that cannot be.
    """
    check_bounds(options)
    height, width = original.values.shape[:2]
    check_size(hole.shape, (height, width), "the hole", name)
    given = _check_landmarks(landmarks, height, width, name)
    if options.extend:
        original, hole, (left, top) = extend(original, hole, options.extend, name, most)
        (height, width), given = hole.shape, given + np.array([left, top])
    hole, pixels = _grow(hole, options), original.photo().pixels
    hidden, told = hidden_pixels(original, hole), original.notes
    if gan.network.channels == 1 and original.values.shape[2] == 3 and find_tint(pixels, hidden == 0, hole > 0) is None:
        told = (*told, "the model draws grey pictures: what it finds in a colour photo has no colours of its own")
    if (height, width) == (gan.network.size, gan.network.size):
        whole = Placement.square(0.0, 0.0, float(height), height)
        empty = () if hole.any() or observed is not None else (EMPTY,)
        return Cut(original, hole, (whole,), (pixels,), (hidden,), 1.0, (*told, *empty), observed)
    if hole.all():
        raise HoleError(f"{name}: the hole covers all of it", "Leave a part of the photo known.")
    if not hole.any() and observed is None:
        return Cut(original, hole, (), (), (), 0.0, (*told, EMPTY))
    wanted = hole if observed is None else np.full_like(hole, 255)
    placements, notes, faces = _place(pixels, wanted, hidden, gan, options, given, name)
    pairs = [_crop(placement, pixels, hidden) for placement in placements]
    known = min((1 - np.count_nonzero(gap) / gap.size for _, gap in pairs), default=1.0)
    if known < LITTLE:
        notes = (
            *notes,
            f"the model sees only {100 * known:.0f} % of a square: the face that it draws may be anybody's",
        )
    seen = covered_share(placements, hole) if hole.any() else 1.0
    if observed is not None:
        notes = (*notes, *_measurement_notes(observed, placements, hole, gan, name))
    if seen < 1 and placements:
        rest = f"{100 * (1 - seen):.3g} % of the hole"
        notes = (*notes, f"{rest} is filled from the photo around it, not by the model: no estimate speaks for it")
    elif not placements:
        notes = (*notes, FROM_PHOTO)
    crops, gaps = tuple(zip(*pairs, strict=True)) if pairs else ((), ())
    return Cut(original, hole, placements, crops, gaps, seen, (*told, *notes), observed, faces)


def cut_observed(
    original: Original,
    hole: Hole,
    operator: Operator,
    gan: Gan,
    options: PhotoOptions,
    landmarks: Sequence[Any] | np.ndarray = (),
    name: str = "the photo",
    *,
    most: int | None = None,
) -> Cut:
    """The same of a photo that is such an observation; hole and landmarks are in its own pixels.

    What is wanted may have at most `most` pixels. Raises LatentfillError for what the model cannot do.
    """
    if operator.linear.grey and gan.network.channels == 1:
        raise LatentfillError(
            "the model draws grey pictures, so it knows no colours", "Take a model of colour pictures."
        )
    if options.extend:
        raise HoleError(f"{name}: --extend and --observe do not go together", "Leave one of them out.")
    hole, options = _grow(hole, options), replace(options, grow=0)
    hidden = hidden_pixels(original, hole) if hole.shape == original.values.shape[:2] else np.zeros_like(hole)
    observed = read_measurement(fill_hidden(original, hidden), operator, gan.network.size, name, most)
    times = observed.shown.values.shape[0] / original.values.shape[0]
    points = np.asarray(landmarks, float) * times if len(landmarks) else landmarks
    return cut(observed.shown, observed.hole(hole, name), gan, options, points, name, observed=observed)


def extend(
    original: Original, hole: Hole, margins: str, name: str, most: int | None = None
) -> tuple[Original, Hole, tuple[int, int]]:
    """A photo and its hole with margins "LEFT,TOP,RIGHT,BOTTOM", in pixels or percent, which are to be found.

    And where in it the photo begins, x and y. Raises HoleError for margins that are wider than the photo or cannot be
    understood, and if the photo would have more than `most` pixels.
    """
    height, width = hole.shape
    cure = "Write --extend LEFT,TOP,RIGHT,BOTTOM, in pixels or as 10%, each at most as wide as the photo."
    if MARGINS.fullmatch(margins) is None:
        raise HoleError(f"{margins!r} is not four margins", cure)
    numbers = []
    for margin, side in zip(margins.split(","), (width, height, width, height), strict=True):
        number = float(margin.rstrip("%"))
        numbers.append(round(number * side / 100 if "%" in margin else number))
        if numbers[-1] > side:
            raise HoleError(f"{name}: a margin of {margins} is wider than its {width} x {height} pixels", cure)
    left, top, right, bottom = numbers
    pixels = (left + width + right) * (top + height + bottom)
    if most is not None and pixels > most:
        raise HoleError(f"{name}: it would have {pixels:,} pixels with its margins", f"At most {most:,} are allowed.")
    around = [(top, bottom), (left, right)]
    hole = np.pad(hole, around, constant_values=255)
    alpha = None if original.alpha is None else np.pad(original.alpha, around)
    return replace(original, values=np.pad(original.values, [*around, (0, 0)]), alpha=alpha), hole, (left, top)


def alignment_of(gan: Gan) -> Alignment | None:
    """The alignment of the model's pictures, if they are faces; else None."""
    about = gan.about.get("alignment")
    names = Alignment.__dataclass_fields__
    return Alignment(**{key: value for key, value in about.items() if key in names}) if about else None


def _place(
    pixels: Pixels, hole: Hole, hidden: Hole, gan: Gan, options: PhotoOptions, given: Threes, name: str
) -> tuple[tuple[Placement, ...], tuple[str, ...], tuple[Face, ...]]:
    size, alignment = gan.network.size, alignment_of(gan)
    if options.place == "center" or (options.place == "auto" and alignment is None and not len(given)):
        left, top, right, _ = central_square(*hole.shape)
        middle = Placement.square(float(left), float(top), float(right - left), size)
        return ((middle,) if covered_share([middle], hole) else ()), (), ()
    alignment = alignment or Alignment()
    squares = [place_upright(points, size, alignment) for points in given]
    squares = [square for square in squares if covered_share([square], hole)]
    if squares and covered_share(squares, hole) == 1:
        return tuple(squares), (), ()
    found = find_faces(pixels, hole, hidden, size, alignment, upsample=options.upsample)
    # Beside given landmarks only certain faces count, and not those that the landmarks belong to. If the whole photo is
    # wanted, the large area outside of faces is no reason to accept an uncertain one.
    least = 0.0 if len(given) else -inf
    if hole.all() and any(face.score >= SURE for face in found.faces):
        least = SURE
    certain = [(f, p) for f, p in zip(found.faces, found.placements, strict=True) if f.score >= least]
    removed: tuple[str, ...] = ()
    if options.place == "auto" and not hole.all():
        there = [(f, p) for f, p in certain if np.mean(p.crop_hole(hidden) == 0) >= LITTLE]
        removed = (REMOVED,) if len(there) < len(certain) else ()
        certain = there
    squares += [p for _, p in certain if not any(_is_same_square(p, square) for square in squares)]
    if squares:
        return tuple(squares), (*removed, *describe_doubts([f for f, _ in certain], found.turned)), found.seen
    if removed:
        return (), removed, found.seen
    if not found.elsewhere and (options.place == "faces" or hole.all()):
        raise ImageError(f"{name}: no face was found", GIVE)
    if not _may_hide_face(hole):
        return (), (), found.seen
    where = (
        f"no face was found at the hole, but {found.elsewhere} elsewhere" if found.elsewhere else "no face was found"
    )
    return (), (f"{where}. If the hole hides one: {GIVE[0].lower()}{GIVE[1:]}",), found.seen


def _may_hide_face(hole: Hole) -> bool:
    """True if a hole is large and compact enough to hide a face that could be found: no scratch, no pole."""
    rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    short, long = sorted(int(lines[-1] - lines[0]) + 1 for lines in (rows, columns))
    return bool(short >= SMALLEST_FACE and long <= 2 * short and np.count_nonzero(hole) >= COMPACT * short * long)


def _measurement_notes(
    observed: Measurement, placements: Sequence[Placement], hole: Hole, gan: Gan, name: str
) -> tuple[str, ...]:
    """Notes on what the model can do for a measured photo. Raises ImageError if it can do nothing."""
    operators = [crop_operator(observed.operator, placement) for placement in placements]
    if operators and not hole.any() and all(one == Operator(LinearOperator()) for one in operators):
        side = round(max(p.scale for p in placements) * gan.network.size / observed.operator.linear.factor)
        raise ImageError(
            f"{name}: the photo has all the detail that the model can add: its square is {side} pixels wide",
            f"The model draws {gan.network.size} pixels: give a smaller picture.",
        )
    if observed.operator.linear.grey:
        return (
            "the model colours its squares, and the colours spread from there; what is far away or unlike stays grey",
        )
    return ("outside the model's squares the result is made from the photo's own pixels alone",)


def _crop(placement: Placement, pixels: Pixels, hidden: Hole) -> tuple[Pixels, Hole]:
    """A square of the photo, and what of it is to be found.

    A pixel of the crop with any missing part is not known, unless the hole is so fine that hardly any would be; then
    those are known of which half is there, and have the mean of what is around the rest.
    """
    strict = placement.crop_hole(hidden)
    missing = placement.crop(hidden[..., None])[..., 0] / 255
    if np.count_nonzero(strict) / strict.size - missing.mean() < SCATTERED:
        return placement.crop(pixels), strict
    beyond = placement.crop_hole(np.zeros_like(hidden))  # the part outside of the photo
    loose = np.where((missing > 0.5) | (beyond > 0), np.uint8(255), np.uint8(0))
    if np.count_nonzero(loose) == loose.size:
        return placement.crop(pixels), strict
    return placement.crop(diffuse(pixels, hidden)), loose


def _grow(hole: Hole, options: PhotoOptions) -> Hole:
    """The hole in black and white, widened as requested."""
    return grow(to_hole(to_missing(hole)), options.grow)


def hidden_pixels(original: Original, hole: Hole) -> Hole:
    """The hole and the transparent pixels, where files store arbitrary colours."""
    if original.alpha is None:
        return hole
    return np.where(is_transparent(original.photo().alpha), np.uint8(255), hole)  # type: ignore[arg-type]


def _is_same_square(one: Placement, other: Placement) -> bool:
    """True if the middle of one square is well inside of the other."""
    middle = np.full((1, 2), one.size / 2)
    return bool(np.abs(other.to_crop(one.to_photo(middle)) - middle).max() < one.size / 4)


def _check_landmarks(landmarks: Sequence[Any] | np.ndarray, height: int, width: int, name: str) -> Threes:
    if not len(landmarks):
        return np.zeros((0, 3, 2))
    given = np.asarray(landmarks, float)
    given = given[None] if given.ndim == 2 else given
    if given.shape[1:] != (3, 2):
        raise ValueError(f"landmarks are [n, 3, 2], three points x, y for each face, not {list(given.shape)}")
    room = np.array([width, height])  # the border may cut a face, but a face cannot lie a whole photo away
    if (given < -room).any() or (given > 2 * room).any():
        raise ImageError(
            f"{name}: its landmarks lie outside of its {width} x {height} pixels",
            "Give the positions of its own faces, in pixels.",
        )
    if are_flat(given).any() or are_mirrored(given).any():
        raise ImageError(f"{name}: its landmarks do not form a face", "Give the eye on the picture's left first.")
    return given
