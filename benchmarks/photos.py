"""Photo to photo: an ellipse painted over the best face of every photo, completed by the model in the package.

    python benchmarks/photos.py PHOTOS... [--count N] [--steps N] [--hidden 0.3] [--sheets FOLDER]

What is under the ellipse is painted over before anything looks at it. Reported: in how many photos the half-hidden face
is still found, and how far its square is off; how many known pixels changed (none may); the seconds of everything but
the search, by size of the photo. With --sheets a picture of each is written: before, hole, after, around the hole.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import heading, table

import latentfill
from latentfill.batch.sheets import cell, hole_square
from latentfill.completion.complete import Completion, complete
from latentfill.errors import LatentfillError
from latentfill.faces.detector import detect_faces
from latentfill.faces.placement import Placement
from latentfill.files import listing
from latentfill.images import photos
from latentfill.images.pixels import grid
from latentfill.options import Alignment, PhotoOptions
from latentfill.photo.crop import cut
from latentfill.photo.locate import place_upright
from latentfill.photo.model_sized import pose
from latentfill.photo.put_back import put_back
from latentfill.types import Hole


def ellipse(placement: Placement, shape: tuple[int, int], hidden: float) -> Hole:
    """White where the photo's pixels lie within an ellipse of the square: `hidden` is its width, as a share."""
    box, hole = placement.box(*shape), np.zeros(shape, np.uint8)
    rows, columns = np.mgrid[box.top : box.bottom, box.left : box.right]
    at = placement.to_crop(np.stack([columns.ravel(), rows.ravel()], -1) + 0.5) / placement.size
    inside = ((at - (0.5, 0.5)) / (hidden / 2, hidden / 1.6)) ** 2
    hole[box.slices] = np.where(inside.sum(-1).reshape(box.shape) <= 1, 255, 0)
    return hole


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--count", type=int)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--hidden", type=float, default=0.3)
    parser.add_argument("--sheets", type=Path)
    words = parser.parse_args()
    gan, options = latentfill.load(), latentfill.CompleteOptions(steps=words.steps)
    rows: list[dict[str, float]] = []
    without: list[str] = []
    for number, source in enumerate(list(listing.find_pictures(words.photos))[: words.count]):
        try:
            original = photos.read_original(source)
        except LatentfillError as error:
            without.append(f"{source.name}: {error.what}")
            continue
        pixels = original.photo().pixels
        if not (faces := detect_faces(pixels, upsample=1, everyone=False)):
            without.append(source.name)
            continue
        true = place_upright(faces[0].points, gan.network.size, Alignment())
        hole = ellipse(true, hole_shape := pixels.shape[:2], words.hidden)
        painted = np.where(hole[..., None] > 0, np.uint8(255), original.values)
        before = replace(original, values=painted.astype(original.values.dtype))
        row = {"megapixels": hole_shape[0] * hole_shape[1] / 1e6, "found": 0.0}
        start = time.perf_counter()
        try:
            question = cut(before, hole, gan, PhotoOptions())
        except LatentfillError:
            rows.append(row)
            print(f"{source.name}: not found", flush=True)
            continue
        row["cut"] = time.perf_counter() - start
        found = [
            p
            for p in question.placements
            if abs(p.to_photo(np.full((1, 2), 32.0)) - true.to_photo(np.full((1, 2), 32.0))).max() < 16 * true.scale
        ]
        row["found"] = float(bool(found))
        if found:
            corners = np.array([[0.0, 0], [64, 0], [64, 64], [0, 64]])
            row["off"] = float(np.linalg.norm(true.to_crop(found[0].to_photo(corners)) - corners, axis=1).mean())
        answer: tuple[Completion, ...] = ()
        if question.placements:
            answer = complete(gan, pose(gan, question.crops, question.crop_holes), options).candidates
        start = time.perf_counter()
        filled = put_back(question, answer, options, PhotoOptions(), gan)
        row["put back"] = time.perf_counter() - start
        known = hole == 0
        row["changed"] = float((filled.candidates[0].values != original.values).any(-1)[known].sum())
        rows.append(row)
        print(f"{source.name}: {row}", flush=True)
        if words.sheets:
            box = hole_square(hole)
            cells = [cell(p, box) for p in (pixels, before.photo().pixels, filled.photo)]
            photos.write(words.sheets / f"{number:03}.png", grid(cells, 3))
    print(heading(f"{len(rows)} photos with a face, an ellipse of {words.hidden:g} of the square's width over it"))
    seen = [row for row in rows if row["found"]]
    done = [row for row in rows if "changed" in row]
    off = [row["off"] for row in seen]
    head = [
        "faces",
        "found half-hidden",
        "square off by, px of 64: mean",
        "at most",
        "within 3",
        "known pixels changed",
    ]
    changed = int(sum(row["changed"] for row in done))
    within = f"{100 * np.mean(np.array(off) <= 3):.0f} %"
    print(table(head, [[len(rows), len(seen), f"{np.mean(off):.1f}", f"{np.max(off):.1f}", within, changed]]))
    print()
    lines = []
    for low, high in ((0, 0.3), (0.3, 1), (1, 4), (4, 100)):
        part = [row for row in done if low <= row["megapixels"] < high]
        if part:
            means = [np.mean([row[name] for row in part]) for name in ("cut", "put back")]
            most = max(row["cut"] + row["put back"] for row in part)
            lines.append([f"{low:g} to {high:g}", len(part), *(f"{mean:.2f}" for mean in means), f"{most:.2f}"])
    print(table(["megapixels", "photos", "find and cut, s", "put back, s", "both, at most, s"], lines))
    print(f"\nWithout a face that is found before it is hidden: {len(without)}")
    for name in without:
        print(f"- {name}")


if __name__ == "__main__":
    main()
