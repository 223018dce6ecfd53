"""Holes over parts of faces in whole photos, completed by several models and presets side by side.

    python benchmarks/photo_sheets.py OUT PHOTOS... [--methods faces-128:fast faces-128:best] [--count N]

Over the best face of every photo lie, one after the other, its eyes, nose, mouth, a half, and strokes. For each OUT
gets a picture, at the photo's own size: before, hole, and the completion of every method. The face is found once, on
the whole photo. Reported for each method and hole: the squared difference across the border of the hole, and the finest
detail in it, both as shares of the photo's before; 1 is right.
"""

import argparse
from pathlib import Path

import numpy as np
from machine import heading, table
from seams import seam

import latentfill
from latentfill.batch.sheets import cell, hole_square
from latentfill.completion.complete import complete
from latentfill.errors import LatentfillError
from latentfill.faces.detector import detect_faces
from latentfill.faces.placement import Placement
from latentfill.faces.templates import place
from latentfill.files import listing
from latentfill.images import holes, photos
from latentfill.images.pixels import grid, to_grey
from latentfill.options import COMPLETE_PRESETS, Alignment, PhotoOptions
from latentfill.photo.crop import cut
from latentfill.photo.model_sized import pose
from latentfill.photo.put_back import put_back
from latentfill.types import Hole

KINDS = ("eyes", "nose", "mouth", "half", "brush")
SIDE = 256  # pixels of the aligned square in which holes are drawn


def laid(kind: str, placement: Placement, shape: tuple[int, int], seed: int) -> Hole:
    """A hole of the aligned square, as it lies in the photo."""
    drawn = holes.draw(holes.parse(kind), (SIDE, SIDE), seed=seed).hole
    box, hole = placement.box(*shape), np.zeros(shape, np.uint8)
    rows, columns = np.mgrid[box.top : box.bottom, box.left : box.right]
    at = placement.to_crop(np.stack([columns.ravel(), rows.ravel()], -1) + 0.5) / placement.size * SIDE
    x, y = np.floor(at).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < SIDE) & (y < SIDE)
    white = np.zeros(len(x), np.uint8)
    white[inside] = drawn[y[inside], x[inside]]
    hole[box.slices] = white.reshape(box.shape)
    return hole


def detail(grey: np.ndarray, hole: Hole) -> float:
    """The finest detail in the hole: squared differences from means of 2x2."""
    h, w = (side // 2 * 2 for side in hole.shape)
    blocks = grey[:h, :w].astype(float).reshape(h // 2, 2, w // 2, 2)
    fine = (blocks - blocks.mean((1, 3), keepdims=True)).reshape(h, w) ** 2
    return float(fine[hole[:h, :w] > 0].mean())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--methods", nargs="+", default=["faces-128:fast", "faces-128:best"])
    parser.add_argument("--count", type=int)
    words = parser.parse_args()
    models = {name: latentfill.load(name) for name in {method.rpartition(":")[0] for method in words.methods}}
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    without = 0
    for number, source in enumerate(list(listing.find_pictures(words.photos))[: words.count]):
        try:
            original = photos.read_original(source)
            before = original.photo().pixels
            faces = detect_faces(before, everyone=False)
        except LatentfillError as error:
            print(f"{source.name}: {error.what}")
            continue
        if not faces:
            without += 1
            continue
        points = faces[0].points
        where = place(points, SIDE, Alignment())
        for kind in KINDS:
            hole = laid(kind, where, before.shape[:2], number)
            if not hole.any():
                continue
            made = []
            for method in words.methods:
                model, _, preset = method.rpartition(":")
                gan, options = models[model], COMPLETE_PRESETS[preset]
                question = cut(original, hole, gan, PhotoOptions(), [points], source.name)
                found = complete(gan, pose(gan, question.crops, question.crop_holes), options)
                made.append(put_back(question, found.candidates, options, PhotoOptions(), gan).photo)
                greys = [to_grey(picture)[..., 0].astype(float) for picture in (made[-1], before)]
                rim, fine = ([of(grey, hole) for grey in greys] for of in (seam, detail))
                rows.setdefault((method, kind), []).append((rim[0] / max(rim[1], 1), fine[0] / max(fine[1], 1)))
            box = hole_square(hole)
            covered = np.where(hole[..., None] > 0, np.uint8(255), before)
            cells = [cell(picture, box) for picture in (before, covered, *made)]
            photos.write(words.out / kind / f"{number:03}.png", grid(cells, len(cells)))
    print(heading(f"Parts of faces in photos; {without} photos without a face that is found"))
    print(
        table(
            ("method", "hole", "photos", "rim", "detail"),
            [
                (method, kind, str(len(found)), *(f"{np.median(side):.2f}" for side in zip(*found, strict=True)))
                for (method, kind), found in rows.items()
            ],
        )
    )


if __name__ == "__main__":
    main()
