"""Does a model know how wrong it is? Ranks of predicted errors, what intervals and bands hold, who is called unlike."""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import skimage.data
import torch
from faces import holes_for, read_faces
from machine import heading, table

from latentfill import load
from latentfill.completion.complete import complete
from latentfill.gan.gan import Gan
from latentfill.images.pixels import GREY_LEVEL, fit
from latentfill.models import DEFAULT
from latentfill.options import COMPLETE_PRESETS
from latentfill.photo.model_sized import blend, pose
from latentfill.seeds import philox
from latentfill.types import Hole, Pixels
from latentfill.uncertainty.fitting import rank_correlation
from latentfill.uncertainty.predict import Uncertainty, predict_error

NAMED = ("chelsea", "coffee", "rocket", "page", "text", "coins", "brick", "grass", "camera", "hubble_deep_field")
PARTS = 8  # of each named picture: the whole and seven squares of it
BATCH = 64
HOLES = ["center", "half", "random:0.8", "pattern", "thin", "medium", "thick"]
Numbers = dict[str, torch.Tensor]


def judged(gan: Gan, pictures: Sequence[Pixels], where: Sequence[Hole], preset: str) -> tuple[Numbers, float]:
    """For each completion what was told and what was true; and the processor's seconds for the telling, per image."""
    options = COMPLETE_PRESETS[preset]
    rows: list[Numbers] = []
    seconds = 0.0
    for first in range(0, len(pictures), BATCH):
        incomplete = pose(gan, pictures[first : first + BATCH], where[first : first + BATCH])
        found = complete(gan, incomplete, options)
        wrong = (blend(incomplete, found, options.blend) - incomplete.images).abs() / GREY_LEVEL
        begun = time.process_time()  # after the blending, whose factors serve for both
        trust = predict_error(gan, incomplete, found, options)
        seconds += time.process_time() - begun
        rows.append(compared(trust, wrong, 1 - incomplete.known))
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}, seconds / len(pictures)


def compared(trust: Uncertainty, wrong: torch.Tensor, hole: torch.Tensor) -> Numbers:
    if trust.predicted is None or trust.low is None or trust.high is None or trust.band is None or trust.rarity is None:
        raise SystemExit("this model is not calibrated: see `latentfill calibrate`")
    count = hole.sum((1, 2, 3))
    true = ((wrong.square() * hole).sum((1, 2, 3)) / (count * wrong.shape[1])).sqrt()
    held = ((wrong <= trust.band).float().mean(1, keepdim=True) * hole).sum((1, 2, 3)) / count
    return {
        "true": true,
        "predicted": trust.predicted,
        "inside": ((trust.low <= true) & (true <= trust.high)).float(),
        "held": held,
        "width": (trust.band * hole).sum((1, 2, 3)) / count,
        "rarity": trust.rarity,
        "unlike": torch.tensor([one is True for one in trust.unlike]).float(),
    }


def line(name: str, found: Mapping[str, torch.Tensor], ranked: float) -> list[str]:
    """One row of the table of errors."""
    numbers = [f"{found[key].median():.1f}" for key in ("true", "predicted")]
    shares = [f"{100 * found[key].mean():.0f} %" for key in ("inside", "held")]
    return [name, f"{len(found['true'])}", *numbers, f"{ranked:.2f}", *shares, f"{found['width'].mean():.0f}"]


def others(faces: Sequence[Pixels], given: Sequence[Path], size: int) -> Iterator[tuple[str, list[Pixels]]]:
    """Pictures that a model of upright faces knows nothing of, and faces that are changed."""
    for path in given:
        yield path.parent.name if path.stem == "test" else path.stem, read_faces(path, size, "test", 4 * PARTS)[1]
    for number, name in enumerate(NAMED):
        try:
            picture = getattr(skimage.data, name)()
        except (OSError, ImportError):  # some are not in the package but have to be fetched
            continue
        picture = np.ascontiguousarray(picture[..., :3] if picture.ndim == 3 else picture[..., None].repeat(3, 2))
        yield name, parts_of(picture, size, philox(number))
    yield "faces upside down", [np.ascontiguousarray(face[::-1]) for face in faces]
    yield "faces on their side", [np.ascontiguousarray(np.rot90(face)) for face in faces]
    yield "negatives of faces", [255 - face for face in faces]
    yield "faces, the left half at the right", [np.roll(face, size // 2, 1) for face in faces]
    yield "noise", [philox(i).integers(0, 256, (size, size, 3), dtype=np.uint8) for i in range(PARTS)]
    yield "faces mirrored (should pass)", [np.ascontiguousarray(face[:, ::-1]) for face in faces]


def parts_of(picture: Pixels, size: int, rng: np.random.Generator) -> list[Pixels]:
    height, width = picture.shape[:2]
    made = [fit(picture, size)]
    while len(made) < PARTS:
        side = int(rng.integers(min(size, height, width), min(height, width) + 1))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        made.append(fit(np.ascontiguousarray(picture[top : top + side, left : left + side]), size))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder or archive of pictures that the model was not calibrated on")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--presets", nargs="+", default=["best", "fast"])
    parser.add_argument("--holes", nargs="+", default=HOLES)
    parser.add_argument("--part", default="test", help="which half of the pictures: test or choose")
    parser.add_argument("--count", type=int, default=96, help="pictures, each with every hole")
    parser.add_argument("--other", nargs="*", type=Path, default=[], help="folders or archives of other pictures")
    arguments = parser.parse_args()
    gan = load(arguments.model)
    size = gan.network.size
    names, faces = read_faces(arguments.data, size, arguments.part, arguments.count)
    holes = {spec: holes_for(spec, names, size) for spec in arguments.holes}
    passed: list[str] = []
    for preset in arguments.presets:
        parts = {spec: judged(gan, faces, where, preset) for spec, where in holes.items()}
        found = {spec: part for spec, (part, _) in parts.items()}
        every = {key: torch.cat([part[key] for part in found.values()]) for key in next(iter(found.values()))}
        ranks = {spec: rank_correlation(part["predicted"], part["true"]) for spec, part in found.items()}
        kind = torch.cat([torch.full((len(faces),), part["true"].mean().item()) for part in found.values()])
        rows = [line(spec, part, ranks[spec]) for spec, part in found.items()]
        rows.append(line("all", every, rank_correlation(every["predicted"], every["true"])))
        print(heading(f"Predicted and true errors, {len(faces)} pictures, preset {preset}"))
        head = ("hole", "n", "true error", "predicted", "rank correlation")
        print(table((*head, "in the 80 % interval", "in the 90 % band", "its half width"), rows))
        seconds = sum(s for _, s in parts.values()) / len(parts)
        print(
            f"\nMean of the rank correlations within the kinds of hole: {np.mean(list(ranks.values())):.2f}. "
            f"Who knew each kind's mean error, and no more: {rank_correlation(kind, every['true']):.2f}. "
            f"Judging takes {1000 * seconds:.1f} ms of processor time per picture.\n"
        )
        off = (every["true"] / every["predicted"]).median()
        passed.append(f"{100 * every['unlike'].mean():.1f} %; {off:.2f}")
    specs = [spec for spec in ("center", "pattern", "random:0.8", "half") if spec in holes]
    rows = [[f"the {len(faces)} pictures above", *passed]]
    for name, pictures in others(faces[: 2 * PARTS], arguments.other, size):
        shares = []
        for preset in arguments.presets:
            asked = [holes_for(spec, [name] * len(pictures), size) for spec in specs]
            told = [judged(gan, pictures, where, preset)[0] for where in asked]
            unlike, true, predicted = (
                torch.cat([part[key] for part in told]) for key in ("unlike", "true", "predicted")
            )
            shares.append(f"{100 * unlike.mean():.0f} %; {(true / predicted).median():.2f}")
        rows.append([name, *shares])
    print(heading(f"Called unlike what the model knows; true error / predicted one; holes {', '.join(specs)}"))
    print(table(("pictures", *arguments.presets), rows))


if __name__ == "__main__":
    main()
