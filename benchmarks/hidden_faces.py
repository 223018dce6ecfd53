"""How often a face is found when a hole hides a part of it, how far its landmarks are off, and how often none is there.

    python benchmarks/hidden_faces.py PHOTOS [--annotations XML...] [--erase white|black] [--tilt DEGREES] [--count N]

Faces are those of files of dlib's imglab with 68 landmarks; in other photos those that are found beyond doubt before
anything is hidden, at most three. Each is hidden by the demo's ellipse, by a half, by the eyes and by the mouth; what
is hidden is erased first. At last the same ellipses lie where no face is, in these photos and in scikit-image's.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data
from landmarks import annotated, overlap
from machine import heading, table
from PIL import Image

from latentfill.faces import parts
from latentfill.faces.detector import SURE, Face, detect_faces
from latentfill.files import listing
from latentfill.images import photos
from latentfill.options import Alignment
from latentfill.photo.locate import find_faces
from latentfill.types import Hole, Pixels

SIZE, SAME = 128, 0.3  # pixels of the model; a face is the hidden one if their boxes have so much of both in common
MOST, SMALLEST = 3, 40  # faces of a photo without annotations, and the least width of any in pixels
ELLIPSE = (0.35, 0.45)  # radii in distances between the outer corners of the eyes: the demo's
HOLES = ("ellipse", "half", "eyes", "mouth")
FACELESS = ("chelsea", "coffee", "rocket", "brick", "grass", "gravel", "coins", "page", "clock", "moon")
TRIES = 5  # holes in each of them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--annotations", type=Path, nargs="*", default=[])
    parser.add_argument("--erase", choices=("white", "black"), default="white")
    parser.add_argument("--tilt", type=float, default=0.0, help="degrees by which each photo is tilted to the left")
    parser.add_argument("--count", type=int, help="photos, at most")
    words = parser.parse_args()
    value = 255 if words.erase == "white" else 0
    marked: dict[str, list[Face]] = {}
    for path in words.annotations:
        for a in annotated(path):
            if len(a.landmarks) == 68 and not a.ignore and a.right - a.left >= SMALLEST:
                face = Face(a.left, a.top, a.right, a.bottom, 1.0, a.landmarks[[39, 42, 57]], a.landmarks)
                marked.setdefault(a.photo, []).append(face)
    rows: list[tuple[str, str, bool, float, float]] = []  # hole, whose landmarks, found, error, seconds
    wrong: list[tuple[str, bool, float]] = []
    rng = np.random.default_rng(0)
    for source in list(listing.find_pictures([words.photos]))[: words.count]:
        photo = photos.read(source).opaque()
        known = marked.get(Path(source.name).name)
        seen = detect_faces(photo, upsample=1)
        faces = known or [f for f in seen if f.score >= SURE and f.right - f.left >= SMALLEST][:MOST]
        for number, face in enumerate(faces):
            for name in ("nothing", *HOLES):
                hole = hide(face, name, number, photo.shape[:2])
                given = photo if name == "nothing" else erase(photo, hole, value)
                found = look(*tilt(given, hole, face, words.tilt))
                rows.append((name, "annotated" if known else "found before", *found))
        beside = ellipse_beside([*seen, *faces], photo.shape[:2], rng)
        if beside is not None and not words.tilt:
            wrong.append(("beside faces", *false_face(erase(photo, beside, value), beside)))
    for name in () if words.tilt else FACELESS:
        photo = getattr(skimage.data, name)()
        photo = photo if photo.ndim == 3 else np.repeat(photo[..., None], 3, 2)
        for _ in range(TRIES):
            hole = draw_ellipse(photo.shape[:2], rng.uniform(0, 1, 2) * photo.shape[1::-1], 0.0, 60.0)
            wrong.append(("no face in the photo", *false_face(erase(photo, hole, value), hole)))
    print(heading(f"Faces with a part hidden, erased in {words.erase}"))
    columns = ["hidden", "landmarks", "faces", "found", "off by, of the eyes' distance: median", "90 %"]
    print(table([*columns, "processor seconds"], list(lines(rows))))
    if wrong:
        print()
        print(table(["holes", "count", "with a false face", "processor seconds"], list(false_lines(wrong))))


def lines(rows: list[tuple[str, str, bool, float, float]]) -> Iterator[list[object]]:
    for name in ("nothing", *HOLES):
        for whose in ("annotated", "found before"):
            part = [row[2:] for row in rows if row[:2] == (name, whose)]
            errors = [error for found, error, _ in part if found]
            if errors:
                share = f"{len(errors)} ({100 * len(errors) / len(part):.0f} %)"
                middle, most = (f"{value:.3f}" for value in np.quantile(errors, (0.5, 0.9)))
                yield [name, whose, len(part), share, middle, most, f"{np.mean([s for *_, s in part]):.2f}"]


def false_lines(wrong: list[tuple[str, bool, float]]) -> Iterator[list[object]]:
    for name in dict.fromkeys(row[0] for row in wrong):
        part = [row[1:] for row in wrong if row[0] == name]
        yield [name, len(part), sum(found for found, _ in part), f"{np.mean([s for _, s in part]):.2f}"]


def look(given: Pixels, hole: Hole, face: Face) -> tuple[bool, float, float]:
    """Whether the face is found at the hole, the mean distance of its three points, and the processor's seconds."""
    start = time.process_time()
    found = find_faces(given, hole, hole, SIZE, Alignment())
    seconds = time.process_time() - start
    best = max(found.faces, key=lambda other: overlap(face, other), default=None)
    if best is None or overlap(face, best) <= SAME:
        return False, np.nan, seconds
    apart = np.linalg.norm(face.landmarks[36] - face.landmarks[45])
    return True, float(np.linalg.norm(best.points - face.points, axis=1).mean() / apart), seconds


def tilt(photo: Pixels, hole: Hole, face: Face, angle: float) -> tuple[Pixels, Hole, Face]:
    """All three as they are in the photo tilted to the left around its middle."""
    if not angle:
        return photo, hole, face
    turned, gap = (np.asarray(Image.fromarray(p).rotate(angle, Image.Resampling.BICUBIC)) for p in (photo, hole))
    middle = np.array(hole.shape[::-1]) / 2
    turn = np.exp(-1j * np.radians(angle))

    def move(points: np.ndarray) -> np.ndarray:
        moved = (points - middle) @ np.array([1, 1j]) * turn
        return np.stack([moved.real, moved.imag], 1) + middle

    there = move(np.array([[face.left + face.right, face.top + face.bottom]]) / 2)[0]
    half = np.array([face.right - face.left, face.bottom - face.top]) / 2
    (left, top), (right, bottom) = (there - half).tolist(), (there + half).tolist()
    return (
        turned,
        np.where(gap > 127, 255, 0).astype(np.uint8),
        Face(left, top, right, bottom, 1.0, move(face.points), move(face.landmarks)),
    )


def false_face(given: Pixels, hole: Hole) -> tuple[bool, float]:
    start = time.process_time()
    return bool(find_faces(given, hole, hole, SIZE, Alignment()).faces), time.process_time() - start


def hide(face: Face, name: str, number: int, shape: tuple[int, ...]) -> Hole:
    if name in ("ellipse", "nothing"):
        left, right, lip = face.landmarks[[36, 45, 57]]
        across = right - left
        middle = face.landmarks[[39, 42]].mean(0)
        return draw_ellipse(
            shape, middle + 0.54 * (lip - middle), float(np.arctan2(*across[::-1])), float(np.hypot(*across))
        )
    feature = ("left", "right")[number % 2] if name == "half" else name
    return np.where(parts.draw(face.landmarks, feature, *shape[:2]), np.uint8(255), np.uint8(0))


def draw_ellipse(shape: tuple[int, ...], middle: np.ndarray, angle: float, apart: float) -> Hole:
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    x, y = columns - middle[0], rows - middle[1]
    along, down = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.where(np.hypot(along / ELLIPSE[0], down / ELLIPSE[1]) <= apart, np.uint8(255), np.uint8(0))


def ellipse_beside(faces: list[Face], shape: tuple[int, ...], rng: np.random.Generator) -> Hole | None:
    """An ellipse as large as for the first face, farther from all faces than half of their width; None if nowhere."""
    apart = float(np.hypot(*(faces[0].landmarks[45] - faces[0].landmarks[36]))) if faces else 60.0
    for _ in range(50):
        hole = draw_ellipse(shape, rng.uniform(0, 1, 2) * shape[1::-1], 0.0, apart)
        if hole.any() and not any(_touches(face, hole) for face in faces):
            return hole
    return None


def _touches(face: Face, hole: Hole) -> bool:
    more = (face.right - face.left) / 2
    top, left = max(0, int(face.top - more)), max(0, int(face.left - more))
    return bool(hole[top : max(0, int(face.bottom + more)), left : max(0, int(face.right + more))].any())


def erase(photo: Pixels, hole: Hole, value: int) -> Pixels:
    return np.where(hole[..., None] > 0, np.uint8(value), photo)


if __name__ == "__main__":
    main()
