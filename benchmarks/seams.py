"""Seams: how a completed face joins the photo around it, by overlay, Poisson with and without grain, and seamlessClone.

    python benchmarks/seams.py PHOTOS... [--count N] [--steps N] [--sheets FOLDER]

An ellipse over the best face of every photo is completed by the model in the package, and the same completion is put
back in each way. The seam is the mean squared difference of neighbours of which one is in the hole, as a ratio to that
of the same neighbours in the photo before: 1 is no seam. (seamlessClone is given the overlay, since it leaves a rim of
the hole as it finds it.) The sharpness is the mean squared Laplacian in a band just inside of the hole over that just
outside, as a ratio to the same in the photo before: 1 is no change, 0 is a smear.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from machine import heading, table
from photos import ellipse
from scipy import ndimage

import latentfill
from latentfill.batch.sheets import cell, hole_square
from latentfill.completion.complete import complete
from latentfill.faces.detector import detect_faces
from latentfill.faces.placement import Placement
from latentfill.files import listing
from latentfill.images import photos
from latentfill.images.pixels import grid, to_grey, to_levels
from latentfill.options import Alignment
from latentfill.photo.locate import place_upright
from latentfill.photo.model_sized import pose
from latentfill.photo.paste import Piece, paste
from latentfill.types import Hole, Pixels

BAND = 6  # pixels of the photo, for sharpness


def cloned(photo: Pixels, hole: Hole, placement: Placement, values: np.ndarray) -> Pixels:
    """OpenCV's Poisson blending of the same completion."""
    box = placement.box(*hole.shape)
    source = np.clip(np.round(placement.uncrop(values, box)), 0, 255).astype(np.uint8)
    # it takes 3 pixels off what it is given, and would join the clone to what the photo has in the hole
    inside = cv2.dilate(np.ascontiguousarray(hole[box.slices]), np.ones((9, 9), np.uint8))
    x, y, width, height = cv2.boundingRect(inside)
    centre = (box.left + x + width // 2, box.top + y + height // 2)
    return np.asarray(cv2.seamlessClone(source, photo, inside, centre, cv2.NORMAL_CLONE))


def seam(grey: np.ndarray, hole: Hole) -> float:
    """The mean squared difference across the border of the hole."""
    inside, squares = hole > 0, []
    for axis in (0, 1):
        across = np.diff(inside, axis=axis)
        squares.append(np.diff(grey, axis=axis)[across] ** 2)
    return float(np.concatenate(squares).mean())


def sharpness(grey: np.ndarray, hole: Hole) -> np.ndarray:
    """Mean and median of the squared Laplacian just inside the border, over those just outside."""
    inside = hole > 0
    squares = ndimage.laplace(grey) ** 2
    eroded, grown = ndimage.binary_erosion(inside, iterations=2), ndimage.binary_dilation(inside, iterations=2)
    within = eroded & ~ndimage.binary_erosion(eroded, iterations=BAND)
    without = ndimage.binary_dilation(grown, iterations=BAND) & ~grown
    return np.array(
        [measure(squares[within]) / max(1.0, measure(squares[without])) for measure in (np.mean, np.median)]
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--count", type=int)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--sheets", type=Path)
    words = parser.parse_args()
    gan, options = latentfill.load(), latentfill.CompleteOptions(steps=words.steps)
    size = gan.network.size
    rows: dict[str, list[tuple[float, float, float, int, float]]] = {}
    for number, source in enumerate(list(listing.find_pictures(words.photos))[: words.count]):
        photo = photos.read(source).opaque()
        if not (faces := detect_faces(photo, everyone=False)):
            continue
        placement = place_upright(faces[0].points, size, Alignment())
        hole = ellipse(placement, (photo.shape[0], photo.shape[1]), 0.3)
        answer = complete(gan, pose(gan, [placement.crop(photo)], [placement.crop_hole(hole)]), options)
        values = to_levels(answer.images)[0]
        pieces, erased = [Piece(placement, values)], np.where(hole[..., None] > 0, np.uint8(0), photo)
        ways: dict[str, Callable[[], Pixels]] = {
            "overlay": partial(paste, erased, hole, pieces, blend="overlay", grain=False),
            "Poisson": partial(paste, erased, hole, pieces, grain=False),
            "Poisson, grain": partial(paste, erased, hole, pieces),
        }
        ways["seamlessClone"] = partial(cloned, ways["overlay"](), hole, placement, values)
        before = to_grey(photo)[..., 0].astype(float)
        sharp = sharpness(before, hole)
        cells = [cell(photo, hole_square(hole))]
        for name, way in ways.items():
            start = time.perf_counter()
            made = way()
            seconds = time.perf_counter() - start
            grey = to_grey(made)[..., 0].astype(float)
            changed = int((made != photo).any(-1)[hole == 0].sum())
            edge = cv2.dilate(hole, np.ones((3, 3), np.uint8)) if name == "seamlessClone" else hole  # where it joins
            rows.setdefault(name, []).append(
                (seam(grey, edge) / seam(before, edge), *(sharpness(grey, hole) / sharp), changed, seconds)
            )
            cells.append(cell(made, hole_square(hole)))
        if words.sheets:
            photos.write(words.sheets / f"{number:03}.png", grid(cells, len(cells)))
    print(heading(f"The border of the hole in {len(next(iter(rows.values())))} photos"))
    head = ["way", "seam: mean", "median", "95th percentile", "sharpness: edges", "skin", "known pixels changed", "s"]
    lines: list[list[object]] = []
    for name, numbers in rows.items():
        seams, edges, skin, changes, seconds_of = (np.array(column) for column in zip(*numbers, strict=True))
        measured = (seams.mean(), np.median(seams), np.quantile(seams, 0.95), np.median(edges), np.median(skin))
        lines.append([name, *(f"{m:.2f}" for m in measured), changes.sum(), f"{seconds_of.mean():.2f}"])
    print(table(head, lines))


if __name__ == "__main__":
    main()
