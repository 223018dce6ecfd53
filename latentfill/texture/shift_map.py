"""The source of each pixel of a hole (shift maps: Pritch, Kav-Venaki, Peleg 2009), searched from small to large."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, final

import numpy as np
import scipy
from jaxtyping import Bool, Float32, Int

from ..seeds import Stream, philox

Values = Float32[np.ndarray, "_ _ 3"]
Where = Bool[np.ndarray, "_ _"]
Numbers = Int[np.ndarray, " _"]
Differences = Float32[np.ndarray, " _"]
RADIUS = 3  # radius of a patch in pixels: the library's own 15 is slow and no better
PATTERN = [(y, x) for y in (-3, 0, 3) for x in (-3, 0, 3)]  # points at which two patches are compared
NEIGHBOURS = [(-1, 0), (0, -1), (0, 1), (1, 0)]
NEAR = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
BLEND = {(y, x): 0.5 ** (abs(y) + abs(x)) for y in (-2, -1, 0, 1, 2) for x in (-2, -1, 0, 1, 2) if (y + x) % 2 == 0}
CORNERS = [(y, x) for y in (-2, 2) for x in (-2, 2)]
SWEEPS = 3  # first sweeps, in which pixels adopt their neighbours' shifts; later sizes need one
AGREEMENT = 0.5  # cost of a shift that differs from a neighbour's, as a share of the mean difference
EQUAL = 1.0  # squared difference, in levels, below which no search is needed
SEARCHED = 400_000  # most pixels of a hole at a size that is searched; larger sizes are only copied
SOURCES = 30_000  # most patches among which the copied ones are looked up,
COMPONENTS = 8  # by this many principal components
SLACK = 0.5  # relative distance by which a match may be farther than the nearest
CHUNK = 500_000  # pixels that are compared at once, because of memory


class Level(NamedTuple):
    """A part of the photo at one size."""

    values: Values
    missing: Where
    usable: Where

    def halve(self) -> "Level":
        """Means of 2x2 pixels; one that misses any of them is missing, and is not copied from."""
        odd = [(0, side % 2) for side in self.missing.shape]
        values = np.pad(self.values, [*odd, (0, 0)], mode="edge")
        corners = [(i, j) for i in (0, 1) for j in (0, 1)]
        missing, usable = (np.pad(where, odd) for where in (self.missing, self.usable))
        return Level(
            np.asarray(np.mean([values[i::2, j::2] for i, j in corners], 0, np.float32)),
            np.logical_or.reduce([missing[i::2, j::2] for i, j in corners]),
            np.logical_and.reduce([usable[i::2, j::2] for i, j in corners]),
        )

    def sources(self) -> Where:
        """The middles of patches that may be copied."""
        return scipy.ndimage.minimum_filter(self.usable, 2 * RADIUS + 1, mode="constant", cval=False)


@final
@dataclass(frozen=True, eq=False)
class ShiftMap:
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
    def of(filled: Values, missing: Where, sources: Where, seed: int) -> "ShiftMap":
        """The map of a picture whose hole was filled with patches around the `sources`: each patch is looked up."""
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
        made.search(sweeps=SWEEPS)
        return made

    def double(self, values: Values, missing: Where, sources: Where) -> "ShiftMap":
        """The map of a picture of twice the size, searched near the small map's shifts, with its copies in it."""
        made = self.enlarge(values, missing, sources)
        made._copy()
        if len(made.inside) <= SEARCHED:
            made.search(NEAR)
            made._copy()
        return made

    def enlarge(self, values: Values, missing: Where, sources: Where) -> "ShiftMap":
        """The map of a picture of twice the size, with the small map's shifts."""
        made = _pad_map(values, missing, sources)
        rows, columns = np.divmod(made.inside, made.width)
        small = (rows - RADIUS) // 2 + RADIUS, (columns - RADIUS) // 2 + RADIUS
        at = small[0] * self.width + small[1]
        down, across = (b - a for a, b in zip(small, np.divmod(at + self.shifts[at], self.width), strict=True))
        made.shifts[made.inside] = 2 * (down * made.width + across)
        return made

    def copy_from(self, values: Values, *, mix: bool = True) -> "ShiftMap":
        """The same map, with copies of these values, each mixed with those that its neighbours ask for if `mix`."""
        made = replace(self, pixels=_pad_pixels(values))
        if mix:
            made._copy()
        else:
            made.pixels[made.inside] = made.pixels[made.inside + made.shifts[made.inside]]
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

    def search(self, near: Sequence[tuple[int, int]] = (), sweeps: int = 1) -> None:
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


def _pad_map(values: Values, missing: Where, sources: Where) -> ShiftMap:
    frame = [(RADIUS, RADIUS)] * 2
    pixels = _pad_pixels(values)
    inside = np.flatnonzero(np.pad(missing, frame))
    nothing = np.zeros(len(pixels), np.int64)
    return ShiftMap(pixels, np.pad(sources, frame).ravel(), inside, nothing, values.shape[1] + 2 * RADIUS)


def _pad_pixels(values: Values) -> Float32[np.ndarray, "n 3"]:
    return np.pad(values, [*[(RADIUS, RADIUS)] * 2, (0, 0)], mode="edge").reshape(-1, 3)
