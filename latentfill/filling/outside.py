"""What fills the part of a hole that no model sees: smooth continuations of what is around it, by name."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32
from PIL import Image
from scipy import ndimage

from ..errors import ExtraError
from ..types import Hole, Pixels

Values = Float32[np.ndarray, "_ _ 3"]
Known = Bool[np.ndarray, "_ _"]
Weights = Float32[np.ndarray, "_ _ 1"]
Level = tuple[Values, Weights]  # sums over known pixels, and how many these are

BUDGET = {"biharmonic": 8_000, "telea": 60_000}  # pixels of a hole that are filled in 0.1 s on one core
RADIUS = 3  # pixels that Telea's method looks around; more blurs
FINE = 257  # steps per level: OpenCV adds up to 1.9 steps with each pixel it goes on, a glow if they are whole levels
MIDDLE = 128.0  # grey, where nothing at all is known


def fill(
    photo: Pixels | Float[np.ndarray, "_ _ 3"], hole: Hole, how: Literal["biharmonic", "telea"] = "biharmonic"
) -> Values:
    """The photo, 0..255, with its hole [h, w] filled: float32 [h, w, 3], known pixels as they are given.

    `biharmonic` is the surface that bends least (Damelin and Hoang 2018, in scikit-image), `telea` marches inwards and
    carries lines on (Telea 2004, in OpenCV). What is too large for them is filled on a picture of the means of 2x2,
    4x4, ... known pixels and enlarged; what the known pixels differ from that is spread into the hole as well.

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
    levels = [_first(values, known)]
    while (levels[-1][1] == 0).sum() > BUDGET[how]:
        levels.append(_halved(levels[-1]))
    means, missing = _means(levels[-1]), levels[-1][1][..., 0] == 0
    if how == "biharmonic":
        means, missing = _framed(means, missing)
    small = _biharmonic(means, missing) if how == "biharmonic" else _telea(means, missing)
    if len(levels) > 1:
        large = _enlarged(small, 2 ** (len(levels) - 1), known.shape)
        small = large + _spread(_first(values - large, known))
    return np.where(known[..., None], values, np.clip(small, 0, 255))


def diffuse(photo: Pixels, hole: Hole) -> Pixels:
    """The photo with its hole [h, w] filled by means of ever larger neighbourhoods (pull-push, Gortler et al. 1996).

    A quick guess without edges: faces are looked for on it.
    """
    known = _known(photo, hole)
    if known.all():
        return photo.copy()
    if not known.any():
        return np.full_like(photo, round(MIDDLE))
    guess = _spread(_first(photo.astype(np.float32), known))
    return np.where(known[..., None], photo, np.rint(guess).astype(np.uint8))


def _framed(values: Values, missing: Known) -> tuple[Values, Known]:
    """The hole without the outermost pixels, which get a mean of what is near: a bent surface would run away there."""
    frame = ndimage.binary_erosion(missing, iterations=3, border_value=1)  # near known pixels it has no room to
    frame[1:-1, 1:-1] = False
    if not frame.any() or missing.all():
        return values, missing
    guess = _spread((np.where(missing[..., None], np.float32(0), values), (~missing).astype(np.float32)[..., None]))
    return np.where(frame[..., None], guess, values), missing & ~frame


def _known(photo: np.ndarray, hole: Hole) -> Known:
    if photo.shape[:2] != hole.shape:
        raise ValueError(f"the photo is {photo.shape} but its hole {hole.shape}")
    known: Known = hole == 0
    return known


def _first(values: Values, known: Known) -> Level:
    weights = known[..., None].astype(np.float32)
    return values * weights, weights


def _halved(level: Level) -> Level:
    """Each pixel from four; the last row or column of an odd side stands alone."""

    def sums(values: np.ndarray) -> np.ndarray:
        height, width = values.shape[:2]
        if height % 2 or width % 2:
            values = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)))
        rows = values[::2] + values[1::2]
        return np.asarray(rows[:, ::2] + rows[:, 1::2])

    return sums(level[0]), sums(level[1])


def _means(level: Level) -> Values:
    return np.asarray(level[0] / np.maximum(level[1], 1))


def _spread(level: Level) -> Values:
    """The means of each level where it has any, those of the next one, interpolated, where it has none."""
    means, known = _means(level), level[1] > 0
    if known.all():
        return means
    return np.where(known, means, _doubled(_spread(_halved(level)), known.shape[:2]))


def _doubled(values: Values, shape: tuple[int, ...]) -> Values:
    """Twice as large, linear between the centres of the pixels; cut to the shape."""
    for axis in (0, 1):
        values = values.swapaxes(0, axis)
        padded = np.concatenate([values[:1], values, values[-1:]]) * np.float32(0.25)
        most = values * np.float32(0.75)
        twice = np.empty((2 * len(values), *values.shape[1:]), np.float32)
        np.add(most, padded[:-2], out=twice[::2])
        np.add(most, padded[2:], out=twice[1::2])
        values = twice[: shape[axis]].swapaxes(0, axis)
    return values


def _enlarged(values: Values, times: int, shape: tuple[int, ...]) -> Values:
    """So many times as large, bicubic; cut to the shape."""
    height, width = shape
    box = (0, 0, width / times, height / times)
    channels = [Image.fromarray(np.ascontiguousarray(values[..., i])) for i in range(3)]
    return np.dstack([np.asarray(c.resize((width, height), Image.Resampling.BICUBIC, box=box)) for c in channels])


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
    channels = [np.ascontiguousarray(fine[..., i]) for i in range(3)]  # of 16 bits OpenCV takes one at a time
    return np.dstack([cv2.inpaint(c, where, RADIUS, cv2.INPAINT_TELEA).astype(np.float32) / FINE for c in channels])


def _needs(how: str, library: str) -> ExtraError:
    return ExtraError(f"{how} needs {library}, which is not installed", "Install it: pip install 'latentfill[faces]'.")
