"""When a training has collapsed: a run's samples against its pictures, and how such findings are kept and told.

Samples are compared with as many pictures, in 16x16 grey pixels and for faces in dlib's embedding, never by the model's
own discriminator.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from faces import face_space
from machine import heading, table
from scipy.spatial.distance import pdist, squareform

from latentfill.evaluation.distances import Features, frechet
from latentfill.evaluation.feature_spaces import Space, pixels
from latentfill.gan.gan import Gan
from latentfill.images.pixels import batch_to_images, to_pixels
from latentfill.runs import watchdog as signs
from latentfill.runs.data import Dataset
from latentfill.seeds import philox
from latentfill.types import PixelBatch

SAMPLES = 7 << 64  # a stream of its own
# Bounds of the verdict, each a share of what real pictures have.
LEAST_DIVERSITY, LEAST_NEAREST, MOST_FRECHET = 0.5, 0.25, 0.5
SATURATED = 0.02  # D's loss where it gives what is true a chance of 98 % or more: G then learns little from it


@dataclass(frozen=True)
class Finding:
    """A row of results.csv. All but losses and pace are shares of what real pictures have among themselves."""

    preset: str
    folder: str
    seed: int
    size: int
    images: int
    pictures: int
    """of each kind that were compared"""
    diversity: float = 0.0
    """mean distance between samples"""
    nearest: float = 0.0
    """median distance of a sample to the nearest other one"""
    frechet: float = float("inf")
    """Fréchet distance to real pictures; 1 is that of nothing but their mean"""
    floor: float = 0.0
    """the same of other real pictures"""
    energy: float = float("inf")
    """energy distance to real pictures, as the watchdog measures it"""
    warnings: int = 0
    """times that the watchdog spoke"""
    face_diversity: float | str = ""
    face_frechet: float | str = ""
    face_floor: float | str = ""
    discriminator_loss: float = float("nan")
    gap: float = float("nan")
    """mean logit of real pictures less that of fakes"""
    images_per_second: float = 0.0
    finite: bool = True

    @property
    def verdict(self) -> str:
        if not self.finite:
            return "broke down"
        reasons = {
            "alike": min(float(d) for d in (self.diversity, self.face_diversity) if d != "") < LEAST_DIVERSITY,
            "few kinds": self.nearest < LEAST_NEAREST,
            "far": max(float(f) for f in (self.frechet, self.face_frechet) if f != "") > MOST_FRECHET,
        }
        found = [reason for reason, holds in reasons.items() if holds]
        return f"collapsed ({', '.join(found)})" if found else "sound"

    @property
    def saturated(self) -> bool:
        return self.finite and self.discriminator_loss < SATURATED


Key = tuple[str, str, int, int, int]


def key(finding: Finding) -> Key:
    return finding.preset, finding.folder, finding.seed, finding.size, finding.images


@torch.no_grad()
def drawn_by(gan: Gan, count: int) -> PixelBatch:
    prior = gan.generator.prior
    starts = range(0, count, 64)
    groups = [[SAMPLES + number for number in range(first, min(first + 64, count))] for first in starts]
    return np.stack([p for group in groups for p in to_pixels(gan.generator(prior.sample(group).to(gan.device)))])


def as_shares(made: Features, real: Features, other: Features) -> tuple[float, float, float, float]:
    """Diversity, nearest, Fréchet distance and its floor."""
    spread = float(real.var(0, ddof=1).sum())
    among = [pdist(features.astype(float)) for features in (made, real)]
    diversity = float(among[0].mean() / among[1].mean())
    nearest = [float(np.median((squareform(d) + np.diag([np.inf] * len(real))).min(1))) for d in among]
    return diversity, nearest[0] / nearest[1], frechet(made, real) / spread, frechet(other, real) / spread


def judged(gan: Gan, data: Dataset, count: int, *, faces: bool) -> tuple[dict[str, Any], PixelBatch]:
    """The numbers of a Finding that samples tell, and the samples."""
    count = min(count, len(data) // 2)
    chosen = data.pixels[philox(0).permutation(len(data))[: 2 * count]]
    pictures = chosen if chosen.shape[3] == 3 else chosen.repeat(3, 3)
    made = drawn_by(gan, count)
    parts = (made, pictures[:count], pictures[count:])

    def compared(space: Space) -> tuple[float, float, float, float]:
        return as_shares(*(space.measure(part) for part in parts))

    names = ("diversity", "nearest", "frechet", "floor")
    found: dict[str, Any] = {"pictures": count, **dict(zip(names, compared(pixels(gan)), strict=True))}
    real = batch_to_images(pictures[:count])
    found["energy"] = signs.energy_distance(batch_to_images(made), real) / signs.mean_distance(real)
    if faces:
        diversity, _, far, floor = compared(face_space())
        found |= {"face_diversity": diversity, "face_frechet": far, "face_floor": floor}
    return found, made


FIELDS = fields(Finding)
READ: Mapping[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str, "bool": "True".__eq__}


def finished(path: Path) -> dict[Key, Finding]:
    """What results.csv tells."""
    if not path.exists():
        return {}
    with path.open() as file:
        rows = [{f.name: _read(f, row[f.name]) for f in FIELDS} for row in csv.DictReader(file)]
    return {key(found): found for found in (Finding(**row) for row in rows)}


def keep(path: Path, found: Finding) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in FIELDS])
        if new:
            writer.writeheader()
        writer.writerow(asdict(found))


def row(f: Finding) -> list[str]:
    shares = (f.diversity, f.nearest, f.frechet, f.floor, f.face_diversity, f.face_frechet, f.face_floor)
    told = [s if isinstance(s, str) else f"{s:.2f}" for s in shares]
    loss = f"{f.discriminator_loss:.3f}{' (saturated)' if f.saturated else ''}"
    watched = [f"{f.energy:.2f}", str(f.warnings)]
    return [
        f.preset,
        f.folder,
        str(f.seed),
        *told,
        *watched,
        loss,
        f"{f.gap:.1f}",
        f"{f.images_per_second:.0f}",
        f.verdict,
    ]


HEAD = ("preset", "folder", "seed", "diversity", "nearest", "Fréchet", "its floor")
FACE_HEAD = ("diversity, dlib", "Fréchet, dlib", "its floor")
REST = ("energy distance", "warnings", "D's loss", "real - fake logit", "images/s", "verdict")


def report(found: Sequence[Finding], size: int, images: int) -> str:
    """The table, and how many of each preset's runs are sound."""
    lines = [
        heading(f"Dependability of training: {images:,} images of {size} px"),
        table((*HEAD, *FACE_HEAD, *REST), [row(f) for f in found]),
    ]
    lines.append(
        "\nDiversity is the mean distance between samples, nearest the median distance to the nearest other one, both "
        "as a share of the same among real pictures. A Fréchet distance of 1 is that of nothing but the mean picture; "
        "its floor is that of other real pictures. An energy distance of 0.4 is that of the mean picture, and the "
        "watchdog speaks from 0.2 on.\n"
    )
    for preset in dict.fromkeys(f.preset for f in found):
        own = [f for f in found if f.preset == preset]
        counts = {word: sum(f.verdict.startswith(word) for f in own) for word in ("sound", "collapsed", "broke down")}
        told = ", ".join(f"{count} {word}" for word, count in counts.items())
        lines.append(f"- {preset}: of {len(own)} runs {told}; D saturated in {sum(f.saturated for f in own)}")
    return "\n".join(lines) + "\n"


def _read(field: Field[Any], text: str) -> Any:
    """A cell; only numbers that faces alone have may be empty."""
    kind = getattr(field.type, "__name__", "")
    return READ[kind](text) if kind in READ else float(text) if text else ""
