"""The squares of a photo for the model: those of the faces that the hole touches, half-hidden ones too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import ceil, sqrt
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from ..device import map_in_threads
from ..errors import HoleError
from ..faces import parts as features
from ..faces.detector import SURE, Face, detect_faces, suppress
from ..faces.placement import Box, Placement, Points
from ..faces.templates import place, shear
from ..images import holes
from ..images.hole_pictures import WHITE, DrawnHole, check_size, decode_hole, interpret_array
from ..images.photos import Original, kind_of
from ..options import Alignment, LandmarkSet, ReadLimits
from ..texture.outside import diffuse
from ..types import Hole, Pixels

WHOLE_PIXELS = 1_000_000  # pixels of a first search, at 76 ms per megapixel; the detector finds faces of 80 pixels
NEAR_PIXELS = 350_000  # pixels of the hole's surroundings, which are searched enlarged too
DOUBT = 0.3  # extra score for a face that the hole's content helps to make: paint can look like a mouth
SEEN = 0.5  # with this share of the hole in found faces no further search is needed
THRESHOLDS = (0.0, -0.3, -0.6)  # the detector's own, and lower ones for faces of which the hole hides a part
OWN = 0.2  # share of the hole that a face found at a lowered threshold must cover: false finds are common there
CLEARER = 0.2  # extra score for a face found tilted rather than upright, since upright landmarks are finer
TILTS = (30, -30)  # degrees: the detector finds faces tilted by up to 20, and landmarks are right up to 30
LARGE = 160  # pixels of a face, twice what the detector needs: a tilted one is found without enlarging, too
STEEP = 1.3  # faces sheared more than this were not in the training data, and their landmarks are unreliable


@final
@dataclass(frozen=True, eq=False)
class FaceSearch:
    """The faces at a hole, best first, their squares, and how many more beyond doubt there are in the photo.

    `seen` are all that were found. `turned` says by how many degrees the photo is turned to the left, going by them.
    """

    faces: tuple[Face, ...]
    placements: tuple[Placement, ...]
    elsewhere: int
    turned: int = 0
    seen: tuple[Face, ...] = ()


def find_faces(
    photo: Pixels, hole: Hole, hidden: Hole, size: int, alignment: Alignment, *, upsample: int = 1
) -> FaceSearch:
    """Look for the faces whose squares the hole [H, W] touches, in a photo [H, W, 3], as `size` pixels each.

    `hidden` [H, W] is the hole and what else of the photo does not count, such as what is transparent.

    Both the photo as it is and the photo with the hole filled by diffusion are searched, since what is in the hole may
    be the face itself (a scratch over it, glasses to be removed) or nothing of it. First the whole photo, then, as
    long as less than half of the hole is in found faces, its surroundings enlarged, and at last with lowered
    thresholds, at which a face counts only if much of the hole lies in it. If none at the hole is beyond doubt then,
    it may be tilted: the surroundings are searched so. If none is at all, the photo may lie on its side.
    """
    faces = _search(photo, hole, hidden, size, alignment, upsample)
    turned = 0
    here = [f for f in faces if covered_share([place_upright(f.points, size, alignment)], hole) >= OWN]
    if all(face.score < SURE for face in here):
        view = _View(photo, hidden, _around(hole), NEAR_PIXELS)
        doublings = 0 if any(f.score >= 0 and view.is_large(f) for f in here) else upsample
        tilted = _add_new([], view.tilted_faces(alignment.landmarks, doublings), hole, size, alignment, True)
        if tilted and tilted[0].score > CLEARER + max((face.score for face in here), default=-CLEARER):
            faces = suppress([*tilted, *(face for face in faces if face.score >= 0 or face not in here)])
    if all(face.score < 0 for face in faces):
        others, turned = find_turned(photo, hidden, alignment.landmarks)
        faces = others or faces
    return replace(_choose(faces, hole, size, alignment), turned=turned, seen=tuple(faces))


def draw_feature(photo: Pixels, feature: str, name: str, at: tuple[float, float] | None = None) -> np.ndarray:
    """Draw a part of each face in a photo [H, W, 3], or of the one at a point x, y: bool [H, W].

    Raises HoleError if there is no face.
    """
    height, width = photo.shape[:2]
    nothing = np.zeros((height, width), np.uint8)
    view = _View(photo, nothing, Box(0, 0, height, width), WHOLE_PIXELS)
    seen = view.faces("inner-eyes-and-bottom-lip", 1)
    if at is not None:
        seen = [face for face in seen if _is_at(face, at, height, width)][:1]
    faces = [face for face in seen if face.score >= SURE] or [face for face in seen if face.score >= 0]
    faces = faces or [face for face in view.tilted_faces("inner-eyes-and-bottom-lip", 1) if face.score >= SURE]
    faces = faces or find_turned(photo, nothing, "inner-eyes-and-bottom-lip")[0]
    if at is not None:
        faces = [face for face in faces if _is_at(face, at, height, width)][:1]
    if not faces:
        where = f"for face:{feature}" if at is None else "there"
        raise HoleError(f"{name or 'the photo'}: no face was found {where}", "Paint the hole, or choose another one.")
    return np.asarray(np.any([features.draw(face.landmarks, feature, height, width) for face in faces], axis=0))


def find_turned(photo: Pixels, hidden: Hole, landmarks: LandmarkSet) -> tuple[list[Face], int]:
    """The faces beyond doubt in a photo that lies on its side or its head, and by how much it is turned to the left."""
    best: tuple[list[Face], int] = [], 0
    for quarters in (1, 2, 3):
        view, gap = (np.ascontiguousarray(np.rot90(plane, -quarters)) for plane in (photo, hidden))
        faces = [
            f for f in _View(view, gap, Box(0, 0, *gap.shape), WHOLE_PIXELS).faces(landmarks, 0) if f.score >= SURE
        ]
        if max((f.score for f in faces), default=0) > max((f.score for f in best[0]), default=0):
            best = [_turn_face(face, quarters, *photo.shape[:2]) for face in faces], 90 * quarters
    return best


def _turn_face(face: Face, quarters: int, height: int, width: int) -> Face:
    """A face in a photo of that size, from where it is in the photo turned to the right so often."""
    box = np.array([[face.left, face.top], [face.right, face.bottom]])
    box, points, landmarks = (_turn_points(p, quarters, height, width) for p in (box, face.points, face.landmarks))
    (left, top), (right, bottom) = box.min(0).tolist(), box.max(0).tolist()
    return replace(face, left=left, top=top, right=right, bottom=bottom, points=points, landmarks=landmarks)


def _tilt_face(face: Face, angle: int, tilted: tuple[int, ...], upright: tuple[int, ...]) -> Face:
    """A face in a photo of a size, from its position in the photo rotated to the left by so many degrees."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))

    def tilt(points: np.ndarray) -> np.ndarray:
        x, y = (points - np.array(tilted[::-1]) / 2).T
        return np.stack([cos * x - sin * y, sin * x + cos * y], 1) + np.array(upright[::-1]) / 2

    middle = tilt(np.array([[face.left + face.right, face.top + face.bottom]]) / 2)[0]
    across, down = (face.right - face.left) / 2, (face.bottom - face.top) / 2
    (left, top), (right, bottom) = (middle + sign * np.array([across, down]) for sign in (-1, 1))
    box = {"left": float(left), "top": float(top), "right": float(right), "bottom": float(bottom)}
    return replace(face, **box, points=tilt(face.points), landmarks=tilt(face.landmarks))


def _turn_points(points: np.ndarray, quarters: int, height: int, width: int) -> np.ndarray:
    for i in range(quarters):  # a quarter turn to the left moves the right side to the top
        points = np.stack([points[:, 1], (width, height)[(quarters - i) % 2] - points[:, 0]], 1)
    return points


def _search(photo: Pixels, hole: Hole, hidden: Hole, size: int, alignment: Alignment, upsample: int) -> list[Face]:
    """All faces, surely or perhaps, until they hold enough of the hole."""
    boxes = (Box(0, 0, *hole.shape), _around(hole))
    views = [_View(photo, hidden, *view) for view in zip(boxes, (WHOLE_PIXELS, NEAR_PIXELS), strict=True)]
    faces: list[Face] = []
    for threshold in THRESHOLDS:
        for view, doublings in zip(views, (0, upsample), strict=True):
            found = [face for face in view.faces(alignment.landmarks, doublings) if face.score >= threshold]
            faces = _add_new(faces, found, hole, size, alignment, threshold < 0)
            if covered_share([place_upright(face.points, size, alignment) for face in faces], hole) >= SEEN:
                return faces
    return faces


def describe_doubts(faces: Sequence[Face], turned: int) -> tuple[str, ...]:
    """Notes for the user on faces for the model, in a photo turned so to the left."""
    least = min((face.score for face in faces), default=0.0)
    if faces and turned:
        lies = "stand on its head" if turned == 180 else "lie on its side"
        return (f"the photo seems to {lies}: its faces are looked for and completed so",)
    if least >= 0:
        return ()
    cure = "look at the result. If it looks wrong, turn the photo upright or give landmarks (--landmarks)"
    return (f"the face at the hole is doubtful (score {least:.2f}), perhaps because much of it is hidden: {cure}",)


def covered_share(placements: Sequence[Placement], hole: Hole) -> float:
    """The share of the hole that lies in any of the squares, 0 to 1; 0 of no hole."""
    total = np.count_nonzero(hole)
    return float(np.count_nonzero(_cover(placements, hole)) / total) if total else 0.0


def place_upright(points: Points, size: int, alignment: Alignment) -> Placement:
    """The square of a face by its landmarks; without shear where they would shear it strongly."""
    placement = place(points, size, alignment)
    return placement if shear(placement) <= STEEP else place(points, size, replace(alignment, similarity=True))


@final
class _View:
    """A part of the photo at a size that is searched quickly, once unchanged and once with the hole filled."""

    def __init__(self, photo: Pixels, hole: Hole, box: Box, working_pixels: int) -> None:
        self._photo, self._hole, self._box = photo[box.slices], hole[box.slices], box
        self._shrink = max(1.0, sqrt(self._hole.size / working_pixels))
        self._faces: list[Face] | None = None

    def faces(self, landmarks: LandmarkSet, upsample: int) -> list[Face]:
        """All that may be faces in either, best first, in the coordinates of the photo."""
        if self._faces is None:
            pixels, gap = self._downscale()

            def look(at: tuple[Pixels, float]) -> list[Face]:
                return detect_faces(at[0], landmarks, upsample=upsample, threshold=THRESHOLDS[-1] + at[1])

            found, as_it_is = map_in_threads(look, [(diffuse(pixels, gap), 0.0), (pixels, DOUBT)])
            found += [replace(face, score=face.score - DOUBT) for face in as_it_is]
            self._faces = [self._to_photo(face, pixels) for face in suppress(found)]
        return self._faces

    def is_large(self, face: Face) -> bool:
        return (face.right - face.left) / self._shrink >= LARGE

    def tilted_faces(self, landmarks: LandmarkSet, upsample: int) -> list[Face]:
        """All that may be faces when the part is tilted, best first, in the coordinates of the photo."""
        pixels, gap = self._downscale()
        filled = Image.fromarray(diffuse(pixels, gap))

        def look(angle: int) -> list[Face]:
            tilted = np.asarray(filled.rotate(angle, Image.Resampling.BILINEAR, expand=True))
            seen = detect_faces(tilted, landmarks, upsample=upsample, threshold=THRESHOLDS[1])
            return [_tilt_face(face, angle, tilted.shape[:2], pixels.shape[:2]) for face in seen]

        found = chain.from_iterable(map_in_threads(look, TILTS))
        return [self._to_photo(face, pixels) for face in suppress(found)]

    def _downscale(self) -> tuple[Pixels, Hole]:
        part, gap = Image.fromarray(self._photo), Image.fromarray(self._hole)
        if self._shrink > 1:
            side = ceil(part.width / self._shrink), ceil(part.height / self._shrink)
            part = part.resize(side, Image.Resampling.BOX)
            gap = gap.convert("F").resize(side, Image.Resampling.BOX)
        return np.asarray(part), np.where(np.asarray(gap) > 0, 255, 0).astype(np.uint8)

    def _to_photo(self, face: Face, pixels: Pixels) -> Face:
        across, down = (whole / part for whole, part in zip(self._hole.shape[::-1], pixels.shape[1::-1], strict=True))
        x, y = self._box.left, self._box.top
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


def _is_at(face: Face, point: tuple[float, float], height: int, width: int) -> bool:
    box = face.box(height, width)
    return box.left <= point[0] < box.right and box.top <= point[1] < box.bottom


def _add_new(
    faces: list[Face], found: list[Face], hole: Hole, size: int, alignment: Alignment, doubtful: bool
) -> list[Face]:
    """The faces and the found ones that are not among them; of doubtful ones only the best that holds enough."""
    new = [face for face in found if face in suppress([*faces, face]) and len(suppress([*faces, face])) > len(faces)]
    if doubtful:
        new = [f for f in new if covered_share([place_upright(f.points, size, alignment)], hole) >= OWN][:1]
    return [*faces, *new]


def _choose(faces: Sequence[Face], hole: Hole, size: int, alignment: Alignment) -> FaceSearch:
    """Those of the faces, best first, that hold a part of the hole that no better one holds."""
    chosen: list[tuple[Face, Placement]] = []
    covered = np.zeros(hole.shape, bool)
    for face in sorted(faces, key=lambda face: -face.rank):
        placement = place_upright(face.points, size, alignment)
        own = _cover([placement], hole) & ~covered
        if own.any():
            chosen.append((face, placement))
            covered |= own
    taken = [face for face, _ in chosen]
    elsewhere = sum(face.score >= SURE for face in faces if not any(face is one for one in taken))
    return FaceSearch(tuple(taken), tuple(p for _, p in chosen), elsewhere)


def _cover(placements: Sequence[Placement], hole: Hole) -> np.ndarray:
    covered = np.zeros(hole.shape, bool)
    for placement in placements:
        box = placement.box(*hole.shape)
        covered[box.slices] |= placement.covers(box) & (hole[box.slices] > 0)
    return covered


def draw_hole(
    hole: object,
    original: Original,
    seed: int = 0,
    name: str = "the photo",
    limits: ReadLimits | None = None,
    *,
    invert: bool = False,
    threshold: int = WHITE,
) -> DrawnHole:
    """The hole of a photo, from anything that `Request` takes for one; `limits` are those of files."""
    limits, shape = limits or ReadLimits(), original.values.shape[:2]
    if isinstance(hole, DrawnHole):
        return hole
    if isinstance(hole, str | Path):
        hole = holes.parse(str(hole), invert=invert, threshold=threshold)
    if isinstance(hole, holes.HoleSpec):
        photo = original.photo()
        return holes.draw(hole, shape, seed=seed, photo=photo, name=name, limits=limits, draw_feature=draw_feature)
    if isinstance(hole, bytes):
        drawn = decode_hole(hole, f"{name}: its hole", limits, invert=invert, threshold=threshold)
        check_size(drawn.hole.shape, shape, "the hole", name)
        return drawn
    if not isinstance(hole, np.ndarray) or hole.dtype not in (np.uint8, np.bool_):
        raise TypeError(
            f"a hole is a text, a file, or an array of bool (True = to be found) or uint8 (255), not {kind_of(hole)}"
        )
    if hole.ndim != 2:
        raise ValueError(f"a hole is [H, W], not {list(hole.shape)}")
    return interpret_array(hole)
