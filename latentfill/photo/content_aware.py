"""Fill a hole with what is around it: copies of the photo's own patches, or a smooth surface where the rim is smooth.

The patches are PatchMatch's (Barnes et al. 2009; the library PyPatchMatch). Of a large hole it fills a small picture;
which known pixels it copied is then looked up and copied again at twice the size, and twice that, each time searched
near (as shift maps are: Pritch, Kav-Venaki, Peleg 2009), so that detail is the photo's own at any size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal, NamedTuple, final

import numpy as np
import scipy
from jaxtyping import Bool, Float32, Int

from ..errors import ExtraError
from ..faces.placement import Box
from ..seeds import Stream, philox
from ..types import Hole
from .outside import fill
from .poisson import solve_laplace

Values = Float32[np.ndarray, "_ _ 3"]
Where = Bool[np.ndarray, "_ _"]
Numbers = Int[np.ndarray, " _"]
Differences = Float32[np.ndarray, " _"]

RADIUS = 3  # pixels around the middle of a patch: the library's own 15 is slow and no better
LARGEST_HOLE = 60_000  # pixels of a hole that PyPatchMatch fills in about two seconds,
LARGEST_PICTURE = 400_000  # and of the picture that it copies from
REACH = 0.75  # what is copied lies no farther from the hole than this share of its longer side,
NEAREST = 48  # or so many pixels
BLOCK = 4  # pixels: of blocks so large the mean colour and the contrast are compared with those around the hole,
CONTRAST = 2.0  # which counts so many times,
BAND = 12  # which reaches so far from it:
UNLIKE = 20.0  # levels; what differs more from all there is another thing, and is not copied
ENOUGH = 2.0  # areas of the hole are left at least
MAJORITY = 5  # blocks a side: most of them decide, so that no object is left with gaps
TONE = 40.0  # levels that the rim may differ by; more is another thing than what was copied, which would leak in
SMOOTH = 16.0  # the scale of a smooth surface, which has no grain
RIM = 24  # pixels around a hole, at most, by which it is judged,
SOFT = 2.0  # after a blur of this standard deviation, which takes grain away:
ROUGH = 3.0  # levels; what differs more from a surface of second order is no sky and no wall
SHARE = 0.98  # of the rim that must be so smooth
PATTERN = [(y, x) for y in (-3, 0, 3) for x in (-3, 0, 3)]  # where two patches are compared
NEIGHBOURS = [(-1, 0), (0, -1), (0, 1), (1, 0)]
NEAR = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
BLEND = {(y, x): 0.5 ** (abs(y) + abs(x)) for y in (-2, -1, 0, 1, 2) for x in (-2, -1, 0, 1, 2) if (y + x) % 2 == 0}
CORNERS = [(y, x) for y in (-2, 2) for x in (-2, 2)]
SWEEPS = 3  # in which pixels take over their neighbours' shifts; one will do after that
AGREEMENT = 0.5  # what it costs to be shifted otherwise than a neighbour, as a share of the mean difference
EQUAL = 1.0  # a squared difference, in levels, below which there is nothing to search for
SEARCHED = 400_000  # pixels of a hole, at most, of a size that is searched; larger ones are copied alone
SOURCES = 30_000  # patches among which those that were copied are looked up,
COMPONENTS = 8  # by so many numbers
SLACK = 0.5  # by which what is found may be farther off than the nearest
CHUNK = 500_000  # pixels that are compared at once: memory
LOCK = Lock()  # the seed of PyPatchMatch is one for all threads


@final
@dataclass(frozen=True, eq=False)
class Filler:
    """Fills what no model sees of a photo [H, W, 3] of 8 or 16 bits; it is what `paste` asks `beyond` its pieces.

    `hidden` [H, W] is above 0 where the photo means nothing. Of the `faces` nothing is copied: no eye is pasted on a
    wall.
    """

    photo: np.ndarray
    hidden: Hole
    faces: tuple[Box, ...] = ()
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
        for face in self.faces:
            top, left = max(face.top - wide.top, 0), max(face.left - wide.left, 0)
            avoid[top : max(face.bottom - wide.top, 0), left : max(face.right - wide.left, 0)] = 255
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
    # What is found for known pixels tells how its tone differs.
    wide = gap | (scipy.ndimage.binary_dilation(gap) & usable)
    levels = [_Level(part, wide, usable & ~wide)]
    while levels[-1].is_large:
        levels.append(levels[-1].halve())
    if not levels[-1].sources().any():
        return fill(values, hole)
    levels[-1] = levels[-1].select_similar()
    found = _inpaint(levels[-1], seed, stretch=fine)
    if fine or len(levels) > 1:
        shifts = _ShiftMap.of(found, levels[-1].missing, levels[-1].sources(), seed)
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


class _Level(NamedTuple):
    """A part of the photo at one size."""

    values: Values
    missing: Where
    usable: Where

    @property
    def is_large(self) -> bool:
        return bool(self.missing.sum() > LARGEST_HOLE or self.missing.size > LARGEST_PICTURE)

    def halve(self) -> "_Level":
        """Means of 2x2 pixels; one that misses any of them is missing, and is not copied from."""
        odd = [(0, side % 2) for side in self.missing.shape]
        values = np.pad(self.values, [*odd, (0, 0)], mode="edge")
        corners = [(i, j) for i in (0, 1) for j in (0, 1)]
        missing, usable = (np.pad(where, odd) for where in (self.missing, self.usable))
        return _Level(
            np.asarray(np.mean([values[i::2, j::2] for i, j in corners], 0, np.float32)),
            np.logical_or.reduce([missing[i::2, j::2] for i, j in corners]),
            np.logical_and.reduce([usable[i::2, j::2] for i, j in corners]),
        )

    def select_similar(self) -> "_Level":
        """The level of which only what resembles something around the hole may be copied."""
        weight = _average(self.usable[..., None].astype(np.float32))
        known = self.values * self.usable[..., None]
        mean, square = (_average(part) / np.maximum(weight, 1e-6) for part in (known, known**2))
        contrast = np.sqrt(np.maximum(square - mean**2, 0).mean(-1, keepdims=True))
        looks = np.concatenate([mean, CONTRAST * contrast], -1)
        there = weight[..., 0] > 0.2
        rim = there & (scipy.ndimage.distance_transform_edt(~self.missing)[::BLOCK, ::BLOCK] <= BAND)
        if not rim.any():
            return self
        unlike = np.full(there.shape, np.inf)
        unlike[there] = scipy.spatial.cKDTree(looks[rim]).query(looks[there])[0]
        least = min(int(ENOUGH * self.missing.sum() / BLOCK**2), int(there.sum()) - 1)
        similar = unlike <= max(UNLIKE, np.partition(unlike[there], least)[least])
        similar = rim | (scipy.ndimage.uniform_filter(similar.astype(np.float32), MAJORITY) > 0.5)
        height, width = self.missing.shape
        chosen = self._replace(usable=self.usable & similar.repeat(BLOCK, 0).repeat(BLOCK, 1)[:height, :width])
        return chosen if chosen.sources().any() else self

    def sources(self) -> Where:
        """The middles of patches that may be copied."""
        return scipy.ndimage.minimum_filter(self.usable, 2 * RADIUS + 1, mode="constant", cval=False)


def _average(values: Float32[np.ndarray, "_ _ c"]) -> Float32[np.ndarray, "_ _ c"]:
    """Weighted means around one pixel of each block."""
    return scipy.ndimage.gaussian_filter(values, (BLOCK, BLOCK, 0), truncate=2)[::BLOCK, ::BLOCK]


def _surroundings(missing: Where, box: Box, height: int, width: int) -> Box:
    """The box of a photo of this size in which patches are looked for, for what is missing in a box of it."""
    rows, columns = np.flatnonzero(missing.any(1)) + box.top, np.flatnonzero(missing.any(0)) + box.left
    hole = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return hole.expand(max(NEAREST, int(REACH * max(hole.shape))), height, width)


def _inpaint(level: _Level, seed: int, *, stretch: bool = False) -> Values:
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
    # a pixel that is neither filled nor copied from is the library's global mask
    avoid = ~(level.usable | level.missing)
    known = level.values[~level.missing]
    low, high = (float(known.min()), float(known.max())) if stretch else (0.0, 255.0)
    unit = np.float32(max(high - low, 1e-3) / 255)
    photo = np.rint((level.values - np.float32(low)) / unit).clip(0, 255).astype(np.uint8)
    with LOCK:
        set_random_seed(seed % 2**32)
        filled = inpaint(photo, level.missing, global_mask=avoid if avoid.any() else None, patch_size=RADIUS)
    return filled * unit + np.float32(low)


@final
@dataclass(frozen=True, eq=False)
class _ShiftMap:
    """For each pixel of a hole, from how far away it is copied (Pritch, Kav-Venaki, Peleg 2009).

    It lies in a picture with a frame, as one row of pixels, so that a shift is one number.

    `inside` are the numbers of the hole's pixels, `shifts` what to add to the number of any of them for that of the
    known pixel which it is copied from; 0 elsewhere.
    """

    pixels: Float32[np.ndarray, "n 3"]
    sources: Bool[np.ndarray, " n"]
    inside: Numbers
    shifts: Int[np.ndarray, " n"]
    width: int

    @staticmethod
    def of(filled: Values, missing: Where, sources: Where, seed: int) -> "_ShiftMap":
        """Of a picture whose hole was filled with patches around the `sources`: each is looked up."""
        made = _pad_map(filled, missing, sources)
        rng = philox(Stream.PATCHES.key(seed))
        from_ = np.flatnonzero(made.sources)
        if len(from_) > SOURCES:
            from_ = np.sort(rng.choice(from_, SOURCES, replace=False))
        known, wanted = made._patches(from_), made._patches(made.inside)
        known, wanted = known - known.mean(0), wanted - known.mean(0)
        axes = np.linalg.eigh(known.T @ known)[1][:, -COMPONENTS:]
        nearest = scipy.spatial.cKDTree(known @ axes).query(wanted @ axes, eps=SLACK)[1]
        made.shifts[made.inside] = from_[nearest] - made.inside
        made._search(sweeps=SWEEPS)
        return made

    def double(self, values: Values, missing: Where, sources: Where) -> "_ShiftMap":
        """The map of a picture of twice the size, searched near what the small one says."""
        made = _pad_map(values, missing, sources)
        rows, columns = np.divmod(made.inside, made.width)
        small = (rows - RADIUS) // 2 + RADIUS, (columns - RADIUS) // 2 + RADIUS
        at = small[0] * self.width + small[1]
        down, across = (b - a for a, b in zip(small, np.divmod(at + self.shifts[at], self.width), strict=True))
        made.shifts[made.inside] = 2 * (down * made.width + across)
        made._copy()
        if len(made.inside) <= SEARCHED:
            made._search(NEAR)
            made._copy()
        return made

    def copy_from(self, values: Values) -> "_ShiftMap":
        """The same map, with copies of these values."""
        made = replace(self, pixels=_pad_pixels(values))
        made._copy()
        return made

    def values(self) -> Values:
        framed = self.pixels.reshape(-1, self.width, 3)
        return framed[RADIUS:-RADIUS, RADIUS:-RADIUS]

    def _patches(self, at: Numbers) -> Float32[np.ndarray, "_ c"]:
        return np.concatenate([self.pixels[at + y * self.width + x] for y, x in PATTERN], 1)

    def _copy(self) -> None:
        """Fill the hole with the mean of the copies that a pixel and its neighbours ask for."""
        for at in self._chunks(self.inside):
            shift = self.shifts[at]
            self.pixels[at] = self.pixels[at + shift]
            at = at[np.any([self.shifts[at + y * self.width + x] != shift for y, x in CORNERS], 0)]
            total, weights = np.zeros((len(at), 3), np.float32), np.zeros(len(at), np.float32)
            for (y, x), weight in BLEND.items():
                shift = self.shifts[at - y * self.width - x]
                there = np.float32(weight) * (shift != 0)
                total += self.pixels[at + shift] * there[:, None]
                weights += there
            self.pixels[at] = total / weights[:, None]

    def _search(self, near: Sequence[tuple[int, int]] = (), sweeps: int = 1) -> None:
        """Let pixels take over shifts of neighbours, and `near` ones, where patches then fit better."""
        differences = np.zeros(len(self.pixels), np.float32)
        differences[self.inside] = self._compare(self.inside, self.shifts[self.inside])
        apart = np.float32(AGREEMENT) * differences[self.inside].mean()
        steps = [y * self.width + x for y, x in NEIGHBOURS]
        for _ in range(sweeps):
            at = self.inside[differences[self.inside] > EQUAL]
            for y, x in near:
                self._improve(at, self.shifts[at] + y * self.width + x, differences, apart)
            for step in (*steps, *(RADIUS * step for step in reversed(steps))):
                self._improve(self.inside, self.shifts[self.inside + step], differences, apart)

    def _improve(self, at: Numbers, shifts: Numbers, differences: Differences, apart: np.float32) -> None:
        new = (shifts != 0) & (shifts != self.shifts[at])
        at, shifts = at[new], shifts[new]
        found = self._compare(at, shifts)
        better = found + apart * self._count_disagreements(at, shifts) < differences[
            at
        ] + apart * self._count_disagreements(at, self.shifts[at])
        self.shifts[at[better]], differences[at[better]] = shifts[better], found[better]

    def _count_disagreements(self, at: Numbers, shifts: Numbers) -> Numbers:
        """Count the neighbours in the hole that are shifted otherwise."""
        others = [self.shifts[at + y * self.width + x] for y, x in NEIGHBOURS]
        return np.asarray(np.sum([(other != 0) & (other != shifts) for other in others], 0))

    def _compare(self, at: Numbers, shifts: Numbers) -> Differences:
        """The mean squared difference between patches and those they would be copied from; infinite if they may not."""
        found = np.full(len(at), np.inf, np.float32)
        allowed = np.flatnonzero((at + shifts >= 0) & (at + shifts < len(self.pixels)))
        allowed = allowed[self.sources[(at + shifts)[allowed]]]
        for part in self._chunks(allowed):
            here, there = at[part], at[part] + shifts[part]
            total = np.zeros(len(part), np.float32)
            for y, x in PATTERN:
                step = y * self.width + x
                total += np.square(self.pixels[here + step] - self.pixels[there + step]).sum(1)
            found[part] = total / (3 * len(PATTERN))
        return found

    def _chunks(self, numbers: Numbers) -> list[Numbers]:
        return [numbers[i : i + CHUNK] for i in range(0, len(numbers), CHUNK)]


def _pad_map(values: Values, missing: Where, sources: Where) -> _ShiftMap:
    frame = [(RADIUS, RADIUS)] * 2
    pixels = _pad_pixels(values)
    inside = np.flatnonzero(np.pad(missing, frame))
    nothing = np.zeros(len(pixels), np.int64)
    return _ShiftMap(pixels, np.pad(sources, frame).ravel(), inside, nothing, values.shape[1] + 2 * RADIUS)


def _pad_pixels(values: Values) -> Float32[np.ndarray, "n 3"]:
    return np.pad(values, [*[(RADIUS, RADIUS)] * 2, (0, 0)], mode="edge").reshape(-1, 3)
