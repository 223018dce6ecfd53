"""What each part of the search is worth: hole PSNR of searches that differ in one thing, paired on the same faces."""

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
from faces import holes_for, read_faces
from jaxtyping import Float
from machine import heading, table

from latentfill import load
from latentfill.completion.complete import complete
from latentfill.evaluation.distances import mean
from latentfill.evaluation.metrics import psnr
from latentfill.gan.gan import Gan
from latentfill.images.incomplete import Incomplete
from latentfill.images.pixels import to_pixels
from latentfill.models import DEFAULT
from latentfill.options import COMPLETE_PRESETS, CompleteOptions
from latentfill.photo.model_sized import blend, pose
from latentfill.types import PixelBatch

HOLES = ("center", "pattern", "random:0.8", "half", "thin")
BEST, FAST = COMPLETE_PRESETS["best"], COMPLETE_PRESETS["fast"]
SHORT = dataclasses.replace(FAST, start="random")
VARIANTS: dict[str, CompleteOptions] = {
    "random start, 1000 steps of 0.01 (seed)": COMPLETE_PRESETS["seed"],
    "random start, 100 steps of 0.2, falling": SHORT,
    "the same, D's term with 0.003": dataclasses.replace(SHORT, lam=0.003),
    "the same, 8 attempts, half of them pruned thrice": dataclasses.replace(SHORT, attempts=8, prune=True),
    "the same, then tuning": dataclasses.replace(BEST, start="random"),
    "encoder alone (fast)": FAST,
    "encoder, 20 steps of 0.05": dataclasses.replace(FAST, steps=20, learning_rate=0.05),
    "encoder, 4 attempts by held-out pixels": dataclasses.replace(FAST, attempts=4, held_out=0.08),
    "encoder, tuning (best)": BEST,
    "best, 20 steps of tuning": dataclasses.replace(BEST, tune_steps=20),
    "best, 80 steps of tuning": dataclasses.replace(BEST, tune_steps=80),
    "best, 20 steps of 0.05 before": dataclasses.replace(BEST, steps=20, learning_rate=0.05),
    "best, all known pixels alike": dataclasses.replace(BEST, context="l1"),
    "best, D's term with 0.003": dataclasses.replace(BEST, lam=0.003),
    "best, maps held ten times looser": dataclasses.replace(BEST, tune_weight=BEST.tune_weight / 10),
    "best, maps held ten times tighter": dataclasses.replace(BEST, tune_weight=BEST.tune_weight * 10),
    "best, 4 attempts by held-out pixels": dataclasses.replace(BEST, attempts=4, held_out=0.08),
}
REFERENCE = "encoder, tuning (best)"


def tried(
    gan: Gan, questions: list[Incomplete], options: CompleteOptions, ways: tuple[str, ...]
) -> tuple[dict[str, PixelBatch], float]:
    """The completed pictures, blended each way, and the processor's seconds per picture for the search."""
    complete(gan, questions[0].select(slice(1)), dataclasses.replace(options, steps=2, tune_steps=2))  # warmed up
    made: dict[str, list[PixelBatch]] = {way: [] for way in ways}
    seconds = 0.0
    for question in questions:
        start = time.process_time()
        answer = complete(gan, question, options)
        seconds += time.process_time() - start
        for way, pictures in made.items():
            pictures.append(np.stack(to_pixels(blend(question, answer, way))))
    return {way: np.concatenate(p) for way, p in made.items()}, seconds / sum(map(len, questions))


def difference(one: Float[np.ndarray, " n"], other: Float[np.ndarray, " n"]) -> str:
    """The mean difference with half the width of its 95 % interval."""
    found = mean(one - other, 0)
    low, high = found.interval
    return f"{found.value:+.2f} ± {(high - low) / 2:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder or archive of aligned, unseen faces")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--holes", nargs="+", default=list(HOLES))
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--part", choices=("choose", "test"), default="choose", help="half of the collection")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of the variants to try")
    arguments = parser.parse_args()

    gan = load(arguments.model)
    names, crops = read_faces(arguments.data, gan.network.size, arguments.part, arguments.count)
    chosen = [name for name in VARIANTS if any(part in name for part in arguments.only)]
    chosen.sort(key=lambda name: name != REFERENCE)  # it comes first: the others are measured against it
    rows: dict[str, list[str]] = {name: [name] for name in chosen}
    work = dict.fromkeys(chosen, 0.0)
    for spec in arguments.holes:
        where = holes_for(spec, names, gan.network.size)
        starts = range(0, len(crops), arguments.batch)
        batches = [(crops[i : i + arguments.batch], where[i : i + arguments.batch]) for i in starts]
        questions = [pose(gan, *batch) for batch in batches]
        best: Float[np.ndarray, " n"] | None = None
        for name in chosen:
            made, seconds = tried(gan, questions, VARIANTS[name], ("overlay", "poisson"))
            overlaid, blended = (psnr(made[way], np.stack(crops), np.stack(where)) for way in ("overlay", "poisson"))
            best = blended if best is None else best
            shown = f"{blended.mean():.2f}" if best is blended else difference(blended, best)
            rows[name] += [f"{shown} ({overlaid.mean():.2f})"]
            work[name] += seconds / len(arguments.holes)
            print(spec, rows[name][0], rows[name][-1], f"{1000 * seconds:.1f} ms", flush=True)
    title = f"Parts of the search: {len(crops)} unseen faces, model {arguments.model}"
    print(heading(title))
    print(
        "PSNR in the hole, Poisson: of best in dB, of the others the paired difference from it; in brackets overlay.\n"
    )
    told = [[*row, f"{1000 * work[name]:.0f}"] for name, row in rows.items()]
    print(table(("search", *arguments.holes, "processor ms per image"), told))


if __name__ == "__main__":
    main()
