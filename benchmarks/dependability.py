"""Whether `train` can be relied upon: several seeds of each preset on five collections, each run judged for collapse.

The collections are faces, flowers, drawn shapes, 500 faces only, and grey digits. A run's samples are compared with as
many of its pictures, in 16x16 grey pixels and for faces in dlib's embedding, never by its own discriminator. It counts
as collapsed where samples are alike, where they are further from the pictures than half of what the pictures' mean
alone would be, or where numbers stopped being numbers; a training that was too short looks no better. What is finished
is not done again, and what is not goes on from its last checkpoint, so it can be interrupted.
"""

import argparse
import csv
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawn import digits, shapes
from verdicts import Finding, Key, finished, judged, keep, report, row

from latentfill import load
from latentfill.errors import RunError
from latentfill.images import photos
from latentfill.images.pixels import grid
from latentfill.options import GAN_PRESETS, NetworkOptions, RunOptions, Size, TrainOptions
from latentfill.runs.data import Dataset, open_dataset
from latentfill.training.gan_run import train

FOLDERS = ("faces", "flowers", "shapes", "few", "digits")
FACES = ("faces", "few")  # whose pictures dlib knows
FEW = 500
DRAWN = 6000
LAST = 0.1  # share of a run over which its losses are averaged


def collection(name: str, size: Size, arguments: argparse.Namespace) -> Dataset:
    """The pictures of a folder, decoded or drawn once."""
    if name in ("shapes", "digits"):
        path = arguments.out / "drawn" / f"{name}-{size}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn = (shapes if name == "shapes" else digits)(DRAWN, size)
            photos.write_file(path, lambda file: np.save(file, drawn))
        return Dataset(np.load(path, mmap_mode="r"), [str(number) for number in range(DRAWN)], [])
    places = arguments.flowers if name == "flowers" else arguments.faces
    if not places:
        raise SystemExit(f"{name}: name the archives with --{'flowers' if name == 'flowers' else 'faces'}")
    return open_dataset(places, size, 3, arguments.cache, FEW if name == "few" else None)


Recipe = tuple[NetworkOptions, TrainOptions]


def trained(data: Dataset, folder: Path, recipe: Recipe, seed: int, arguments: argparse.Namespace, flip: bool) -> bool:
    """Train to the end, or go on from where it was interrupted. False if it broke down."""
    network, options = recipe
    network = replace(network, size=arguments.size, channels=1 if data.pixels.shape[3] == 1 else 3)
    options = replace(options, images_seen=arguments.images, epochs=None, seed=seed, flip=flip and options.flip)
    run = RunOptions(
        sample_every=min(6_400, max(1, arguments.images // 4)),
        checkpoint_every=arguments.checkpoint_every,
        keep_checkpoints=1,
        device=arguments.device,
        threads=arguments.threads,
    )
    try:
        steps = train(data, folder, network, options, run)
        for progress in steps:
            if arguments.stop_at and time.monotonic() > arguments.stop_at:
                steps.close()  # type: ignore[attr-defined]  # which saves
                raise SystemExit(f"out of time at {progress.images_seen:,} images; the same command goes on")
    except RunError as error:
        if "broke down" not in error.what:
            raise
        print(error.what, flush=True)
        return False
    return True


def curves(folder: Path) -> dict[str, Any]:
    """Means over the last part of the game of what metrics.csv tells; the pace is the median of all of the run."""
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    played = [row for row in rows if row["discriminator_loss"]]
    last = played[-max(1, round(LAST * len(rows))) :]

    def mean(column: str) -> float:
        return float(np.mean([float(row[column]) for row in last]))

    spoken = folder / "warnings.jsonl"
    return {
        "warnings": len(spoken.read_text().splitlines()) if spoken.exists() else 0,
        "discriminator_loss": mean("discriminator_loss"),
        "gap": mean("real_logit") - mean("fake_logit"),
        "images_per_second": float(np.median([float(row["images_per_second"]) for row in rows])),
    }


def one(preset: str, recipe: Recipe, name: str, seed: int, folder: Path, arguments: argparse.Namespace) -> Finding:
    """One run from pictures to verdict. `preset` is what its recipe is called."""
    data = collection(name, arguments.size, arguments)
    finite = trained(data, folder, recipe, seed, arguments, flip=name != "digits")  # a mirrored digit is none
    about = Finding(preset, name, seed, arguments.size, arguments.images, 0, finite=finite)
    if not finite:
        return about
    gan = load(folder, arguments.device)
    numbers, made = judged(gan, data, arguments.judge, faces=name in FACES)
    photos.write(arguments.out / "sheets" / f"{folder.name}.png", grid(list(made[:64])))
    return replace(about, **numbers, **curves(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of runs, sheets, results.csv and table.md")
    parser.add_argument("--faces", type=Path, nargs="+", default=[], help="folders or archives of aligned faces")
    parser.add_argument("--flowers", type=Path, nargs="+", default=[], help="folders or archives of flowers")
    parser.add_argument("--folders", nargs="+", choices=FOLDERS, default=list(FOLDERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--presets", nargs="+", choices=GAN_PRESETS, default=["modern", "seed"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--images", type=int, default=200_000, help="seen in each run")
    parser.add_argument("--judge", type=int, default=1000, help="samples compared with as many pictures, if there are")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cache", type=Path, help="where decoded pictures are kept")
    parser.add_argument("--checkpoint-every", type=int, default=32_000, help="images after which a run can go on")
    parser.add_argument("--hours", type=float, default=0, help="stop after so long, to be continued; 0 never")
    arguments = parser.parse_args()
    arguments.stop_at = time.monotonic() + 3600 * arguments.hours if arguments.hours else 0
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = arguments.out / "results.csv"
    done = finished(results)
    # Seed by seed, so that a first table has all folders.
    asked = product(arguments.seeds, arguments.folders, arguments.presets)
    wanted = [(preset, name, seed, arguments.size, arguments.images) for seed, name, preset in asked]
    for run in wanted:
        if run not in done:
            preset, name, seed, size, images = run
            folder = arguments.out / "runs" / f"{preset}-{name}-{size}-{images}-{seed}"
            done[run] = one(preset, GAN_PRESETS[preset], name, seed, folder, arguments)
            keep(results, done[run])
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # half a gigabyte that nobody needs any more
            print(" | ".join(row(done[run])), flush=True)
            (arguments.out / "table.md").write_text(all_alike(done, arguments))
    print(all_alike(done, arguments))


def all_alike(done: Mapping[Key, Finding], arguments: argparse.Namespace) -> str:
    """The report of all runs of this size and length, those too that were not asked for this time."""
    alike = (arguments.size, arguments.images)
    return report([done[run] for run in sorted(done) if run[3:] == alike], *alike)


if __name__ == "__main__":
    main()
