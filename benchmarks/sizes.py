"""What a model of larger images is worth: pictures completed by it, and by a smaller one whose image is enlarged.

The smaller model is given the picture and the hole shrunk (a pixel of which anything is missing is missing), its image
is enlarged (bicubic) and joined to the large picture's known pixels, as the larger model's is. Both are judged at the
large size: PSNR in the hole, and distances of the whole pictures to the originals in dlib's embedding and in the
energy of their finest detail, which enlarging cannot give.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from faces import HOLES, face_space, holes_for, read_faces
from machine import heading, table
from PIL import Image
from torch.nn import functional as F

from latentfill import Gan, load
from latentfill.completion.complete import complete
from latentfill.evaluation import distances as bootstrap
from latentfill.evaluation.distances import Estimate, frechet
from latentfill.evaluation.metrics import Scores, Where, psnr
from latentfill.images import photos
from latentfill.images.blending import poisson
from latentfill.images.incomplete import Incomplete
from latentfill.images.pixels import batch_to_images, fit, grid, to_pixels
from latentfill.options import COMPLETE_PRESETS, CompleteOptions
from latentfill.photo.model_sized import pose
from latentfill.types import Hole, PixelBatch, Pixels

AT_ONCE = 32
SHOWN = 16  # faces of each contact sheet
PAGE = 8  # of them in a row


def completed(
    gan: Gan, crops: list[Pixels], where: list[Hole], options: CompleteOptions, size: int
) -> tuple[PixelBatch, float]:
    """The pictures at `size`, completed by a model of that size or of a smaller one; and its seconds for each."""
    own, made, seconds = gan.network.size, [], 0.0
    for first in range(0, len(crops), AT_ONCE):
        part, covered = crops[first : first + AT_ONCE], where[first : first + AT_ONCE]
        small = [fit(crop, own) for crop in part]
        # Averages of the hole are white as soon as any of it is.
        missing = [np.where(shrunk(hole, own) > 0, np.uint8(255), np.uint8(0)) for hole in covered]
        began = time.perf_counter()
        images = complete(gan, pose(gan, small, missing), options).images
        seconds += time.perf_counter() - began
        if own != size:
            images = F.interpolate(images, size=size, mode="bicubic", align_corners=False).clamp(-1, 1)
        known = torch.from_numpy((np.stack(covered)[:, None] == 0).astype(np.float32))
        made += to_pixels(poisson(Incomplete(batch_to_images(np.stack(part)), known), images))
    return np.stack(made), seconds / len(crops)


def shrunk(hole: Hole, size: int) -> Hole:
    """The largest of each block."""
    times = hole.shape[0] // size
    return np.asarray(hole.reshape(size, times, size, times).max((1, 3)))


def finest(pictures: PixelBatch, where: Where) -> Scores:
    """Of each picture, in its hole, the mean squared difference from itself shrunk to half and enlarged."""
    small = [Image.fromarray(p).resize((p.shape[1] // 2, p.shape[0] // 2), Image.Resampling.BOX) for p in pictures]
    back = [
        np.asarray(s.resize(p.shape[1::-1], Image.Resampling.BICUBIC)) for s, p in zip(small, pictures, strict=True)
    ]
    error = ((pictures.astype(float) - np.stack(back)) ** 2).mean(3)
    inside = where > 0
    return np.asarray((error * inside).sum((1, 2)) / inside.sum((1, 2)))


def cell(estimate: Estimate, digits: int) -> str:
    low, high = estimate.interval
    return f"{estimate.value:.{digits}f} ± {(high - low) / 2:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder or archive of aligned, unseen faces")
    parser.add_argument("large", help="name or file of the larger model, whose size is that of the pictures")
    parser.add_argument("small", help="name or file of the smaller one")
    parser.add_argument("--out", type=Path, required=True, help="folder for sheets: original, given, small, large")
    parser.add_argument("--presets", nargs="+", default=["best", "fast"])
    parser.add_argument("--holes", nargs="+", default=list(HOLES))
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--part", choices=("test", "choose"), default="test")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    gans = {"large": load(arguments.large), "small": load(arguments.small)}
    size = gans["large"].network.size
    if size % gans["small"].network.size:
        raise SystemExit(f"{arguments.small} is not smaller by a whole number of times")
    names, faces = read_faces(arguments.data, size, arguments.part, arguments.count)
    originals, space, rows = np.stack(faces), face_space(), []
    real = space.measure(originals)
    for spec in arguments.holes:
        where = holes_for(spec, names, size)
        covered = np.stack(where)
        detail = finest(originals, covered).mean()
        for preset in arguments.presets:
            shown = []
            for which, gan in gans.items():
                made, seconds = completed(gan, faces, where, COMPLETE_PRESETS[preset], size)
                features = space.measure(made)

                def far(rows: np.ndarray, features: np.ndarray = features) -> float:
                    return frechet(features[rows], real[rows])

                score = bootstrap.mean(psnr(made, originals, covered), 0)
                distance = bootstrap.any_number(far, len(made), 0)
                share = finest(made, covered).mean() / detail
                numbers = [cell(score, 2), cell(distance, 4), f"{share:.2f}", f"{seconds * 1e3:.0f}"]
                rows.append([spec, preset, getattr(arguments, which), *numbers])
                shown.append(made[:SHOWN])
                print(" | ".join(rows[-1]), flush=True)
            given = np.where(covered[:SHOWN, ..., None] > 0, np.uint8(128), originals[:SHOWN])
            lines = []
            for first in range(0, min(SHOWN, len(faces)), PAGE):
                for kind in (originals[:SHOWN], given, shown[1], shown[0]):
                    lines += list(kind[first : first + PAGE])
            name = f"{spec.replace(':', '-')}-{preset}.png"
            photos.write(arguments.out / name, grid(lines, PAGE))
    print(heading(f"{size} pixels: {arguments.large} against {arguments.small} enlarged, {len(faces)} faces"))
    head = (
        "hole",
        "preset",
        "model",
        "PSNR dB",
        "Fréchet, dlib",
        "finest detail, share of the originals'",
        "ms per face",
    )
    print(table(head, rows))


if __name__ == "__main__":
    main()
