"""Pictures to work on where there are too few: samples of a model, a file each. Made once, and gone on with."""

import time
from pathlib import Path

import torch

from latentfill import load
from latentfill.images import photos
from latentfill.images.pixels import to_pixels

AT_ONCE = 64
STREAM = 9 << 64  # of seeds: apart from the package's own


def generate(folder: Path, count: int, model: str) -> Path:
    """`count` pictures in sub-folders of a thousand; those that are there already are left as they are."""
    have = sum(1 for _ in folder.rglob("*.png"))
    if have >= count:
        return folder
    gan, start = load(model), time.perf_counter()
    for first in range(have - have % AT_ONCE, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        with torch.no_grad():
            images = gan.generator(gan.generator.prior.sample([STREAM + i for i in numbers]))
        for i, pixels in zip(numbers, to_pixels(images), strict=True):
            photos.write(folder / f"{i // 1000:03}" / f"{i:06}.png", pixels)
    print(f"{count - have:,} pictures made in {time.perf_counter() - start:.0f} s")
    return folder
