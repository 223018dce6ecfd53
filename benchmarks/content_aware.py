"""Holes of photos filled from the photos themselves, by all fillers side by side on sheets; and times and memory.

Each row of a sheet is a hole: the photo, what is given, Telea's method, the biharmonic surface, patches, and what auto
takes. With --sizes, instead, a photo is enlarged to 0.5, 2, 12 and 24 megapixels, and holes of it are filled. With
--judge, instead, so many holes, none in a face, are filled, and networks learn to tell what was filled from what was
there.
"""

import argparse
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data
from machine import heading, table
from PIL import Image

from latentfill.evaluation.distances import mean
from latentfill.evaluation.judge import classify
from latentfill.faces.detector import detect_faces
from latentfill.faces.placement import Box
from latentfill.texture.content_aware import Filler, is_smooth
from latentfill.types import Hole, Pixels

WAYS = ("telea", "biharmonic", "patches", "auto")
CELL, ROWS = 220, 10  # pixels of a picture on a sheet, and holes on one
FROM_SKIMAGE = {  # ellipses: x, y and radii, in shares of the sides
    "astronaut": [(0.35, 0.1, 0.06, 0.06), (0.9, 0.25, 0.05, 0.1), (0.6, 0.85, 0.08, 0.08), (0.1, 0.3, 0.06, 0.08)],
    "chelsea": [(0.2, 0.7, 0.09, 0.12), (0.6, 0.25, 0.05, 0.08), (0.85, 0.8, 0.1, 0.12)],
    "coffee": [(0.25, 0.15, 0.1, 0.12), (0.1, 0.8, 0.06, 0.1), (0.9, 0.6, 0.06, 0.1)],
    "rocket": [(0.8, 0.2, 0.1, 0.12), (0.31, 0.5, 0.03, 0.1), (0.6, 0.9, 0.1, 0.06)],
    "grass": [(0.5, 0.5, 0.12, 0.12)],
    "brick": [(0.5, 0.5, 0.12, 0.12)],
    "gravel": [(0.5, 0.5, 0.12, 0.12)],
    "camera": [(0.75, 0.2, 0.08, 0.08), (0.8, 0.85, 0.08, 0.08), (0.5, 0.6, 0.06, 0.1)],
}
SQUARE, AROUND = 96, 192  # pixels a side that the judge sees, and that are filled
SIZES = ((0.5, 150), (2, 360), (12, 1000), (24, 1000), (24, 2000))  # megapixels, side of a square hole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("photos", type=Path, nargs="*", help="more photos, each with a hole at a place drawn at random")
    parser.add_argument("--sizes", action="store_true", help="measure times and memory")
    parser.add_argument("--judge", type=int, default=0, metavar="N", help="judge N holes of these photos, at least 64")
    arguments = parser.parse_args()
    if arguments.sizes:
        head = ["megapixels", "hole", "seconds of the clock", "of the processor", "peak of memory, GB"]
        print(heading("Holes of an enlarged photo"))
        print(table(head, list(_sizes())) + f"\n\nLoad of the machine: {os.getloadavg()[0]:.1f}")
    if arguments.judge:
        head = ["way", "judge's AUC (0.5: it cannot tell)", "share of pairs that fool it"]
        print(heading(f"{arguments.judge} holes"))
        print(table(head, list(_judge(arguments.photos, arguments.judge))))
    if not arguments.sizes and not arguments.judge:
        _draw_sheets(arguments.out, arguments.photos)


def _draw_sheets(out: Path, photos: list[Path]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    rows, seconds = [], {way: 0.0 for way in WAYS}
    for photo, hole in _holes(photos):
        made = {way: _fill(photo, hole, way) for way in WAYS}
        for way, (_, taken) in made.items():
            seconds[way] += taken
        box = _around(hole)
        given = np.where(hole[..., None] > 0, np.uint8(255), photo)
        rows.append(np.hstack([_cell(p[box.slices]) for p in (photo, given, *(filled for filled, _ in made.values()))]))
    for first in range(0, len(rows), ROWS):
        Image.fromarray(np.vstack(rows[first : first + ROWS])).save(out / f"sheet-{first // ROWS + 1}.png")
    print(heading(f"{len(rows)} holes, sheets in {out}: {', '.join(('photo', 'given', *WAYS))}"))
    print(table(["way", "seconds a hole"], [[way, f"{total / len(rows):.2f}"] for way, total in seconds.items()]))


def _holes(photos: list[Path]) -> Iterator[tuple[Pixels, Hole]]:
    for name, ellipses in FROM_SKIMAGE.items():
        photo = getattr(skimage.data, name)()
        photo = photo if photo.ndim == 3 else np.repeat(photo[..., None], 3, 2)
        for ellipse in ellipses:
            yield photo, _ellipse(photo, *ellipse)
    rng = np.random.default_rng(0)
    for path in photos:
        photo = np.asarray(Image.open(path).convert("RGB"))
        x, y = rng.uniform(0.1, 0.9, 2)
        radius = rng.uniform(40, 80)
        yield photo, _ellipse(photo, x, y, radius / photo.shape[1], radius / photo.shape[0])


def _ellipse(photo: Pixels, x: float, y: float, radius_x: float, radius_y: float) -> Hole:
    rows, columns = np.mgrid[: photo.shape[0], : photo.shape[1]]
    across, down = columns / photo.shape[1] - x, rows / photo.shape[0] - y
    return np.where((across / radius_x) ** 2 + (down / radius_y) ** 2 < 1, np.uint8(255), np.uint8(0))


def _fill(photo: Pixels, hole: Hole, way: str) -> tuple[Pixels, float]:
    start = time.perf_counter()
    box = Box(0, 0, *hole.shape)
    filled, _ = Filler(photo, hole, (), way)(box, photo.astype(np.float32), hole)  # type: ignore[arg-type]
    taken = time.perf_counter() - start
    if not np.array_equal(filled[hole == 0], photo[hole == 0]):
        raise SystemExit(f"{way} has changed known pixels")
    return np.rint(filled).astype(np.uint8), taken


def _around(hole: Hole) -> Box:
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    inner = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return inner.expand(max(inner.shape) // 2, *hole.shape)


def _cell(part: Pixels) -> Pixels:
    small = Image.fromarray(np.ascontiguousarray(part))
    small.thumbnail((CELL, CELL))
    small = small if max(small.size) == CELL else small.resize([side * CELL // max(small.size) for side in small.size])
    cell = Image.new("RGB", (CELL, CELL), "white")
    cell.paste(small)
    return np.asarray(cell)


def _judge(paths: list[Path], count: int) -> Iterator[list[str]]:
    """For each way what a judge says of holes in squares of the photos, which lie in no face."""
    rng = np.random.default_rng(1)
    squares: list[Pixels] = []
    gaps: list[Hole] = []
    while len(squares) < count:
        for photo in _small_photos(paths):
            square, gap = _square(photo, rng)
            if square is not None and len(squares) < count:
                squares.append(square)
                gaps.append(gap)
    inner = np.s_[(AROUND - SQUARE) // 2 : (AROUND + SQUARE) // 2]
    original, holes = np.stack(squares)[:, inner, inner], np.stack(gaps)[:, inner, inner]
    pairs = list(zip(squares, gaps, strict=True))
    made = {way: np.stack([_fill(square, gap, way)[0] for square, gap in pairs]) for way in WAYS if way != "auto"}
    smooth = np.array([is_smooth(square.astype(np.float32), gap) for square, gap in pairs])
    made["auto"] = np.where(smooth[:, None, None, None], made["biharmonic"], made["patches"])  # as a Filler has it
    for way in WAYS:
        verdict = classify(original, made[way][:, inner, inner], holes)
        found = (verdict.auc(0), mean(verdict.p_ids, 0))
        yield [way, *("{:.3f} ({:.3f} to {:.3f})".format(each.value, *each.interval) for each in found)]


def _small_photos(paths: list[Path]) -> Iterator[Pixels]:
    for name in FROM_SKIMAGE:
        photo = getattr(skimage.data, name)()
        yield photo if photo.ndim == 3 else np.repeat(photo[..., None], 3, 2)
    for path in paths:
        photo = Image.open(path).convert("RGB")
        photo.thumbnail((1000, 1000))
        yield np.asarray(photo)


def _square(photo: Pixels, rng: np.random.Generator) -> tuple[Pixels | None, Hole]:
    """A square of the photo at random and an ellipse in its middle; None if it meets a face or leaves the photo."""
    room = np.array(photo.shape[:2]) - AROUND
    hole = _ellipse(np.zeros((AROUND, AROUND, 3), np.uint8), 0.5, 0.5, *(rng.uniform(12, 30, 2) / AROUND))
    if (room < 0).any():
        return None, hole
    top, left = (int(v) for v in rng.integers(0, room + 1))
    square = photo[top : top + AROUND, left : left + AROUND]
    return (None if detect_faces(square) else square), hole


def _sizes() -> Iterator[list[str]]:
    for megapixels, side in SIZES:
        width = round((megapixels * 1e6 * 1.5) ** 0.5)
        coffee = Image.fromarray(skimage.data.coffee())  # type: ignore[no-untyped-call]
        photo = np.asarray(coffee.resize((width, round(width / 1.5))))
        photo = np.clip(photo + np.random.default_rng(0).normal(0, 4, photo.shape), 0, 255).astype(np.uint8)
        hole = np.zeros(photo.shape[:2], np.uint8)
        hole[(len(hole) - side) // 2 :, width // 4 :][:side, :side] = 255
        began = time.process_time()
        taken = _fill(photo, hole, "auto")[1]
        processor = time.process_time() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        yield [f"{megapixels:g}", f"{side} x {side}", f"{taken:.1f}", f"{processor:.1f}", f"{peak:.2f}"]


if __name__ == "__main__":
    main()
