"""OpenFace's template of a face's landmarks, and the square of a photo that puts the landmarks there."""

import numpy as np
from jaxtyping import Bool, Complex, Float

from ..options import Alignment, LandmarkSet
from .placement import Placement

Three = Float[np.ndarray, "3 2"]
Threes = Float[np.ndarray, "n 3 2"]
Fives = Float[np.ndarray, "n 5 2"]
Numbers = Complex[np.ndarray, " n"]

COMPLEX = np.array([1, 1j])

# OpenFace's mean face (cmusatyalab/openface, openface/align_dlib.py), with its width and height scaled to 1. Order of
# each set: the eye on the picture's left, the eye on its right, the lower point.
TEMPLATES: dict[LandmarkSet, tuple[tuple[float, float], ...]] = {
    "inner-eyes-and-bottom-lip": ((0.363785, 0.177947), (0.618963, 0.172778), (0.500204, 0.750584)),
    "outer-eyes-and-nose": ((0.194157, 0.169267), (0.788859, 0.158171), (0.494951, 0.514441)),
}
# CelebA's five points in the same frame: centres of the eyes, tip of the nose, corners of the mouth. They are means
# over 1,295 faces that were aligned by the first set; OpenFace's mean face has them within 0.007.
FIVE = ((0.2754, 0.1669), (0.7074, 0.1589), (0.4910, 0.4158), (0.3018, 0.6379), (0.7005, 0.6310))
# OpenFace multiplies the template by the size and uses the result as the index of a pixel, whose centre is half a pixel
# further. The pictures of the shipped model were cut that way at 128 pixels and then shrunk. Cut again from their
# photos, they agree to 0.002 pixels with this offset (231 faces). With half a pixel of 64 they are 0.2 pixels off at
# 64. As a share of the side, the offset makes a crop the same at every size.
OFFSET = 0.5 / 128
POINTS: dict[tuple[LandmarkSet, int], tuple[int, int, int]] = {
    ("inner-eyes-and-bottom-lip", 68): (39, 42, 57),
    ("outer-eyes-and-nose", 68): (36, 45, 33),
    ("outer-eyes-and-nose", 5): (2, 0, 4),
}
FLAT = 1e-3  # share of the longest side of a triangle: narrower triangles do not determine the face's height or width


def points_of(landmarks: LandmarkSet, of: int = 68) -> tuple[int, int, int]:
    """The ones of dlib's 68 or 5 landmarks, counted from 0, that make up a set. The 5 have no inner eyes and lips."""
    if (landmarks, of) not in POINTS:
        raise ValueError(
            f"expected a set and how many points it is taken from, one of {[*POINTS]}, got {landmarks, of}"
        )
    return POINTS[landmarks, of]


def template(size: int, alignment: Alignment) -> Three:
    """The places of a face's three points in a crop of `size` pixels, in continuous coordinates."""
    middle = np.array(TEMPLATES[alignment.landmarks]) + OFFSET - 0.5
    return np.asarray(size * (0.5 + middle / alignment.margin))


def place(points: Three, size: int, alignment: Alignment) -> Placement:
    """The square of `size` pixels in which three points of a photo (x, y) come to lie where the template has them.

    Exactly, by an affine map that can shear; or, as a `similarity`, as nearly as turning, scaling and shifting can:
    least squares in the crop, never mirrored. Raises ValueError for three points on a line.
    """
    if are_flat(points[None])[0]:
        raise ValueError(f"expected three points that are not on one line, got {points.tolist()}")
    target = template(size, alignment)
    if alignment.similarity:
        factor, shift = (complex(value[0]) for value in _similarity(points[None], target))
        turn = (factor.real, -factor.imag, shift.real), (factor.imag, factor.real, shift.imag)
        return Placement(turn, size)
    across, down = np.linalg.solve(np.column_stack([target, np.ones(3)]), points).T.tolist()
    return Placement((tuple(across), tuple(down)), size)


def shear(placement: Placement) -> float:
    """The stretch of the photo along one direction of the crop over that along the other; 1 for a similarity.

    The ratio of the singular values. The shipped model saw no faces above 1.3.
    """
    values = np.linalg.svd(np.array(placement.matrix)[:, :2], compute_uv=False)
    return float(values[0] / values[1])


def three_of_five(five: Fives, landmarks: LandmarkSet) -> Threes:
    """A set's three points in photos, from CelebA's five: eyes, nose, corners of the mouth; left first.

    The mean face is turned, scaled and shifted onto the five. On 600 photographs the three came within 1.7 pixels of
    64 of dlib's; an affine map onto the five did no better (1.75), and shears.
    """
    factor, shift = _similarity(five, np.array(FIVE))
    here = factor[:, None] * (np.array(TEMPLATES[landmarks]) @ COMPLEX) + shift[:, None]
    return np.stack([here.real, here.imag], -1)


def are_flat(points: Threes) -> Bool[np.ndarray, " n"]:
    """True if three points are on one line, or nearly."""
    longest = np.square(points[:, 1:] - points[:, :1]).sum(-1).max(-1)
    return np.asarray(np.abs(_signed_areas(points)) <= FLAT * longest)


def are_mirrored(points: Threes) -> Bool[np.ndarray, " n"]:
    """True if the first of the eyes is not the one on the picture's left, however the face is turned."""
    return np.asarray(_signed_areas(points) < 0)


def _signed_areas(points: Threes) -> Float[np.ndarray, " n"]:
    """Twice the area of the triangles; below 0 if they are run through the other way."""
    (x1, y1), (x2, y2) = (points[:, i].T - points[:, 0].T for i in (1, 2))
    return np.asarray(x1 * y2 - y1 * x2)


def _similarity(points: Float[np.ndarray, "n p 2"], target: Float[np.ndarray, "p 2"]) -> tuple[Numbers, Numbers]:
    """Factor and shift, as complex numbers, that take the targets near the points: a turn is a factor there.

    They undo what fits the points to the targets with the least squares.
    """
    given, wanted = points @ COMPLEX, target @ COMPLEX
    middle, aim = given.mean(1), wanted.mean()
    here, there = given - middle[:, None], wanted - aim
    factor = (np.abs(here) ** 2).sum(1) / (here.conj() @ there)
    return factor, middle - factor * aim
