"""PSNR and SSIM in the hole, of presets and holes, on unseen faces; and of the mean image, for comparison."""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
from faces import HOLES, completed, holes_for, read_faces, scores, with_steps
from machine import heading, table

from latentfill import load
from latentfill.images import photos
from latentfill.images.pixels import grid
from latentfill.models import DEFAULT
from latentfill.options import COMPLETE_PRESETS
from latentfill.types import Pixels


def mean_filled(mean: Pixels, crops: list[Pixels], where: list[np.ndarray]) -> list[Pixels]:
    return [np.where(w[..., None] > 0, mean, c).astype(np.uint8) for c, w in zip(crops, where, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder or archive of aligned, unseen faces")
    parser.add_argument("--train", type=Path, help="where the mean image is taken from (first 2000 pictures)")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--presets", nargs="+", default=["seed", "paper"])
    parser.add_argument("--holes", nargs="+", default=list(HOLES))
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--steps", type=int, help="instead of the preset's")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--out", type=Path, help="write contact sheets and rows.json here")
    arguments = parser.parse_args()

    gan = load(arguments.model)
    size = gan.network.size
    names, crops = read_faces(arguments.data, size, "test", arguments.count)
    mean = None
    if arguments.train:
        _, known_faces = read_faces(arguments.train, size, "test", 2000)
        mean = np.round(np.stack(known_faces).mean(0)).astype(np.uint8)
    rows = []
    for spec in arguments.holes:
        where = holes_for(spec, names, size)
        made: dict[str, list[Pixels]] = {}
        if mean is not None:
            made["mean image"] = mean_filled(mean, crops, where)
            rows.append([spec, "mean image", *(f"{s:.3f}" for s in scores(made["mean image"], crops, where)), ""])
        for preset in arguments.presets:
            options = with_steps(COMPLETE_PRESETS[preset], arguments.steps)
            start = time.perf_counter()
            both = completed(gan, crops, where, dataclasses.replace(options, precision=arguments.precision))
            seconds = (time.perf_counter() - start) / len(crops)
            for way, pictures in both.items():
                own = " (its own)" if way == options.blend else ""
                made[f"{preset}, {way}"] = pictures
                rows.append([spec, f"{preset}, {way}{own}", *(f"{s:.3f}" for s in scores(pictures, crops, where))])
                rows[-1].append(f"{seconds:.2f}")
            print(rows[-2:], flush=True)
        if arguments.out:
            shown = range(min(8, len(crops)))
            tiles = [crops[i] for i in shown]
            tiles += [np.where(where[i][..., None] > 0, 128, crops[i]).astype(np.uint8) for i in shown]
            tiles += [pictures[i] for pictures in made.values() for i in shown]
            photos.write(arguments.out / f"{spec.replace(':', '-')}.png", grid(tiles, len(shown)))
    if arguments.out:
        (arguments.out / "rows.json").write_text(json.dumps(rows, indent=1))
    print(heading(f"Completion in the hole: {len(crops)} unseen faces, model {arguments.model}"))
    print(table(("hole", "method", "PSNR dB", "SSIM", "s per image"), rows))


if __name__ == "__main__":
    main()
