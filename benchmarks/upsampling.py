"""What an upsampler is worth: faces of twice the model's size completed as photos, with it and without.

    python benchmarks/upsampling.py FACES MODEL --out OUT

FACES are aligned and unseen, at twice the size. Each is a photo with one square that the model completes at half its
size, as it does large faces in photos. Without the upsampler the completion is enlarged and has detail from elsewhere
in the photo. For each hole a trained judge says how well it tells completed faces from their originals (0.5 is chance)
and how many completed ones look the more real; finest detail and the gradient of the colours in the hole are shares of
the originals'. Sheets in OUT show original, hole, without, with.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from faces import holes_for, read_faces
from machine import heading, table

from latentfill import load
from latentfill.evaluation import distances as bootstrap
from latentfill.evaluation.distances import Estimate
from latentfill.evaluation.judge import classify
from latentfill.evaluation.metrics import chroma, psnr
from latentfill.gan.gan import Gan
from latentfill.images import photos
from latentfill.images.pixels import batch_to_images, grid
from latentfill.options import COMPLETE_PRESETS, PhotoOptions
from latentfill.pipeline import Done, Request, run
from latentfill.runs.holes import detail
from latentfill.types import Hole, PixelBatch, Pixels

SHOWN, PAGE = 32, 8  # faces of each sheet, and in a row
KINDS = ("eyes", "mouth", "center", "half")


def completed(gan: Gan, faces: list[Pixels], where: list[Hole], preset: str) -> tuple[PixelBatch, float]:
    """The faces, each completed as a photo, and the seconds for each."""
    requests = [Request(*pair) for pair in zip(faces, where, strict=True)]
    began = time.perf_counter()
    events = run(requests, gan, COMPLETE_PRESETS[preset], PhotoOptions(place="center"), batch_size=16)
    made = np.stack([event.filled.photo for event in events if isinstance(event, Done)])
    return made, (time.perf_counter() - began) / len(faces)


def cell(estimate: Estimate) -> str:
    low, high = estimate.interval
    return f"{estimate.value:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder or archive of aligned, unseen faces")
    parser.add_argument("model", help="name or file of a model with an upsampler")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sheets")
    parser.add_argument("--holes", nargs="+", default=list(KINDS))
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    gan, rows = load(arguments.model), []
    size = 2 * gan.network.size
    halves = [read_faces(arguments.data, size, part, arguments.count) for part in ("test", "choose")]
    names, faces = ([*first, *second][: arguments.count] for first, second in zip(*halves, strict=True))
    originals = np.stack(faces)
    for spec in arguments.holes:
        where = holes_for(spec, names, size)
        covered, shown = np.stack(where), [originals[:SHOWN]]
        shown.append(np.where(covered[:SHOWN, ..., None] > 0, np.uint8(128), shown[0]))
        inside = torch.from_numpy(covered[:, None] > 0).float()
        for name, model in (("without", replace(gan, upsampler=None)), ("with", gan)):
            made, seconds = completed(model, faces, where, arguments.preset)
            verdict = classify(originals, made, covered)
            share = detail(batch_to_images(made), inside) / detail(batch_to_images(originals), inside)
            colour = chroma(made, covered).sum() / chroma(originals, covered).sum()
            decibels = bootstrap.mean(psnr(made, originals, covered), 0)
            judged = (verdict.auc(0), bootstrap.mean(verdict.p_ids, 0))
            shares = f"{float(share):.2f}", f"{colour:.2f}"
            rows.append([spec, name, *map(cell, judged), *shares, f"{decibels.value:.2f}", f"{seconds * 1e3:.0f}"])
            shown.append(made[:SHOWN])
            print(" | ".join(rows[-1]), flush=True)
        lines = [
            picture
            for first in range(0, min(SHOWN, len(faces)), PAGE)
            for kind in shown
            for picture in kind[first : first + PAGE]
        ]
        photos.write(arguments.out / f"{spec.replace(':', '-')}.png", grid(lines, PAGE))
    print(heading(f"{arguments.model}, {arguments.preset}, {len(faces)} faces of {size} pixels"))
    print(
        table(
            ("hole", "upsampler", "AUC", "fooled", "finest detail", "colour's gradient", "PSNR dB", "ms per face"), rows
        )
    )


if __name__ == "__main__":
    main()
