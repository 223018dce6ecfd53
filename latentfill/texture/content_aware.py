"""Fill a hole from its surroundings: with copies of the photo's own patches, or a smooth surface if the rim is smooth.

The patches are PatchMatch's (Barnes et al. 2009; the library PyPatchMatch). A large hole is first filled in
a smaller picture. Then we look up which known pixels were copied, and copy them again at twice the size, and twice
that, each time searching nearby (shift maps: Pritch, Kav-Venaki, Peleg 2009). So detail is the photo's at any size.
"""

from dataclasses import dataclass
from threading import Lock
from typing import Literal, final

import numpy as np
import scipy
from jaxtyping import Float32

from ..errors import ExtraError
from ..faces.detector import Face
from ..faces.parts import draw_middle
from ..faces.placement import Box
from ..types import Hole
from .membrane import solve_laplace
from .outside import fill
from .shift_map import RADIUS, Level, ShiftMap, Values, Where

LARGEST_HOLE = 60_000  # pixels of a hole that PyPatchMatch fills in about two seconds,
LARGEST_PICTURE = 400_000  # and of the picture that it copies from
REACH = 0.75  # sources lie within this share of the hole's longer side,
NEAREST = 48  # or within this many pixels
BLOCK = 4  # pixels a side of blocks whose mean colour and contrast are compared with those around the hole
CONTRAST = 2.0  # weight of the contrast in that comparison
BAND = 12  # pixels around the hole that count as its surroundings there
UNLIKE = 20.0  # levels: blocks that differ more from all of the surroundings are another object, and not copied
ENOUGH = 2.0  # areas of the hole that remain as sources at least
MAJORITY = 5  # blocks a side: a majority vote, so that no object is left with gaps
TONE = 40.0  # levels by which the rim is corrected at most: a larger difference is another object, which would leak in
NEAR = 0.1  # share of a hole's longer side, BAND pixels at least: what is this near must be seen to be continued
SMOOTH = 16.0  # scale reported for a smooth surface, which has no grain
RIM = 24  # most pixels around a hole that are tested for smoothness,
SOFT = 2.0  # after a blur of this standard deviation, which removes grain
ROUGH = 3.0  # levels: a rim that differs more from a surface of second order is no sky and no wall
SHARE = 0.98  # share of the rim that must be this smooth
LOCK = Lock()  # all threads share PyPatchMatch's seed


@final
@dataclass(frozen=True, eq=False)
class Filler:
    """Fills what no model sees of a photo [H, W, 3] of 8 or 16 bits; it is what `paste` asks `beyond` its pieces.

    `hidden` [H, W] is above 0 where the photo means nothing. Nothing is copied from the `faces`, so that no eye is
    pasted on a wall. Where the hole reaches into one, skin and hair are: no wall is pasted on a forehead.
    """

    photo: np.ndarray
    hidden: Hole
    faces: tuple[Face, ...] = ()
    how: Literal["auto", "patches", "biharmonic", "telea"] = "auto"
    seed: int = 0

    def __call__(self, box: Box, values: Values, hole: Hole) -> tuple[Values, float]:
        """The values of a box with its hole filled, and their scale: 1 if they have the photo's grain."""
        if self.how in ("biharmonic", "telea"):
            return fill(values, hole, self.how), SMOOTH
        wide = box.union(_surroundings(hole > 0, box, *self.hidden.shape))
        inner = np.s_[box.top - wide.top : box.bottom - wide.top, box.left - wide.left : box.right - wide.left]
        around = np.asarray(self.photo[wide.slices], np.float32) / (257 if self.photo.dtype == np.uint16 else 1)
        around[inner] = values
        avoid = np.where(self.hidden[wide.slices] > 0, np.uint8(255), np.uint8(0))
        gap = np.zeros_like(avoid)
        avoid[inner], gap[inner] = 0, hole
        if self.how == "auto" and is_smooth(around, gap, avoid):
            return fill(values, hole), SMOOTH
        middles = np.zeros(gap.shape, bool)
        for face in self.faces:
            at = face.box(*self.hidden.shape)
            top, left = max(at.top - wide.top, 0), max(at.left - wide.left, 0)
            within = np.s_[top : max(at.bottom - wide.top, 0), left : max(at.right - wide.left, 0)]
            if gap[within].any():
                middles |= draw_middle(face.landmarks - (wide.left, wide.top), *wide.shape)
            else:
                avoid[within] = 255
        if middles.any():
            avoid[middles & ~_is_near(gap)] = 255
        fine = self.photo.dtype == np.uint16
        return fill_content_aware(around, gap, avoid, self.seed, fine=fine)[inner], 1.0


def fill_content_aware(
    values: Values, hole: Hole, avoid: Hole | None = None, seed: int = 0, *, fine: bool = False
) -> Values:
    """The values [h, w, 3], 0..255, with their hole [h, w] filled by patches; known pixels as they are given.

    Nothing is copied from where `avoid` [h, w] is above 0. With `fine` the copies have the steps of the values, as of
    16 bits, and not whole levels, as PyPatchMatch's have. Equal inputs and seeds give equal results, on any number of
    threads. Where nothing can be copied, since no whole patch is known, the hole is filled smoothly.

    Raises ExtraError if PyPatchMatch is not installed.
    """
    missing = hole > 0
    if not missing.any():
        return values.copy()
    usable = ~missing if avoid is None else ~missing & (avoid == 0)
    box = _surroundings(missing, Box(0, 0, *missing.shape), *missing.shape)
    part, gap, usable = values[box.slices], missing[box.slices], usable[box.slices]
    # The copies' values at known pixels show how their tone differs.
    wide = gap | (scipy.ndimage.binary_dilation(gap) & usable)
    levels = [Level(part, wide, usable & ~wide)]
    while _is_large(levels[-1]):
        levels.append(levels[-1].halve())
    if not levels[-1].sources().any():
        return fill(values, hole)
    levels[-1] = _select_similar(levels[-1])
    found = _inpaint(levels[-1], seed, stretch=fine)
    if fine or len(levels) > 1:
        shifts = ShiftMap.of(found, levels[-1].missing, levels[-1].sources(), seed)
        for level in levels[-2::-1]:
            shifts = shifts.double(level.values, level.missing, level.sources())
        if len(levels) == 1:
            shifts = shifts.copy_from(part)
        found = shifts.values()
    found = found + solve_laplace((part - found).clip(-TONE, TONE), gap, ~wide)
    result = values.copy()
    result[box.slices] = np.where(gap[..., None], found.clip(0, 255), part)
    return result


def is_smooth(values: Values, hole: Hole, avoid: Hole | None = None) -> bool:
    """True if a smooth surface goes on all around the hole [h, w]: sky, a wall, whatever is far out of focus."""
    missing = hole > 0
    known = ~missing if avoid is None else ~missing & (avoid == 0)
    rows, columns = scipy.ndimage.find_objects(missing.astype(np.uint8))[0]
    box = Box(rows.start, columns.start, rows.stop, columns.stop)
    width = int(np.clip(max(box.shape) / 4, 6, RIM))
    box = box.expand(width, *missing.shape)
    part, known, missing = values[box.slices], known[box.slices], missing[box.slices]
    rim = known & (scipy.ndimage.distance_transform_edt(~missing) <= width)
    if not rim.any():
        return True
    weight = scipy.ndimage.gaussian_filter(known.astype(np.float32), SOFT)
    soft = scipy.ndimage.gaussian_filter(part * known[..., None], (SOFT, SOFT, 0)) / np.maximum(weight, 1e-6)[..., None]
    y, x = (axis[rim] / max(box.shape) for axis in np.mgrid[: box.shape[0], : box.shape[1]])
    surface = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 1)
    wanted = soft[rim]
    found = surface @ np.linalg.lstsq(surface, wanted, rcond=None)[0]
    return float(np.quantile(abs(found - wanted).max(1), SHARE)) <= ROUGH


def _is_large(level: Level) -> bool:
    return bool(level.missing.sum() > LARGEST_HOLE or level.missing.size > LARGEST_PICTURE)


def _select_similar(level: Level) -> Level:
    """The level with only those sources that resemble something around the hole."""
    weight = _average(level.usable[..., None].astype(np.float32))
    known = level.values * level.usable[..., None]
    mean, square = (_average(part) / np.maximum(weight, 1e-6) for part in (known, known**2))
    contrast = np.sqrt(np.maximum(square - mean**2, 0).mean(-1, keepdims=True))
    looks = np.concatenate([mean, CONTRAST * contrast], -1)
    there = weight[..., 0] > 0.2
    rim = there & (scipy.ndimage.distance_transform_edt(~level.missing)[::BLOCK, ::BLOCK] <= BAND)
    if not rim.any():
        return level
    unlike = np.full(there.shape, np.inf)
    unlike[there] = scipy.spatial.cKDTree(looks[rim]).query(looks[there])[0]
    least = min(int(ENOUGH * level.missing.sum() / BLOCK**2), int(there.sum()) - 1)
    similar = unlike <= max(UNLIKE, np.partition(unlike[there], least)[least])
    similar = rim | (scipy.ndimage.uniform_filter(similar.astype(np.float32), MAJORITY) > 0.5)
    height, width = level.missing.shape
    chosen = level._replace(usable=level.usable & similar.repeat(BLOCK, 0).repeat(BLOCK, 1)[:height, :width])
    return chosen if chosen.sources().any() else level


def _average(values: Float32[np.ndarray, "_ _ c"]) -> Float32[np.ndarray, "_ _ c"]:
    """Weighted means around one pixel of each block."""
    return scipy.ndimage.gaussian_filter(values, (BLOCK, BLOCK, 0), truncate=2)[::BLOCK, ::BLOCK]


def _surroundings(missing: Where, box: Box, height: int, width: int) -> Box:
    """The box of a photo of this size in which patches are searched, for the missing pixels in a box of it."""
    rows, columns = np.flatnonzero(missing.any(1)) + box.top, np.flatnonzero(missing.any(0)) + box.left
    hole = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return hole.expand(max(NEAREST, int(REACH * max(hole.shape))), height, width)


def _is_near(hole: Hole) -> Where:
    """True where a pixel is near the hole [h, w]."""
    side = max(lines.stop - lines.start for lines in scipy.ndimage.find_objects((hole > 0).astype(np.uint8))[0])
    near: Where = scipy.ndimage.distance_transform_edt(hole == 0) <= max(BAND, NEAR * side)
    return near


def _inpaint(level: Level, seed: int, *, stretch: bool = False) -> Values:
    """The values of a level with what PyPatchMatch finds, in its 8 bits; these may be stretched over all values."""
    try:
        from patchmatch import inpaint, patchmatch_available, set_random_seed
    except ImportError:
        patchmatch_available = False
    if not patchmatch_available:
        raise ExtraError(
            "content-aware fill needs PyPatchMatch, which is not installed",
            "Install it: pip install 'latentfill[faces]'; or choose --outside biharmonic.",
        )
    # pixels that are neither filled nor copied from form the library's global mask
    avoid = ~(level.usable | level.missing)
    known = level.values[~level.missing]
    low, high = (float(known.min()), float(known.max())) if stretch else (0.0, 255.0)
    unit = np.float32(max(high - low, 1e-3) / 255)
    photo = np.rint((level.values - np.float32(low)) / unit).clip(0, 255).astype(np.uint8)
    with LOCK:
        set_random_seed(seed % 2**32)
        filled = inpaint(photo, level.missing, global_mask=avoid if avoid.any() else None, patch_size=RADIUS)
    return filled * unit + np.float32(low)
