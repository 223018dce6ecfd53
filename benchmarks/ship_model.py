"""Store a trained model with half-precision weights, and see that completions do not change by it."""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
from faces import completed, holes_for, read_faces, scores
from machine import heading, table

from latentfill import Gan, load
from latentfill.gan import checkpoint
from latentfill.options import COMPLETE_PRESETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="model file of a run")
    parser.add_argument("out", type=Path, help="model file to write")
    parser.add_argument("data", type=Path, help="folder or archive of aligned, unseen faces")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    gan = load(arguments.model)
    checkpoint.save(Gan(gan.generator, gan.discriminator, gan.network, gan.about), arguments.out, torch.float16)
    names, crops = read_faces(arguments.data, gan.network.size, "choose", arguments.count)
    where = holes_for("center", names, gan.network.size)
    options = dataclasses.replace(COMPLETE_PRESETS["seed"], steps=arguments.steps)
    made = [completed(load(path), crops, where, options)["overlay"] for path in (arguments.model, arguments.out)]
    difference = np.abs(np.stack(made[0]).astype(int) - np.stack(made[1]))
    rows = [
        (path.name, f"{path.stat().st_size / 1e6:.1f}", f"{scores(pictures, crops, where)[0]:.3f}")
        for path, pictures in zip((arguments.model, arguments.out), made, strict=True)
    ]
    print(heading(f"Half-precision weights, {arguments.count} unseen faces, {arguments.steps} steps"))
    print(table(("file", "MB", "PSNR in the hole, dB"), rows))
    hole = np.stack(where) > 0
    print(
        f"\nDifference in the hole: mean {difference[hole].mean():.2f}, largest {difference[hole].max()} grey levels."
    )


if __name__ == "__main__":
    main()
