"""How good generators are as priors, on the same search budget: the preset `seed` from random z, on unseen faces.

No encoder helps and nothing is tuned: what differs is the model. Completions are judged by their holes' PSNR and by
distances to the originals, samples by distances to as many unseen faces; in 16x16 grey pixels and in dlib's embedding,
never by a model's own discriminator. Answers are kept in OUT: what is done is never done again.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from faces import HOLES, face_space
from machine import heading, table

from latentfill import load
from latentfill.evaluation import distances as bootstrap
from latentfill.evaluation.benchmark import Trial, read_pictures
from latentfill.evaluation.distances import Estimate, frechet, kernel_terms, unit_of
from latentfill.evaluation.feature_spaces import IDENTITY, Space, pixels
from latentfill.evaluation.methods import Resources, search_method
from latentfill.files import listing
from latentfill.gan.gan import Gan
from latentfill.gan.model_file import digest_weights
from latentfill.images.pixels import to_pixels
from latentfill.models import find
from latentfill.options import COMPLETE_PRESETS
from latentfill.types import PixelBatch

SAMPLES = 7 << 64  # a stream of its own
AT_ONCE = 64
METRICS = (
    ("psnr", "hole"),
    *((f"{kind}:{space}", "image") for space in (IDENTITY, "pixels") for kind in ("frechet", "kernel")),
)
HEAD = ("PSNR dB", "Fréchet, dlib", "kernel, dlib", "Fréchet, pixels", "kernel, pixels")


def named(models: Sequence[str]) -> dict[str, str]:
    """NAME=MODEL, or a model alone, which is called like its file, or like its run's folder."""
    pairs = [model.split("=", 1) if "=" in model else ["", model] for model in models]
    found = {}
    for name, place in pairs:
        path = find(place)
        found[name or (path.parent.name if path.stem == "model" else path.stem)] = place
    if len(found) < len(models):
        raise SystemExit("models need names of their own: NAME=MODEL")
    return found


@torch.no_grad()
def samples(gan: Gan, count: int) -> PixelBatch:
    prior, parts = gan.generator.prior, []
    for first in range(0, count, AT_ONCE):
        seeds = [SAMPLES + number for number in range(first, min(count, first + AT_ONCE))]
        parts.append(np.stack(to_pixels(gan.generator(prior.sample(seeds).to(gan.device)).float())))
    return np.concatenate(parts)


def distances(made: PixelBatch, real: PixelBatch, spaces: Mapping[str, Space]) -> dict[str, Estimate]:
    """Fréchet and kernel distance in each space."""
    found = {}
    for name, space in spaces.items():
        one, other = space.measure(made), space.measure(real)

        def between(rows: Any, one: Any = one, other: Any = other) -> float:
            return frechet(one[rows], other[rows])

        found[f"frechet:{name}"] = bootstrap.any_number(between, len(one), 0)
        found[f"kernel:{name}"] = bootstrap.mean_of_pairs(kernel_terms(one, other, unit_of(other)), 0)
    return found


def cell(value: float, low: float, high: float, metric: str, *, difference: bool = False) -> str:
    digits = 2 if metric == "psnr" else 4
    return f"{value:{'+' if difference else ''}.{digits}f} ± {(high - low) / 2:.{digits}f}"


def completions(report: Mapping[str, Any]) -> list[list[str]]:
    """Two lines for each model, for the first only one: its numbers, and the paired differences from the first."""
    rows = []
    found = {(r["hole"], r["method"], r["metric"], r["region"]): r for r in report["rows"]}
    pairs = {(d["hole"], d["method"], d["minus"], d["metric"], d["region"]): d for d in report["differences"]}
    seconds = {(s["hole"], s["method"]): f"{s['processor']:.2f}" for s in report["seconds_per_image"]}
    holes, methods = (list(dict.fromkeys(r[key] for r in report["rows"])) for key in ("hole", "method"))
    first = methods[0]
    for hole in holes:
        for method in methods:
            told = [(found[hole, method, *metric], metric[0]) for metric in METRICS]
            rows.append([hole, method, *(cell(r["value"], r["low"], r["high"], m) for r, m in told)])
            rows[-1].append(seconds[hole, method])
            if method != first:
                gone = [(pairs[hole, first, method, *metric], metric[0]) for metric in METRICS]
                signed = (cell(0 - d["value"], d["low"], d["high"], m, difference=True) for d, m in gone)
                rows.append([hole, f"{method} less {first}", *signed, ""])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder or archive of aligned, unseen faces")
    parser.add_argument(
        "models", nargs="+", help="NAME=MODEL or MODEL (file, run folder, name); the first is compared to"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="answers are kept here, beside report and contact sheet"
    )
    parser.add_argument("--holes", nargs="+", default=list(HOLES))
    parser.add_argument("--count", type=int, default=256, help="faces to complete")
    parser.add_argument(
        "--faces", type=int, default=1722, help="faces, if there are so many: samples are compared with one half"
    )
    parser.add_argument("--steps", type=int, default=COMPLETE_PRESETS["seed"].steps)
    parser.add_argument("--attempts", type=int, default=1)
    parser.add_argument(
        "--learning-rate", type=float, default=COMPLETE_PRESETS["seed"].learning_rate, help="step of the search"
    )
    parser.add_argument("--schedule", choices=("constant", "cosine"), default=COMPLETE_PRESETS["seed"].schedule)
    parser.add_argument("--part", choices=("all", "test", "choose"), default="test", help="of the faces to complete")
    parser.add_argument("--batch", type=int, default=AT_ONCE)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    gans = {name: load(place, arguments.device) for name, place in named(arguments.models).items()}
    first = next(iter(gans.values()))
    if len({(gan.network.size, gan.network.channels) for gan in gans.values()}) > 1:
        raise SystemExit("models of one size and as many channels can be compared")
    names = ("steps", "attempts", "learning_rate", "schedule")
    settings = {name: getattr(arguments, name) for name in names}
    options = replace(COMPLETE_PRESETS["seed"], **settings)
    spaces = {"pixels": pixels(first), IDENTITY: face_space()}
    digests = {name: digest_weights(gan.generator, gan.discriminator) for name, gan in gans.items()}
    methods = {
        name: search_method(options)(Resources(gan, digests={"gan": digests[name]})) for name, gan in gans.items()
    }

    everything, _ = read_pictures(list(listing.find_pictures([arguments.data])), first, arguments.faces)
    half = len(everything) // 2
    real, others = everything.pixels[:half], everything.pixels[half : 2 * half]
    rows = [["(as many other faces)", *_cells(distances(others, real, spaces))]]
    for name, gan in gans.items():
        rows.append([name, *_cells(distances(samples(gan, half), real, spaces))])
        print(rows[-1], flush=True)

    pictures, _ = read_pictures(list(listing.find_pictures([arguments.data])), first, arguments.count, arguments.part)
    about = {
        "command": "benchmarks/priors.py",
        "machine": "",
        "settings": {"count": len(pictures), **settings},
        "left_out": [],
    }
    key = " ".join([*digests.values(), repr(options)])
    trial = Trial(arguments.out, pictures, methods, arguments.holes, spaces, key, 0, arguments.batch, about)
    for done, total, what in trial.complete():
        print(f"{done} of {total}, {what}", flush=True)
    for _ in trial.score():
        pass
    budget = f"{arguments.steps} {arguments.schedule} steps of {arguments.learning_rate}, {arguments.attempts} attempts"
    print(heading(f"Generators as priors: {len(pictures)} unseen faces, preset seed, {budget}"))
    print(table(("hole", "model", *HEAD, "processor s per image"), completions(trial.report())))
    print("\n" + heading(f"As many samples against {half} unseen faces"))
    print(table(("model", *HEAD[1:]), rows))
    print("\nHalf of the 95 % interval stands after ±. Fréchet distances are too large for few pictures.")


def _cells(found: Mapping[str, Estimate]) -> list[str]:
    names = [name for name, _ in METRICS[1:]]
    return [cell(found[name].value, *found[name].interval, name) for name in names]


if __name__ == "__main__":
    main()
