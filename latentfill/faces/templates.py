"""Where OpenFace's template wants the landmarks of a face, and the square of the photo that brings them there."""

import numpy as np
from jaxtyping import Float

from ..images.placement import Placement
from ..options import Alignment, LandmarkSet

__all__ = ["Alignment", "LandmarkSet", "place", "points_of", "shear", "template"]

Points = Float[np.ndarray, "3 2"]

# In the order of each set: eye on the picture's left, eye on its right, the lower point. x, y as shares of the side.
TEMPLATES: dict[LandmarkSet, tuple[tuple[float, float], ...]] = {
    "inner-eyes-and-bottom-lip": ((0.363785, 0.177947), (0.618963, 0.172778), (0.500204, 0.750584)),
    "outer-eyes-and-nose": ((0.194157, 0.169267), (0.788859, 0.158171), (0.494951, 0.514441)),
}
POINTS: dict[tuple[LandmarkSet, int], tuple[int, int, int]] = {
    ("inner-eyes-and-bottom-lip", 68): (39, 42, 57),
    ("outer-eyes-and-nose", 68): (36, 45, 33),
    ("outer-eyes-and-nose", 5): (2, 0, 4),
}
HALF_PIXEL = 0.5 / 128


def points_of(landmarks: LandmarkSet, of: int = 68) -> tuple[int, int, int]:
    """Which of dlib's 68 or 5 landmarks, counted from 0, make up a set."""
    if (landmarks, of) not in POINTS:
        raise ValueError(f"expected a set that {of} landmarks contain, one of {sorted(POINTS)}, got {landmarks}")
    return POINTS[landmarks, of]


def template(size: int, alignment: Alignment) -> Points:
    """Where the three points of a face belong in a crop of `size` pixels, in continuous coordinates."""
    middle = np.array(TEMPLATES[alignment.landmarks]) + HALF_PIXEL - 0.5
    return np.asarray(size * (0.5 + middle / alignment.margin))


def place(points: Points, size: int, alignment: Alignment) -> Placement:
    """The square of `size` pixels in which three points of a photo (x, y) come to lie where the template has them.

    Exactly, by an affine map that may shear; or, as a `similarity`, as nearly as turning, scaling and shifting can:
    least squares in the crop, never mirrored. Raises ValueError for points on one line.
    """
    target = template(size, alignment)
    if np.linalg.matrix_rank(points[1:] - points[0], tol=1e-3) < 2:
        raise ValueError(f"expected three points that are no line, got {points.tolist()}")
    if alignment.similarity:
        middle, aim = points.mean(0), target.mean(0)
        here, there = (points - middle) @ (1, 1j), (target - aim) @ (1, 1j)  # of complex numbers, a turn is a factor
        factor = np.vdot(here, here) / np.vdot(here, there)
        linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
        matrix = np.column_stack([linear, middle - linear @ aim])
    else:
        matrix = np.linalg.solve(np.column_stack([target, np.ones(3)]), points).T
    across, down = ((float(a), float(b), float(c)) for a, b, c in matrix)
    return Placement((across, down), size)


def shear(placement: Placement) -> float:
    """How much longer one side of the crop's square became than the other in the photo: 1 for a similarity.

    The ratio of the singular values. Faces above 1.3 were left out of the training data.
    """
    values = np.linalg.svd(np.array(placement.matrix)[:, :2], compute_uv=False)
    return float(values[0] / values[1])
