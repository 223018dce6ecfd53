"""What each piece of the post's relatives does to a recipe: the same training with it and without, several seeds.

The recipe is `train --preset seed`, or `modern`, at a size and width that a processor trains in minutes. Of each run
the samples are compared with its pictures as in `dependability.py`. What is finished is not done again, and what is
not goes on.
"""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from dependability import FOLDERS, Recipe, one
from machine import heading, table
from verdicts import Finding, finished, keep

from latentfill.options import GAN_PRESETS, NetworkOptions


def recipes(preset: str, base: int) -> dict[str, Recipe]:
    """By name: a preset's networks and training, and the same with one thing more or less."""
    return of_seed(base) if preset == "seed" else of_modern()


def of_modern() -> dict[str, Recipe]:
    """Its networks have a width of their own, and no norms."""
    network, train = GAN_PRESETS["modern"]

    def with_(networks: NetworkOptions = network, **options: float | str) -> Recipe:
        return networks, replace(train, **options)  # type: ignore[arg-type]

    return {
        "the modern recipe": with_(),
        "modern at a third of the rate": with_(learning_rate=4e-4),
        "modern at three times the rate": with_(learning_rate=3.6e-3),
        "modern with two updates of G": with_(generator_steps=2),
        "modern in batches of 32": with_(batch_size=32),
        "modern without augmentation": with_(augment="none"),
        "modern, always augmented": with_(augment="fixed"),
        "modern with feature matching 1": with_(feature_matching=1.0),
        "modern with historical averaging 0.01": with_(history=0.01),
        "modern with minibatch discrimination": with_(replace(network, minibatch_kernels=100)),
        "modern with noise 0.1": with_(noise=0.1),
        "modern without redrawing first": with_(redraw_first=0),
        "modern with its encoder in the game": with_(completer=False),
        "modern without an encoder": with_(redraw_first=0, reconstruct=0.0),
    }


def of_seed(base: int) -> dict[str, Recipe]:
    """Of the post's networks, narrower."""
    network, train = GAN_PRESETS["seed"]
    network, train = replace(network, base=base), replace(train, augment="none")  # auto would augment few pictures

    def with_(networks: NetworkOptions = network, **options: float | str) -> Recipe:
        return networks, replace(train, **options)  # type: ignore[arg-type]

    without_norms = replace(network, norm="none")
    return {
        "the post's recipe": with_(),
        "augmentation": with_(augment="fixed"),
        "adaptive augmentation": with_(augment="adaptive"),
        "label smoothing 0.1": with_(label_smoothing=0.1),
        "feature matching 1": with_(feature_matching=1.0),
        "historical averaging 0.01": with_(history=0.01),
        "minibatch discrimination": with_(replace(network, minibatch_kernels=100)),
        "virtual batch norm": with_(replace(network, norm="virtual")),
        "noise 0.1": with_(noise=0.1),
        "minimax": with_(loss="minimax"),
        "Wasserstein, penalty 10, five updates": with_(
            without_norms,
            loss="wasserstein",
            gradient_penalty=10.0,
            discriminator_steps=5,
            generator_steps=1,
            beta1=0.0,
        ),
        "pairs, R1 and R2, no norms": with_(
            without_norms, loss="relativistic", r1=0.5, r2=0.5, generator_steps=1, beta1=0.0, beta2=0.99
        ),
    }


def mean(values: Sequence[float | str]) -> str:
    """The mean over seeds, and how far the seeds lie apart."""
    numbers = [float(value) for value in values if value != ""]
    return f"{np.mean(numbers):.3f} ({min(numbers):.3f}-{max(numbers):.3f})" if numbers else ""


def told(found: Sequence[Finding], folder: str, size: int, images: int) -> str:
    """A row for each recipe: means over its seeds."""
    rows = []
    for name in dict.fromkeys(f.preset for f in found):
        own = [f for f in found if f.preset == name and f.finite]
        broke = sum(f.preset == name and not f.finite for f in found)
        columns = [[getattr(f, part) for f in own] for part in ("frechet", "face_frechet", "diversity", "nearest")]
        pace = np.median([f.images_per_second for f in own]) if own else 0
        rows.append([name, len(own), broke, *map(mean, columns), f"{pace:.0f}"])
    title = f"Pieces of the relatives: {folder}, {images:,} images of {size} px"
    head = ("recipe", "runs", "broke down", "Fréchet", "Fréchet, dlib", "diversity", "nearest", "images/s")
    return f"{heading(title)}\n{table(head, rows)}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of runs, sheets, results.csv and table.md")
    parser.add_argument("--faces", type=Path, nargs="+", default=[], help="folders or archives of aligned faces")
    parser.add_argument("--flowers", type=Path, nargs="+", default=[], help="folders or archives of flowers")
    parser.add_argument("--folders", nargs="+", choices=FOLDERS, default=["few"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--preset", choices=GAN_PRESETS, default="seed")
    parser.add_argument("--only", nargs="+", help="of the recipes those whose names begin so")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--base", type=int, default=32, help="maps at half the size, in the D of the post's networks")
    parser.add_argument("--images", type=int, default=40_000, help="seen in each run")
    parser.add_argument("--judge", type=int, default=1000, help="samples compared with as many pictures, if there are")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cache", type=Path, help="where decoded pictures are kept")
    arguments = parser.parse_args()
    arguments.stop_at, arguments.checkpoint_every = 0, arguments.images
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results, recipe_of = arguments.out / "results.csv", recipes(arguments.preset, arguments.base)
    done = finished(results)
    names = [name for name in recipe_of if not arguments.only or name.startswith(tuple(arguments.only))]
    for seed in arguments.seeds:
        for folder in arguments.folders:
            for number, name in enumerate(names):
                run = (name, folder, seed, arguments.size, arguments.images)
                if run in done:
                    continue
                kind = f"{folder}-{number:02}-{arguments.size}-{arguments.images}-{seed}"
                place = arguments.out / "runs" / (kind if arguments.preset == "seed" else f"modern-{kind}")
                done[run] = one(name, recipe_of[name], folder, seed, place, arguments)
                keep(results, done[run])
                shutil.rmtree(place / "checkpoints", ignore_errors=True)
                print(folder, name, seed, f"{done[run].frechet:.3f}", done[run].verdict, flush=True)
    tables = []
    for folder in arguments.folders:
        alike = (folder, arguments.size, arguments.images)
        found = [f for f in done.values() if (f.folder, f.size, f.images) == alike and f.preset in recipe_of]
        order = sorted(found, key=lambda f: (list(recipe_of).index(f.preset), f.seed))
        tables.append(told(order, folder, arguments.size, arguments.images))
    (arguments.out / "table.md").write_text("\n".join(tables))
    print("\n".join(tables))


if __name__ == "__main__":
    main()
