"""Pictures to measure on, and the measuring of completions: shared by the quality scripts."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from latentfill.completion.complete import complete
from latentfill.evaluation.feature_spaces import Space, embed
from latentfill.evaluation.metrics import psnr, ssim
from latentfill.files import listing
from latentfill.gan.gan import Gan
from latentfill.images import holes, photos
from latentfill.images.pixels import fit, to_pixels
from latentfill.options import CompleteOptions
from latentfill.photo.model_sized import blend, pose
from latentfill.types import Pixels

ALIGNED = 1.0  # the margin of the faces that the scripts are given
HOLES = ("center", "random:0.8", "half", "pattern")
Names = Sequence[str]


def read_faces(place: Path, size: int, part: str, count: int) -> tuple[list[str], list[Pixels]]:
    """The first `count` pictures of one half of a collection: `test` to report on, `choose` to choose a model by.

    The halves share no picture; the order is shuffled, so that every part of the collection is met.
    """
    sources = list(listing.find_pictures([place]))
    order = np.random.Generator(np.random.Philox(key=0)).permutation(len(sources))
    half = order[: len(order) // 2] if part == "test" else order[len(order) // 2 :]
    chosen = [sources[i] for i in half[:count]]
    return [s.name for s in chosen], [fit(photos.read(s).opaque(), size) for s in chosen]


def holes_for(spec: str, names: Names, size: int) -> list[UInt8[ndarray, "_ _"]]:
    """One hole per picture, drawn from its place in the list."""
    parsed = holes.parse(spec)
    return [holes.draw(parsed, (size, size), seed=i, name=name).hole for i, name in enumerate(names)]


def completed(
    gan: Gan, crops: list[Pixels], where: list[UInt8[ndarray, "_ _"]], options: CompleteOptions, batch: int = 64
) -> dict[str, list[Pixels]]:
    """The pictures after the search, blended both ways: known pixels are those of `crops`."""
    results: dict[str, list[Pixels]] = {"overlay": [], "poisson": []}
    for first in range(0, len(crops), batch):
        incomplete = pose(gan, crops[first : first + batch], where[first : first + batch])
        answer = complete(gan, incomplete, options)
        for way, pictures in results.items():
            pictures += to_pixels(blend(incomplete, answer, way))
    return results


def scores(made: list[Pixels], original: list[Pixels], where: list[UInt8[ndarray, "_ _"]]) -> tuple[float, float]:
    """Mean PSNR in dB and mean SSIM, in the holes alone."""
    a, b, w = np.stack(made), np.stack(original), np.stack(where)
    return float(psnr(a, b, w).mean()), float(ssim(a, b, w).mean())


def with_steps(options: CompleteOptions, steps: int | None) -> CompleteOptions:
    return options if steps is None else dataclasses.replace(options, steps=steps)


def face_space() -> Space:
    """dlib's embedding, also for models that do not say how their faces were aligned."""
    return Space(lambda pictures: embed(pictures, ALIGNED), "128 numbers of dlib's network that tells people apart")
