"""The outline of an object that someone has roughly painted over, by OpenCV's GrabCut (Rother et al., 2004)."""

from threading import Lock

import numpy as np
import scipy
from jaxtyping import UInt8

from ..errors import ExtraError, HoleError
from ..types import Hole, Pixels
from .hole_pictures import check_size, to_hole, to_missing
from .hole_shapes import Missing

SIDE = 600  # pixels of the longer side in GrabCut's last step
COARSE = 200  # the same in its first step, which takes half a minute on large pictures
ITERATIONS, LAST_ITERATIONS = 5, 1
EDGE = 6  # pixels of the large picture beside the small picture's outline that are decided again
SEED = 4
CLICK = 4  # pixels around a stroke that also count as painted, in GrabCut's picture: a click is a stroke
REACH = 0.5  # how far an object may extend beyond its stroke, in longer sides of the stroke
LEAST_REACH = 0.1  # the same for short strokes, in shorter sides of the photo
GROUND = 0.3  # width of the background that is used around that, in longer sides of the stroke
CORE = 0.5  # share of a stroke's greatest depth; deeper pixels surely belong to the object
GAP = 3  # pixels by which each end of a line may miss the other, and still enclose something
OUTLINE = 1.0  # enclosed area, in areas of the line, from which on the line was drawn around the object
TINY = 0.2  # share of a box; an object that fills less means that the box was painted on the object
LEAK = 3.0  # areas of a stroke; if its object has more, the stroke may have been drawn around the object
HALF = 0.5  # areas of a stroke; an object with less has not been found
RIM = 0.2  # share of a region's rim; an object that covers less lies within the region
SPECK = 0.05  # share of the largest part; smaller parts are left out
GROUND_LABEL, OBJECT_LABEL, MAYBE_GROUND, MAYBE_OBJECT = range(4)  # cv2.GC_BGD, GC_FGD, GC_PR_BGD, GC_PR_FGD
_lock = Lock()  # OpenCV's random numbers may be global


def select_object(photo: Pixels, stroke: Hole) -> Hole:
    """The object under a rough stroke, without gaps: uint8 [H, W], 255 on the object and 0 elsewhere.

    `photo` is uint8 [H, W, 3], `stroke` uint8 [H, W], painted where it is 128 and above. A closed line and a
    filled box hold the whole object; beyond any other stroke it may reach by half the stroke's size. A box of which
    next to nothing is object counts as a stroke. A stroke whose object is far larger or smaller counts as drawn around
    it. GrabCut sees the surroundings with at most 600 pixels a side. Equal arguments give equal results.

    Raises HoleError for a stroke of another size, of nothing or of all, and if no object stands out; ExtraError
    without OpenCV.
    """
    check_size(stroke.shape, photo.shape[:2], "the stroke", "the photo")
    painted = to_missing(stroke)
    if not painted.any() or painted.all():
        how = "all" if painted.any() else "nothing"
        raise HoleError(f"the stroke covers {how} of the photo", "Paint roughly over one object, or a box around it.")
    rows, columns = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    drawn = np.count_nonzero(painted)
    closed = scipy.ndimage.binary_closing(np.pad(painted[box], GAP), iterations=GAP)
    within = scipy.ndimage.binary_fill_holes(closed)[GAP:-GAP, GAP:-GAP]
    is_outline = bool(np.count_nonzero(within) - drawn >= OUTLINE * drawn)
    painted[box] = within if is_outline else scipy.ndimage.binary_fill_holes(painted[box])
    is_box = bool(painted[box].all())  # a round brush paints no box
    selected = np.zeros_like(painted)
    if is_outline or is_box:
        selected = _read(photo, painted, box, is_region=True)
    if not is_outline and np.count_nonzero(selected) < TINY * np.count_nonzero(painted):
        selected = _read_stroke(photo, painted, box)
    if not selected.any():
        raise HoleError("no object stands out there", "Paint more of it, or draw a box around it with some ground.")
    return to_hole(selected)


def _read_stroke(photo: Pixels, painted: Missing, box: tuple[slice, slice]) -> Missing:
    """The object under a stroke, or within it if the stroke was drawn around an object; or nothing."""
    area, selected = np.count_nonzero(painted), _read(photo, painted, box, is_region=False)
    if HALF * area <= np.count_nonzero(selected) <= LEAK * area:
        return selected
    within = _read(photo, painted, box, is_region=True)
    rim = painted & ~scipy.ndimage.binary_erosion(painted, iterations=2)
    if np.count_nonzero(within) >= TINY * area and np.count_nonzero(within & rim) < RIM * np.count_nonzero(rim):
        return within
    return selected if np.count_nonzero(selected) > LEAK * area else np.zeros_like(selected)


def _read(photo: Pixels, painted: Missing, box: tuple[slice, slice], *, is_region: bool) -> Missing:
    """The object within a painted region, or under a stroke and a little beyond; perhaps nothing."""
    side, least = max(one.stop - one.start for one in box), LEAST_REACH * min(painted.shape)
    reach = 0.0 if is_region else max(least, REACH * side)
    more = int(reach + max(least, GROUND * side)) + 1
    window = tuple(slice(max(0, one.start - more), one.stop + more) for one in box)
    selected = np.zeros_like(painted)
    selected[window] = _select(photo[window], painted[window], reach, is_region=is_region)
    return selected


def _select(photo: Pixels, painted: Missing, reach: float, *, is_region: bool) -> Missing:
    """The object in a window of a photo, perhaps nothing."""
    try:
        import cv2
    except ImportError as error:
        cure = "Install it: pip install 'latentfill[faces]'."
        raise ExtraError("selecting an object needs OpenCV, which is not installed", cure) from error

    def shrink(side: int) -> tuple[Pixels, Missing, float]:
        scale = min(1.0, side / max(painted.shape))
        size = max(1, round(painted.shape[1] * scale)), max(1, round(painted.shape[0] * scale))
        small = cv2.resize(np.ascontiguousarray(photo), size, interpolation=cv2.INTER_AREA)
        share = cv2.resize(painted.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        return np.asarray(small), np.asarray(share > (0.5 if is_region else 0)), scale

    def resize(found: Missing, shape: tuple[int, int]) -> Missing:
        large = cv2.resize(found.astype(np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(large >= 0.5)

    def cut(small: Pixels, labels: UInt8[np.ndarray, "_ _"], iterations: int) -> Missing:
        with _lock:
            cv2.setRNGSeed(SEED)
            try:
                cv2.grabCut(small, labels, None, None, None, iterations, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
            except cv2.error:  # there are fewer pixels than clusters, for the object or for the background
                return np.zeros(labels.shape, bool)
        return np.asarray((labels == OBJECT_LABEL) | (labels == MAYBE_OBJECT))

    small, stroke, scale = shrink(COARSE)
    found = _clean(cut(small, _label(stroke, reach * scale, is_region=is_region), ITERATIONS), stroke)
    if found.any() and scale < 1:
        small, stroke, _ = shrink(SIDE)
        found = resize(found, stroke.shape)
        found = _clean(cut(small, _label_edge(found), LAST_ITERATIONS), stroke)
    return resize(found, painted.shape)


def _label(stroke: Missing, reach: float, *, is_region: bool) -> UInt8[np.ndarray, "_ _"]:
    """GrabCut's first guess."""
    if is_region:
        return np.where(stroke, np.uint8(MAYBE_OBJECT), np.uint8(GROUND_LABEL))
    around = scipy.ndimage.distance_transform_edt(~stroke)
    stroke = around <= CLICK
    depth = scipy.ndimage.distance_transform_edt(np.pad(stroke, 1))[1:-1, 1:-1]
    labels = np.where(around <= max(reach, CLICK + 1), np.uint8(MAYBE_GROUND), np.uint8(GROUND_LABEL))
    labels[stroke] = MAYBE_OBJECT
    labels[depth >= CORE * depth.max()] = OBJECT_LABEL
    return labels


def _label_edge(found: Missing) -> UInt8[np.ndarray, "_ _"]:
    """The labels left to decide once the object has been found in a smaller picture."""
    labels = np.where(found, np.uint8(MAYBE_OBJECT), np.uint8(MAYBE_GROUND))
    labels[scipy.ndimage.distance_transform_edt(found) > EDGE] = OBJECT_LABEL
    labels[scipy.ndimage.distance_transform_edt(~found) > EDGE] = GROUND_LABEL
    return labels


def _clean(found: Missing, stroke: Missing) -> Missing:
    """The part of an object that is connected with its stroke, without specks and gaps."""
    parts, count = scipy.ndimage.label(found)
    touched = np.unique(parts[stroke & found])
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    kept = touched[areas[touched] >= SPECK * areas[touched].max(initial=0)]
    return np.asarray(scipy.ndimage.binary_fill_holes(np.isin(parts, kept)))
