"""Find the faces in a photo and their landmarks, with dlib."""

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from math import ceil, floor
from pathlib import Path
from threading import Lock, get_ident
from typing import Any, final

import numpy as np
from jaxtyping import Float
from PIL import Image

from ..errors import ExtraError
from ..options import LandmarkSet
from ..types import Pixels
from .placement import Box
from .templates import points_of

Corners = tuple[float, float, float, float]  # left, top, right, bottom
Sighting = tuple[Corners, float]  # a box and its score

INSTALL = "Install it: pip install 'latentfill[faces]'."
MODELS: dict[LandmarkSet, tuple[str, int]] = {
    "inner-eyes-and-bottom-lip": ("shape_predictor_68_face_landmarks.dat", 68),
    "outer-eyes-and-nose": ("shape_predictor_5_face_landmarks.dat", 5),
}
FIRST_LOOK = 1_000_000  # pixels of the first search, which takes the detector 75 ms
MAX_PIXELS = 16_000_000  # 1.2 s
# At this score the quick first search suffices. In 90 photographs all 239 boxes that scored 0.17 or more were faces; of
# the 13 from there down to -0.3, 3 were.
SURE = 0.3
SAME = 0.4  # common area of two boxes over the area of both; the steps of the detector's scales alone give 0.7
# The predictor returns landmarks as whole pixels. Enlarging a face until its box is this wide lowers the disagreement
# between a picture and its mirror image from 1.5 to 1.0 pixels of a 64-pixel crop.
WIDE = 250
HAIR = 0.2  # share of a face's width by which the face is larger than the detector's box
AROUND = 0.3  # share of a box's width that is kept around it; the chin reaches 0.2 below
LOADING = Lock()  # otherwise two threads may read the landmarks' 95 MB twice


@final
@dataclass(frozen=True, eq=False)
class Face:
    """A face in a photo: a box, the detector's score, and its landmarks (x, y), all in continuous coordinates."""

    left: float
    top: float
    right: float
    bottom: float
    score: float
    """above 0 it is a face, nearly always"""
    points: Float[np.ndarray, "3 2"]
    """the three of the chosen set: eye on the picture's left, eye on its right, lip or nose"""
    landmarks: Float[np.ndarray, "_ 2"]
    """all of dlib's 68, or 5"""

    @property
    def rank(self) -> float:
        """Score times area, by which the best face is chosen: a large box alone may be a pattern like a face."""
        return _rank((_corners(self), self.score))

    def box(self, height: int, width: int) -> Box:
        """The pixels of a photo of that size that show the face and the hair around it."""
        more = HAIR * (self.right - self.left)
        (left, right), (top, bottom) = (
            np.clip((floor(a - more), ceil(b + more)), 0, side).tolist()
            for a, b, side in ((self.left, self.right, width), (self.top, self.bottom, height))
        )
        return Box(top, left, bottom, right)


def detect_faces(
    photo: Pixels,
    landmarks: LandmarkSet = "inner-eyes-and-bottom-lip",
    *,
    upsample: int = 1,
    threshold: float = 0.0,
    everyone: bool = True,
    within: Box | None = None,
    max_pixels: int = MAX_PIXELS,
) -> list[Face]:
    """The faces in a photo [H, W, 3], best first; empty if there are none. A box may reach beyond the photo.

    The detector (histograms of oriented gradients) knows upright faces from the front, at least 80 pixels wide, half
    that for each `upsample`. It takes 75 ms per million pixels, four times that per `upsample`; photos that would have
    more than `max_pixels` then are enlarged less or reduced. With `everyone` False only the best face is wanted, and
    it is looked for in steps, the first in grey and of a reduced photo; most photos need no other.

    `threshold` is the lowest score: 0 is what dlib was made for; of faces with a half hidden it finds a third
    where grey hides them and half to nine tenths where the hole is filled smoothly, -0.5 two thirds and nine tenths,
    but also things that are none. `within` looks only in a part of the photo; the answer is in the photo's coordinates.

    `inner-eyes-and-bottom-lip` needs dlib's 68-point model, whose training pictures exclude commercial use;
    `outer-eyes-and-nose` uses its 5-point model, which is free for any. Raises ExtraError if dlib or the models
    are not installed.
    """
    window, left, top = (photo, 0, 0) if within is None else (photo[within.slices], within.left, within.top)
    if not window.size:
        return []
    found: list[Sighting] = []
    scales = _scales(window.shape[0] * window.shape[1], upsample, everyone, max_pixels)
    quick = [] if everyone else [(scales[0], "L")]
    for scale, colours in [*quick, *((scale, "RGB") for scale in scales)]:
        found += _detect(window, scale, threshold, colours)
        if not everyone and any(score >= SURE for _, score in found):
            break
    best = [found[i] for i in _keep_surest(found)][: None if everyone else 1]
    boxes = [((a + left, b + top, c + left, d + top), score) for (a, b, c, d), score in best]
    return [_face(photo, box, score, landmarks) for box, score in boxes]


def suppress(faces: Iterable[Face]) -> list[Face]:
    """Keep one box for each face, the one with the highest score; best first. For faces found in several versions of a
    photo.
    """
    several = list(faces)
    return [several[i] for i in _keep_surest([(_corners(face), face.score) for face in several])]


def _scales(pixels: int, upsample: int, everyone: bool, max_pixels: int) -> list[float]:
    """The scales of a photo to search, the quickest first; each finds faces half as wide as the one before.

    When everyone is wanted, the last look and the one before: what falls between the steps of one shows in the other.
    """
    last = min(2.0**upsample, (max_pixels / pixels) ** 0.5)
    scales = [min(1.0, last, (FIRST_LOOK / pixels) ** 0.5)]
    while scales[-1] < 0.75 * last:
        scales.append(min(2 * scales[-1], last))
    return scales[-2:] if everyone else scales


def _detect(photo: Pixels, scale: float, threshold: float, colours: str) -> list[Sighting]:
    """Detect faces in the photo at a scale; boxes are in the photo's coordinates.

    In grey (`L`) it takes a sixth less time, and its scores are lower by 0.1: of 499 faces 8 are lost at 0.
    """
    height, width = photo.shape[:2]
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    image = Image.fromarray(photo).convert(colours)
    if scale < 1:
        image = image.resize((across, down), Image.Resampling.BOX, reducing_gap=1.0)
    elif scale > 1:
        image = image.resize((across, down), Image.Resampling.BILINEAR)
    boxes, scores, _ = _detector(get_ident()).run(np.asarray(image), 0, threshold)
    x, y = width / across, height / down
    return [
        ((b.left() * x, b.top() * y, (b.right() + 1) * x, (b.bottom() + 1) * y), float(score))
        for b, score in zip(boxes, scores, strict=True)
    ]


def _face(photo: Pixels, box: Corners, score: float, landmarks: LandmarkSet) -> Face:
    """The face in a box, with its landmarks."""
    name, count = MODELS[landmarks]
    left, top, right, bottom = box
    times = WIDE / (right - left)
    if times > 1:
        edge = AROUND * (right - left)
        x, y = max(0, int(left - edge)), max(0, int(top - edge))
        part = Image.fromarray(photo[y : max(0, int(bottom + edge)), x : max(0, int(right + edge))])
        side = (max(1, round(part.width * times)), max(1, round(part.height * times)))
        seen = np.asarray(part.convert("L").resize(side, Image.Resampling.BILINEAR))
        scale, corner = np.array(side) / part.size, np.array([x, y])
    else:
        seen, scale, corner = np.ascontiguousarray(photo), np.ones(2), np.zeros(2)
    (left, top), (right, bottom) = (np.array([[left, top], [right, bottom]]) - corner) * scale
    rectangle = _dlib().rectangle(round(left), round(top), round(right) - 1, round(bottom) - 1)
    with LOADING:
        predictor = _predictor(name)
    shape = predictor(seen, rectangle)
    points = (np.array([(p.x, p.y) for p in shape.parts()]) + 0.5) / scale + corner  # from pixel indices to centres
    return Face(*box, score, points[list(points_of(landmarks, count))], points)


def _keep_surest(sightings: Sequence[Sighting]) -> list[int]:
    """Keep the surest of those that show the same face; returns their places in the list, best first."""
    kept: list[int] = []
    for i in sorted(range(len(sightings)), key=lambda i: -sightings[i][1]):
        if all(_overlap(sightings[i][0], sightings[j][0]) <= SAME for j in kept):
            kept.append(i)
    return sorted(kept, key=lambda i: -_rank(sightings[i]))


def _rank(sighting: Sighting) -> float:
    box, score = sighting
    return score * _area(box) if score >= 0 else score / _area(box)  # a larger face comes first below 0, too


def _overlap(one: Corners, other: Corners) -> float:
    common = _area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))
    return common / (_area(one) + _area(other) - common)


def _area(box: Corners) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _corners(face: Face) -> Corners:
    return face.left, face.top, face.right, face.bottom


def _dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise ExtraError("finding faces needs dlib", INSTALL) from error
    return dlib


@lru_cache(maxsize=64)
def _detector(thread: int) -> Any:
    """Each thread's own: a detector keeps what it looks at, and lets other threads run meanwhile."""
    with LOADING:
        return pickle.loads(_pickle_detector(_dlib()))


@lru_cache(maxsize=1)
def _pickle_detector(dlib: Any) -> bytes:
    """A detector to copy: dlib makes one in 0.6 s, a copy takes 1 ms."""
    return pickle.dumps(dlib.get_frontal_face_detector())


@lru_cache(maxsize=2)
def _predictor(name: str) -> Any:
    dlib, spec = _dlib(), find_spec("face_recognition_models")  # not imported: that needs an old setuptools
    places = list(spec.submodule_search_locations or []) if spec else []
    path = next((path for place in places if (path := Path(place, "models", name)).is_file()), None)
    if path is None:
        raise ExtraError(f"finding landmarks needs {name} of the package face_recognition_models", INSTALL)
    return dlib.shape_predictor(str(path))
