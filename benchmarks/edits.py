"""How much the hole changes along an edit, and how little the known pixels do, against moves towards other latents."""

import argparse
import time
from pathlib import Path

import torch
from faces import holes_for, read_faces
from machine import heading, table

from latentfill import find_edits, load
from latentfill.completion.complete import complete
from latentfill.figures.samples import edit_sheet
from latentfill.gan.directions import TOLERANCE
from latentfill.gan.fused import fuse
from latentfill.gan.gan import Generator
from latentfill.images import photos
from latentfill.options import COMPLETE_PRESETS
from latentfill.photo.model_sized import pose
from latentfill.types import Images, Known, Latents

GREY_LEVEL = 2 / 255
STEPS = 4
Ends = list[tuple[float, float]]  # changes of the hole and of the known pixels, in grey levels


def changes(start: Images, images: Images, known: Known) -> Ends:
    """Root mean square change of each image in the hole and in the known pixels."""
    squares = (images - start).square()
    hole, kept = (
        ((squares * where).sum((1, 2, 3)) / (where.sum() * squares.shape[1])).sqrt() / GREY_LEVEL
        for where in (1 - known, known)
    )
    return list(zip(hole.tolist(), kept.tolist(), strict=True))


def random_moves(generator: Generator, z: Latents, known: Known, count: int, seed: int) -> Latents:
    """Where moves towards other latents change the known pixels by as much as an edit may, found by bisection."""
    start = generator(z)
    others = generator.prior.sample([(24 << 64) + seed * count + i for i in range(count)])
    low, high = torch.zeros(count, 1), torch.ones(count, 1)
    for _ in range(12):
        middle = (low + high) / 2
        off = (generator(z + middle * (others - z)) - start) * known
        kept = (off.square().sum((1, 2, 3)) / (known.sum() * off.shape[1])).sqrt()[:, None]
        low, high = torch.where(kept <= TOLERANCE, middle, low), torch.where(kept <= TOLERANCE, high, middle)
    return z + low * (others - z)


def median(values: list[float]) -> str:
    return f"{torch.tensor(values).median():.1f}"


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder or archive of aligned, unseen faces")
    parser.add_argument("--model", default="faces-64-dcgan")
    parser.add_argument("--holes", nargs="+", default=["center", "half", "pattern"])
    parser.add_argument("--part", default="choose", help="which half of the pictures: test or choose")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--edits", type=int, default=4)
    parser.add_argument("--out", type=Path, help="write the edits of the first four pictures of each hole here")
    arguments = parser.parse_args()

    gan = load(arguments.model)
    generator = fuse(gan).generator
    names, crops = read_faces(arguments.data, gan.network.size, arguments.part, arguments.count)
    rows, times = [], []
    for hole in arguments.holes:
        incomplete = pose(gan, crops, holes_for(hole, names, gan.network.size))
        with torch.enable_grad():
            answer = complete(gan, incomplete, COMPLETE_PRESETS["best"])
        found: dict[str, Ends] = {}
        for i in range(len(crops)):
            z, known = answer.z[i : i + 1], incomplete.known[i : i + 1]
            start = time.process_time()
            edits = find_edits(generator, z, known, arguments.edits)
            middle = time.process_time()
            paths = edits.paths(generator, STEPS)
            times.append((middle - start, time.process_time() - middle))
            image = generator(z)
            for way, made in (("", paths), (", not corrected", edits.paths(generator, STEPS, corrections=0))):
                for number, path in enumerate(made, 1):
                    found.setdefault(f"edit {number}{way}", []).extend(changes(image, generator(path[[0, -1]]), known))
            moved = random_moves(generator, z, known, 2 * arguments.edits, i)
            found.setdefault("towards another latent", []).extend(changes(image, generator(moved), known))
        for way in sorted(found, key=lambda name: ("edit" not in name, "not" in name)):
            in_hole, in_known = ([pair[part] for pair in found[way]] for part in (0, 1))
            ratio = [a / max(b, 1e-6) for a, b in found[way]]
            rows.append([hole, way, median(in_hole), median(in_known), f"{max(in_known):.1f}", median(ratio)])
        print(rows[-1], flush=True)
        if arguments.out:
            first = slice(0, 4)
            sheet = edit_sheet(gan, incomplete.select(first), answer.select(first), arguments.edits, "poisson")
            if sheet is not None:
                photos.write(arguments.out / f"edits-{hole.replace(':', '-')}.png", sheet)
    print(heading(f"Edits of {len(crops)} completed faces, from the middle to both ends: changes of G in grey levels"))
    print(table(("hole", "move", "hole, median", "known, median", "known, most", "hole / known"), rows))
    found_in, walked_in = (sorted(part)[len(times) // 2] for part in zip(*times, strict=True))
    print(f"\nProcessor seconds per picture: {found_in:.2f} to find the edits, {walked_in:.2f} to walk them.")


if __name__ == "__main__":
    main()
