"""Which squares of a photo the model is asked about: those of the faces that the hole touches, half-hidden ones too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import final

import numpy as np
from PIL import Image

from ..faces.detector import Face, find, suppress
from ..faces.templates import place, shear
from ..images.placement import Box, Placement, Points
from ..options import Alignment
from ..types import Hole, Pixels
from .outside import diffuse

WORKING_PIXELS = 1_000_000  # the detector takes 76 ms per megapixel, and sees faces of 80 pixels and more
DOUBT = 0.3  # how much surer a face must be that the hole's content helps to make: paint can look like a mouth
SEEN = 0.5  # with this share of the hole in found faces there is no need to look harder
LOWERED = (-0.3, -0.6)  # below the detector's own threshold, for faces of which the hole hides a part
OWN = 0.2  # share of the hole that a face found at a lowered threshold must hold: doubtful ones are common there
STEEP = 1.3  # faces sheared more than this were not in the training data: their landmarks are doubtful


@final
@dataclass(frozen=True, eq=False)
class Found:
    """The faces at a hole, best first, their squares, and how many more there are in the photo."""

    faces: tuple[Face, ...]
    placements: tuple[Placement, ...]
    elsewhere: int


def find_faces(photo: Pixels, hole: Hole, size: int, alignment: Alignment, *, upsample: int = 1) -> Found:
    """Look for the faces whose squares the hole [H, W] touches, in a photo [H, W, 3], as `size` pixels each.

    Both the photo as it is and the photo with the hole filled by diffusion are searched, since what is in the hole may
    be the face itself (a scratch over it, glasses to be removed) or nothing of it. First the whole photo, then, as
    long as less than half of the hole is in found faces, its surroundings enlarged, and at last with lowered
    thresholds, at which a face counts only if much of the hole lies in it.
    """
    box = _around(hole)
    whole, close = _View.of(photo, hole, Box(0, 0, *hole.shape)), None
    faces: list[Face] = []
    for threshold in (0.0, *LOWERED):
        for near in (False, True):
            if near and close is None:
                close = _View.of(photo, hole, box)
            view = close if near and close is not None else whole
            found = view.faces(alignment, upsample if near else 0, threshold)
            faces = _with_new(faces, found, hole, size, alignment, threshold < 0)
            if _share(faces, hole, size, alignment) >= SEEN:
                return _chosen(faces, hole, size, alignment)
    return _chosen(faces, hole, size, alignment)


def seen_by(placements: Sequence[Placement], hole: Hole) -> float:
    """The share of the hole that lies in any of the squares, 0 to 1; 0 of no hole."""
    total = np.count_nonzero(hole)
    return float(np.count_nonzero(_covered(placements, hole)) / total) if total else 0.0


def upright(points: Points, size: int, alignment: Alignment) -> Placement:
    """The square of a face by its landmarks; without shear where they would shear it strongly."""
    placement = place(points, size, alignment)
    return placement if shear(placement) <= STEEP else place(points, size, replace(alignment, similarity=True))


@final
@dataclass(frozen=True, eq=False)
class _View:
    """A part of the photo at a size that can be searched quickly, as it is and with the hole filled."""

    pixels: Pixels
    filled: Pixels
    box: Box
    scales: tuple[float, float]  # pixels of the photo per pixel here, across and down

    @staticmethod
    def of(photo: Pixels, hole: Hole, box: Box) -> "_View":
        part, gap = photo[box.slices], hole[box.slices]
        (height, width), side = part.shape[:2], part.shape[1::-1]
        scale = sqrt(height * width / WORKING_PIXELS)
        if scale > 1:
            side = ceil(width / scale), ceil(height / scale)
            part = np.asarray(Image.fromarray(part).resize(side, Image.Resampling.BOX, reducing_gap=2.0))
            gap = np.asarray(Image.fromarray(gap).convert("F").resize(side, Image.Resampling.BOX))
        gap = np.where(gap > 0, 255, 0).astype(np.uint8)
        part = np.ascontiguousarray(part)
        return _View(part, diffuse(part, gap), box, (width / side[0], height / side[1]))

    def faces(self, alignment: Alignment, upsample: int, threshold: float) -> list[Face]:
        """Faces in both, in the coordinates of the photo."""
        found = find(self.filled, alignment.landmarks, upsample=upsample, threshold=threshold)
        as_it_is = find(self.pixels, alignment.landmarks, upsample=upsample, threshold=threshold + DOUBT)
        found += [replace(face, score=face.score - DOUBT) for face in as_it_is]
        return [self._in_photo(face) for face in suppress(found)]

    def _in_photo(self, face: Face) -> Face:
        across, down = self.scales
        x, y = self.box.left, self.box.top
        at, scale = np.array([x, y]), np.array([across, down])
        return replace(
            face,
            left=face.left * across + x,
            top=face.top * down + y,
            right=face.right * across + x,
            bottom=face.bottom * down + y,
            points=face.points * scale + at,
            landmarks=face.landmarks * scale + at,
        )


def _around(hole: Hole) -> Box:
    """The hole's surroundings: what a face that it hides the most of would need."""
    rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    if not len(rows):
        return Box(0, 0, *hole.shape)
    more = int(1.5 * max(rows[-1] - rows[0], columns[-1] - columns[0])) + 100
    top, left = max(0, int(rows[0]) - more), max(0, int(columns[0]) - more)
    return Box(top, left, min(hole.shape[0], int(rows[-1]) + more), min(hole.shape[1], int(columns[-1]) + more))


def _with_new(
    faces: list[Face], found: list[Face], hole: Hole, size: int, alignment: Alignment, doubtful: bool
) -> list[Face]:
    """The faces and the found ones that are not among them; of doubtful ones only the best that holds enough."""
    new = [face for face in found if face in suppress([*faces, face]) and len(suppress([*faces, face])) > len(faces)]
    if doubtful:
        new = [f for f in new if seen_by([upright(f.points, size, alignment)], hole) >= OWN][:1]
    return [*faces, *new]


def _share(faces: Sequence[Face], hole: Hole, size: int, alignment: Alignment) -> float:
    return seen_by([upright(face.points, size, alignment) for face in faces], hole)


def _chosen(faces: Sequence[Face], hole: Hole, size: int, alignment: Alignment) -> Found:
    """Those of the faces, best first, that hold a part of the hole that no better one holds."""
    chosen: list[tuple[Face, Placement]] = []
    covered = np.zeros(hole.shape, bool)
    for face in sorted(faces, key=lambda face: -face.rank):
        placement = upright(face.points, size, alignment)
        own = _covered([placement], hole) & ~covered
        if own.any():
            chosen.append((face, placement))
            covered |= own
    return Found(tuple(f for f, _ in chosen), tuple(p for _, p in chosen), len(faces) - len(chosen))


def _covered(placements: Sequence[Placement], hole: Hole) -> np.ndarray:
    covered = np.zeros(hole.shape, bool)
    for placement in placements:
        box = placement.box(*hole.shape)
        covered[box.slices] |= placement.covers(box) & (hole[box.slices] > 0)
    return covered
