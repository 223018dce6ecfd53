"""Fillers for the part of a hole that no model sees: smooth continuations of its surroundings, by name."""

from typing import Literal

import numpy as np
import scipy
from jaxtyping import Bool, Float, Float32
from PIL import Image

from ..errors import ExtraError
from ..faces.placement import Box
from ..types import Hole, Pixels
from .membrane import solve_laplace

Values = Float32[np.ndarray, "_ _ 3"]
Known = Bool[np.ndarray, "_ _"]

BUDGET = {"biharmonic": 8_000, "telea": 60_000}  # pixels of a hole that each fills in 0.1 s on one core
RADIUS = 3  # radius in pixels of Telea's method; a larger one blurs
FINE = 257  # steps per level: OpenCV adds up to 1.9 steps per pixel inwards, which would glow with whole levels
LARGEST = 4_000_000  # most pixels around a hole for which the membrane takes a second,
LONGEST = 7_500  # most sides of pixels along its edge,
FINEST = 0.3  # and most of them for each of its pixels
LEAST = 1e-3  # least weight of known pixels for a mean to count as known
MIDDLE = 128.0  # grey, used where nothing is known


def fill(
    photo: Pixels | Float[np.ndarray, "_ _ 3"], hole: Hole, how: Literal["biharmonic", "telea"] = "biharmonic"
) -> Values:
    """The photo, 0..255, with its hole [h, w] filled: float32 [h, w, 3], known pixels as they are given.

    `biharmonic` is the surface that bends least (Damelin and Hoang 2018, in scikit-image), `telea` marches inwards and
    carries lines on (Telea 2004, in OpenCV). What is too large for them is filled on a picture of means over 2x2,
    4x4, ... pixels and enlarged; what the known pixels differ from that is continued into the hole as well.

    Raises ExtraError if the library is not installed.
    """
    if how not in BUDGET:
        raise ValueError(f"how is one of {', '.join(BUDGET)}, not {how!r}")
    known = _known(photo, hole)
    values: Values = photo.astype(np.float32)
    if known.all():
        return values
    if not known.any():
        return np.full_like(values, MIDDLE)
    small, there = values, known
    while (~there).sum() > BUDGET[how]:
        small, there = _halve(small, there)
    filled = _biharmonic(*_fill_frame(small, ~there)) if how == "biharmonic" else _telea(small, ~there)
    if small is not values:
        large = resize(filled, known.shape, Image.Resampling.BICUBIC)
        filled = large + _continue_smoothly(values - large, known)
    return np.where(known[..., None], values, np.clip(filled, 0, 255))


def diffuse(photo: Pixels, hole: Hole) -> Pixels:
    """The photo with its hole [h, w] filled as smoothly as a soap film, from the nearest known pixels on.

    A quick guess without edges: faces are looked for on it.
    """
    known = _known(photo, hole)
    if known.all():
        return photo.copy()
    if not known.any():
        return np.full_like(photo, round(MIDDLE))
    guess = _continue_smoothly(photo.astype(np.float32), known)
    return np.where(known[..., None], photo, np.rint(guess).astype(np.uint8))


def _fill_frame(values: Values, missing: Known) -> tuple[Values, Known]:
    """The hole without the outermost pixels, which get what `diffuse` says: a bent surface would run away there."""
    frame = scipy.ndimage.binary_erosion(missing, iterations=3, border_value=1)  # near known pixels the surface cannot
    frame[1:-1, 1:-1] = False
    if not frame.any() or missing.all():
        return values, missing
    return np.where(frame[..., None], _continue_smoothly(values, ~missing), values), missing & ~frame


def _known(photo: np.ndarray, hole: Hole) -> Known:
    if photo.shape[:2] != hole.shape:
        raise ValueError(f"the photo is {photo.shape} but its hole {hole.shape}")
    known: Known = hole == 0
    return known


def _continue_smoothly(values: Values, known: Known) -> Values:
    """The values with a membrane over the hole, which nothing but the known pixels at its edge holds.

    A hole that is large, has a long edge, or is so fine that most of it touches known pixels, is filled so on a smaller
    picture of means and then enlarged.
    """
    rows, columns = scipy.ndimage.find_objects((~known).astype(np.uint8))[0]
    box = Box(rows.start, columns.start, rows.stop, columns.stop).expand(1, *known.shape)
    missing = ~known[box.slices]
    framed = np.pad(missing, 1)
    edge = sum(np.count_nonzero(a != b) for a, b in ((framed[1:], framed[:-1]), (framed[:, 1:], framed[:, :-1])))
    if missing.size <= LARGEST and edge <= min(LONGEST, FINEST * np.count_nonzero(missing)):
        result = values.copy()
        result[box.slices] = solve_laplace(values[box.slices], missing)
        return result
    small, there = _halve(values, known)
    small = small if there.all() else _continue_smoothly(small, there)
    return np.where(known[..., None], values, resize(small, known.shape, Image.Resampling.BILINEAR))


def _halve(values: Values, known: Known) -> tuple[Values, Known]:
    """Means of the known pixels, at half the size; those of a mirrored picture are the mirrored ones."""
    shape = tuple((side + 1) // 2 for side in known.shape)
    weights = known[..., None].astype(np.float32)
    total, weight = (resize(part, shape, Image.Resampling.BILINEAR) for part in (values * weights, weights))
    there = weight > LEAST
    return total / np.where(there, weight, 1), there[..., 0]


def resize(
    values: Float32[np.ndarray, "_ _ c"], shape: tuple[int, ...], method: Image.Resampling = Image.Resampling.BICUBIC
) -> Float32[np.ndarray, "_ _ c"]:
    """Resize values [h, w, c] to the height and width of `shape`; they are neither rounded nor clipped."""
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, 2, 0)]
    return np.dstack([np.asarray(plane.resize((shape[1], shape[0]), method)) for plane in planes])


def _biharmonic(values: Values, missing: Known) -> Values:
    try:
        from skimage.restoration import inpaint_biharmonic
    except ImportError as error:
        raise _needs("biharmonic", "scikit-image") from error
    if not missing.any():
        return values
    return np.asarray(255 * inpaint_biharmonic(values / 255, missing, channel_axis=-1), np.float32)


def _telea(values: Values, missing: Known) -> Values:
    try:
        import cv2
    except ImportError as error:
        raise _needs("telea", "OpenCV") from error
    if not missing.any():
        return values
    fine, where = np.rint(values * FINE).astype(np.uint16), missing.astype(np.uint8)
    channels = [np.ascontiguousarray(fine[..., i]) for i in range(3)]  # OpenCV takes one channel of 16 bits at a time
    return np.dstack([cv2.inpaint(c, where, RADIUS, cv2.INPAINT_TELEA).astype(np.float32) / FINE for c in channels])


def _needs(how: str, library: str) -> ExtraError:
    return ExtraError(f"{how} needs {library}, which is not installed", "Install it: pip install 'latentfill[faces]'.")
