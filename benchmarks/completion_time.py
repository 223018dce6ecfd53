"""Seconds per image of a whole search with its blending, for one image and for many at once."""

import argparse
import dataclasses
import statistics
import time

import torch
from machine import heading, table

from latentfill import blend, complete, load
from latentfill.gan.gan import Gan
from latentfill.images.incomplete import Incomplete
from latentfill.models import DEFAULT
from latentfill.options import COMPLETE_PRESETS, CompleteOptions


def seconds(gan: Gan, count: int, options: CompleteOptions) -> float:
    """One search on the model's own samples, a quarter of each missing; the networks' preparation included."""
    with torch.no_grad():
        images = gan.generator(gan.generator.prior.sample(range(count)))
    side = images.shape[-1]
    known = torch.ones(count, 1, side, side)
    known[..., side // 4 : -side // 4, side // 4 : -side // 4] = 0
    start = time.perf_counter()
    incomplete = Incomplete(images, known)
    blend(incomplete, complete(gan, incomplete, options), options.blend)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--preset", default="seed")
    parser.add_argument("--steps", type=int, help="instead of the preset's")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "auto"])
    arguments = parser.parse_args()
    gan = load(arguments.model)
    rows = []
    for count in arguments.counts:
        for precision in arguments.precisions:
            options = dataclasses.replace(COMPLETE_PRESETS[arguments.preset], precision=precision)
            if arguments.steps is not None:
                options = dataclasses.replace(options, steps=arguments.steps)
            seconds(gan, count, dataclasses.replace(options, steps=min(3, options.steps)))
            taken = [seconds(gan, count, options) / count for _ in range(arguments.rounds)]
            spread = f"{min(taken):.4f} to {max(taken):.4f}"
            rows.append((count, precision, f"{statistics.median(taken):.4f}", spread, arguments.rounds))
    print(heading(f"Time of a search: preset {arguments.preset}, {options.steps} steps"))
    print(table(("images at once", "precision", "seconds per image (median)", "range", "rounds"), rows))


if __name__ == "__main__":
    main()
