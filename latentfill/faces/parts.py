"""Parts of faces by their 68 landmarks, as people would paint them: eyes with their lids, a mouth with its lips."""

from math import ceil

import numpy as np
import scipy
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw

Landmarks = Float[np.ndarray, "68 2"]
Where = Bool[np.ndarray, "_ _"]

# Which of the 68 points a part's outline encloses, and its margin, in distances between the eyes' centres.
OUTLINES: dict[str, tuple[tuple[tuple[int, ...], ...], float]] = {
    "eyes": ((tuple(range(36, 42)), tuple(range(42, 48))), 0.12),
    "nose": ((tuple(range(27, 36)),), 0.1),
    "mouth": ((tuple(range(48, 60)),), 0.1),
    "glasses": (((*range(17, 29), *range(36, 48), 0, 16),), 0.14),
    "left": ((tuple(range(68)),), 0.1),
    "right": ((tuple(range(68)),), 0.1),
}
FOREHEAD = 0.6  # height of a face above its brows, in distances from the brows to the lowest point of the nose


def draw(landmarks: Landmarks, feature: str, height: int, width: int) -> Where:
    """Draw a part of a face in a photo of this size; left and right are its halves as the picture shows them."""
    outlines, wider = OUTLINES[feature]
    apart = landmarks[42:48].mean(0) - landmarks[36:42].mean(0)
    drawn = np.zeros((height, width), bool)
    for outline in outlines:
        points = landmarks[list(outline)]
        if feature in ("left", "right"):
            brows = landmarks[17:27]
            points = np.concatenate([points, brows + FOREHEAD * (brows.mean(0) - landmarks[33])])
        _add_polygon(drawn, _outline(points), wider * float(np.hypot(*apart)))
    if feature in ("left", "right"):
        (left, top), (right, bottom) = landmarks[27], landmarks[8]
        rows, columns = np.nonzero(drawn)
        side = (columns + 0.5 - left) * (bottom - top) - (rows + 0.5 - top) * (right - left)
        drawn[rows, columns] = (side < 0) == (feature == "left")
    return drawn


def draw_middle(landmarks: Float[np.ndarray, "_ 2"], height: int, width: int) -> Where:
    """Draw what of a face is nowhere else in it, from the brows to the lips, by its 68 landmarks or its 5."""
    points, wider = (landmarks[17:], 0.1) if len(landmarks) == 68 else (landmarks, 0.4)
    drawn = np.zeros((height, width), bool)
    _add_polygon(drawn, _outline(points), wider * float(np.ptp(points[:, 0])))
    return drawn


def _outline(points: np.ndarray) -> np.ndarray:
    """The corners of the smallest polygon around points; a hair wide if they are on one line, as of a small mouth."""
    try:
        return np.asarray(points[scipy.spatial.ConvexHull(points).vertices])
    except scipy.spatial.QhullError:
        return _outline(np.concatenate([points + hair for hair in ((0, 0), (0.01, 0), (0, 0.01))]))


def _add_polygon(drawn: Where, points: np.ndarray, wider: float) -> None:
    """Everything in a polygon and so near to it, as far as it lies in the photo."""
    margin = ceil(wider) + 1
    left, top = (np.floor(points.min(0)) - margin).astype(int)
    right, bottom = (np.ceil(points.max(0)) + margin).astype(int)
    picture = Image.new("1", (int(right - left), int(bottom - top)))
    corners = [(x - left - 0.5, y - top - 0.5) for x, y in points.tolist()]
    ImageDraw.Draw(picture).polygon(corners, fill=1, outline=1)
    near = scipy.ndimage.distance_transform_edt(~np.asarray(picture)) <= wider
    above, before = max(0, -top), max(0, -left)
    part = drawn[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    part |= near[above : above + part.shape[0], before : before + part.shape[1]]
