"""How many faces are found in photos, how fast, and how near their landmarks are to annotated ones (dlib's XML)."""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float
from machine import heading, table
from numpy import ndarray

from latentfill.errors import ImageError
from latentfill.faces.detector import Face, detect_faces
from latentfill.faces.templates import place, points_of, shear, template
from latentfill.files import listing
from latentfill.images import photos
from latentfill.options import Alignment, LandmarkSet
from latentfill.types import Pixels

SETS: tuple[LandmarkSet, ...] = ("inner-eyes-and-bottom-lip", "outer-eyes-and-nose")
SIZE = 64
SAME = 0.3  # a face is an annotated one if their boxes have so much of both in common
LOW = -1.0  # where to look for what is not found
STEEP = 1.3  # shear above which faces were left out of the training data


@dataclass(frozen=True, eq=False)
class Annotated:
    """A face as a person, or a model that a person has checked, marked it."""

    photo: str
    left: float
    top: float
    right: float
    bottom: float
    ignore: bool
    landmarks: Float[ndarray, "_ 2"]


def annotated(path: Path) -> Iterator[Annotated]:
    """The faces of a file in the format of dlib's `imglab`; indices of pixels become their middles."""
    for image in ElementTree.parse(path).iter("image"):
        for box in image.iter("box"):
            left, top, width, height = (float(box.attrib[name]) for name in ("left", "top", "width", "height"))
            parts = sorted(box.iter("part"), key=lambda part: int(part.attrib["name"]))
            points = np.array([(float(part.attrib["x"]), float(part.attrib["y"])) for part in parts]).reshape(-1, 2)
            ignore = box.attrib.get("ignore") == "1"
            yield Annotated(image.attrib["file"], left, top, left + width, top + height, ignore, points + 0.5)


def overlap(one: Face | Annotated, other: Face | Annotated) -> float:
    across = min(one.right, other.right) - max(one.left, other.left)
    down = min(one.bottom, other.bottom) - max(one.top, other.top)
    common = max(0.0, across) * max(0.0, down)
    areas = sum((box.right - box.left) * (box.bottom - box.top) for box in (one, other))
    return common / (areas - common)


def nearest(face: Annotated, found: Sequence[Face]) -> Face | None:
    best = max(found, key=lambda other: overlap(face, other), default=None)
    return best if best is not None and overlap(face, best) > SAME else None


def agreement(sources: dict[str, photos.Source], faces: Sequence[Annotated], upsample: int) -> None:
    """Print which annotated faces are found and, for those with landmarks, how far ours are from them."""
    by_photo: dict[str, list[Annotated]] = {}
    for face in faces:
        by_photo.setdefault(face.photo, []).append(face)
    missing: list[list[object]] = []
    rows = []
    for name in SETS:
        alignment, pixels, shares, off, moved, hits, others = Alignment(name), [], [], [], [], 0, 0
        corners = np.array([[0.0, 0], [SIZE, 0], [0, SIZE], [SIZE, SIZE]])
        for photo, several in by_photo.items():
            picture = photos.read(sources[photo]).opaque()
            found = detect_faces(picture, name, upsample=upsample)
            others += sum(all(overlap(face, one) <= SAME for one in several) for face in found)
            for face in several:
                match = nearest(face, found)
                if match is None:
                    if name == SETS[0]:
                        missing.append(missed(face, picture, upsample))
                    continue
                hits += 1
                if len(face.landmarks) != 68:
                    continue
                given = face.landmarks if len(match.landmarks) == 68 else face.landmarks[list(points_of(name))]
                ours = match.landmarks if len(match.landmarks) == 68 else match.points
                distances = np.linalg.norm(ours - given, axis=1)
                pixels.append(distances.mean())
                shares.append(distances.mean() / np.linalg.norm(face.landmarks[36] - face.landmarks[45]))
                three = face.landmarks[list(points_of(name))]
                crop, theirs = place(match.points, SIZE, alignment), place(three, SIZE, alignment)
                off.append(np.linalg.norm(crop.to_crop(three) - template(SIZE, alignment), axis=1).mean())
                moved.append(np.linalg.norm(crop.to_crop(theirs.to_photo(corners)) - corners, axis=1).mean())
        row: list[object] = [name, f"{hits} of {len(faces)}", others]
        if pixels:
            row += [f"{np.mean(pixels):.2f}", f"{100 * np.mean(shares):.2f} %"]
            row += [f"{np.mean(values):.2f} (at most {np.max(values):.2f})" for values in (off, moved)]
        rows.append(row + [""] * (7 - len(row)))
    head = ["landmarks", "annotated faces found", "other boxes", "error, px", "of the eyes' distance"]
    print(table([*head, f"off the template, px of {SIZE}", f"corners of the crop, px of {SIZE}"], rows))
    if missing:
        print("\nNot found:\n\n" + table(["photo", "box: left, top, width", "why"], missing))


def missed(face: Annotated, picture: Pixels, upsample: int) -> list[object]:
    """A line on a face that was not found, and what would find it."""
    lower = nearest(face, detect_faces(picture, upsample=upsample, threshold=LOW))
    larger = nearest(face, detect_faces(picture, upsample=upsample + 1))
    why = ["to be ignored"] if face.ignore else []
    why += [f"score {lower.score:.2f}"] if lower else []
    why += [f"found with upsample {upsample + 1}"] if larger else []
    width = face.right - face.left
    return [face.photo, f"{face.left:.0f}, {face.top:.0f}, {width:.0f}", "; ".join(why or ["not seen at all"])]


def found_in(sources: Sequence[photos.Source]) -> None:
    """Print in how many photos a face is found, and the processor time the best one takes to be found and cut out."""
    rows = []
    for name in SETS:
        alignment = Alignment(name)
        cut_best(photos.read(sources[0]).opaque(), alignment, 1)  # loads the models
        for upsample in (0, 1):
            seconds, straight, failures = np.zeros(3), [], []
            for source in sources:
                start = time.process_time()
                try:
                    picture = photos.read(source).opaque()
                except ImageError as error:
                    failures.append((source.name, error.what))
                    continue
                read = time.process_time()
                found, sheared, times = cut_best(picture, alignment, upsample)
                seconds += read - start, *times
                if found:
                    straight.append(sheared <= STEEP)
                else:
                    failures.append((source.name, unseen(picture, name, upsample)))
            each = [f"{1e3 * s / len(sources):.1f}" for s in seconds]
            share = f"{len(straight)} of {len(sources)} ({100 * len(straight) / len(sources):.1f} %)"
            rate = f"{len(sources) / seconds.sum():.0f}"
            rows.append([name, upsample, share, f"{100 * sum(straight) / max(1, len(straight)):.1f} %", *each, rate])
            if name == SETS[0]:
                print("".join(f"upsample {upsample}: {where}: {why}\n" for where, why in failures))
    head = ["landmarks", "upsample", "photos with a face", f"shear up to {STEEP}"]
    print(table([*head, "read, ms", "find, ms", f"crop to {SIZE}, ms", "photos/s"], rows))


def cut_best(picture: Pixels, alignment: Alignment, upsample: int) -> tuple[bool, float, tuple[float, float]]:
    """Whether there is a face, the shear of its crop, and how long it took to find and to cut out."""
    start = time.process_time()
    found = detect_faces(picture, alignment.landmarks, upsample=upsample, everyone=False)
    seen = time.process_time()
    if not found:
        return False, 1.0, (seen - start, 0.0)
    crop = place(found[0].points, SIZE, alignment)
    crop.crop(picture)
    return True, shear(crop), (seen - start, time.process_time() - seen)


def unseen(picture: Pixels, name: LandmarkSet, upsample: int) -> str:
    lower = detect_faces(picture, name, upsample=upsample, threshold=LOW, everyone=False)
    larger = detect_faces(picture, name, upsample=upsample + 1, everyone=False)
    score = f"best score {lower[0].score:.2f}" if lower else f"nothing above {LOW}"
    return f"{score}; with upsample {upsample + 1} {'found' if larger else 'neither'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder or archive of photos")
    parser.add_argument(
        "annotations", type=Path, nargs="*", help="files of dlib's imglab; names are those of the photos"
    )
    parser.add_argument("--upsample", type=int, default=1, help="for the annotated faces")
    arguments = parser.parse_args()
    print(heading("Finding faces and their landmarks"))
    sources = list(listing.find_pictures([arguments.photos]))
    if arguments.annotations:
        faces = [face for path in arguments.annotations for face in annotated(path)]
        agreement({Path(source.name).name: source for source in sources}, faces, arguments.upsample)
    else:
        found_in(sources)


if __name__ == "__main__":
    main()
