"""Seconds per image of a whole search, for one image and for many at once."""

import argparse
import dataclasses
import statistics
import time

import torch
from machine import heading, table

from latentfill import complete, load
from latentfill.gan.gan import Gan
from latentfill.images.incomplete import Incomplete
from latentfill.options import COMPLETE_PRESETS, CompleteOptions


def seconds(gan: Gan, count: int, options: CompleteOptions) -> float:
    """One search on the model's own samples, a quarter of each missing; the networks' preparation included."""
    with torch.no_grad():
        images = gan.generator(gan.generator.prior.sample(range(count)))
    side = images.shape[-1]
    known = torch.ones(count, 1, side, side)
    known[..., side // 4 : -side // 4, side // 4 : -side // 4] = 0
    start = time.perf_counter()
    complete(gan, Incomplete(images, known), options)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="faces-64-dcgan")
    parser.add_argument("--preset", default="seed")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "auto"])
    arguments = parser.parse_args()
    gan = load(arguments.model)
    rows = []
    for count in arguments.counts:
        for precision in arguments.precisions:
            options = dataclasses.replace(
                COMPLETE_PRESETS[arguments.preset], steps=arguments.steps, precision=precision
            )
            seconds(gan, count, dataclasses.replace(options, steps=3))
            taken = [seconds(gan, count, options) / count for _ in range(arguments.rounds)]
            spread = f"{min(taken):.2f} to {max(taken):.2f}"
            rows.append((count, precision, f"{statistics.median(taken):.2f}", spread, arguments.rounds))
    print(heading(f"Time of a search: preset {arguments.preset}, {arguments.steps} steps"))
    print(table(("images at once", "precision", "seconds per image (median)", "range", "rounds"), rows))


if __name__ == "__main__":
    main()
