"""A folder of pictures as one memory map of uint8: decoded once, then read for free."""

import csv
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from ..errors import DataError, ImageError
from ..images import photos
from ..images.pixels import batch_to_images, to_grey
from ..types import Images, PixelBatch, Pixels

FORMAT = 1  # of the cache; raise it when the pixels in it would come out differently
AT_ONCE = 256  # pictures decoded side by side; bounds the memory


@final
@dataclass(frozen=True)
class Dataset:
    """Pictures of one size. `pixels` [n, size, size, channels] lies on disk and is mapped, not read."""

    pixels: PixelBatch
    names: Sequence[str]
    rejected: Sequence[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, first: int, count: int, *, seed: int, flip: bool) -> Images:
        """Images number `first` to `first + count` of an endless stream that shuffles anew in each epoch.

        The stream depends on the seed alone, so it may be entered anywhere: a resumed run sees what an
        uninterrupted one would. With `flip`, a fair coin mirrors each image left to right.
        """
        rows, flips = [], []
        for epoch in range(first // len(self), (first + count - 1) // len(self) + 1):
            order, coins = self._epoch(seed, epoch)
            start = max(0, first - epoch * len(self))
            stop = min(len(self), first + count - epoch * len(self))
            rows.append(order[start:stop])
            flips.append(coins[start:stop])
        batch = self.pixels[np.concatenate(rows)]
        if flip:
            coins = np.concatenate(flips)
            batch[coins] = batch[coins, :, ::-1]
        return batch_to_images(batch)

    def _epoch(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.Generator(np.random.Philox(key=(seed << 64) + epoch))
        return rng.permutation(len(self)), rng.random(len(self)) < 0.5


def open_dataset(
    places: Sequence[Path], size: int, channels: int, cache: Path | None = None, limit: int | None = None
) -> Dataset:
    """The pictures in `places`, cropped to their central square and resized, from the cache if it is fresh.

    Raises DataError when not one can be used. `limit` takes the first so many only.
    """
    *_, dataset = build(places, size, channels, cache, limit)
    assert isinstance(dataset, Dataset)
    return dataset


def build(
    places: Sequence[Path], size: int, channels: int, cache: Path | None = None, limit: int | None = None
) -> Iterator[tuple[int, int] | Dataset]:
    """`open_dataset`, yielding (done, total) while it decodes and the Dataset at last."""
    sources = list(islice(photos.find(places), limit))
    if not sources:
        raise DataError(
            f"{', '.join(map(str, places))}: no pictures found",
            f"Give a folder, .zip or .tar with files ending in {', '.join(sorted(photos.SUFFIXES))}.",
        )
    folder = (cache or default_cache()) / _fingerprint(sources, size, channels)
    if not (folder / "names.json").exists():
        yield from _decode(sources, size, channels, folder)
    about = json.loads((folder / "names.json").read_text())
    shape = (len(about["names"]), size, size, channels)
    if not shape[0]:
        raise DataError(
            f"none of the {len(sources)} pictures can be read; the first: {': '.join(about['rejected'][0])}",
            "Save them again as PNG or JPEG.",
        )
    pixels = np.memmap(folder / "pixels.u8", np.uint8, "r", shape=shape)
    yield Dataset(pixels, about["names"], [tuple(pair) for pair in about["rejected"]])


def default_cache() -> Path:
    """Where the memory maps are kept: $XDG_CACHE_HOME/latentfill, or ~/.cache/latentfill."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentfill"


def fit(pixels: Pixels, size: int) -> Pixels:
    """The central square of a picture at `size`: averaged when shrinking, bicubic when enlarging."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    method = Image.Resampling.BOX if side >= size else Image.Resampling.BICUBIC
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((size, size), method, box=(left, top, left + side, top + side)))


def write_rejected(path: Path, rejected: Sequence[tuple[str, str]]) -> None:
    """A CSV of the pictures that were left out, and why."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "reason"), *rejected])


def _fingerprint(sources: Sequence[photos.Source], size: int, channels: int) -> str:
    digest = hashlib.sha256(f"{FORMAT} {size} {channels}".encode())
    stamps: dict[Path, str] = {}
    for source in sources:
        if source.path not in stamps:
            stat = source.path.stat()
            stamps[source.path] = f"{source.path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
        digest.update(f"{stamps[source.path]} {source.member}\n".encode())
    return digest.hexdigest()[:32]


def _decode(sources: Sequence[photos.Source], size: int, channels: int, folder: Path) -> Iterator[tuple[int, int]]:
    """Fill a folder beside the final one, and rename it when it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    names, rejected = [], []

    def one(source: photos.Source) -> Pixels | str:
        try:
            return fit(photos.read(source), size)
        except ImageError as error:
            return error.what.removeprefix(f"{source.name}: ")

    file = (making / "pixels.u8").open("wb")
    workers = ThreadPoolExecutor(max_workers=os.cpu_count())
    try:
        for first in range(0, len(sources), AT_ONCE):
            group = sources[first : first + AT_ONCE]
            for source, result in zip(group, workers.map(one, group), strict=True):
                if isinstance(result, str):
                    rejected.append((source.name, result))
                else:
                    file.write((result if channels == 3 else to_grey(result)).tobytes())
                    names.append(source.name)
            yield first + len(group), len(sources)
    finally:
        workers.shutdown()
        file.close()
    (making / "names.json").write_text(json.dumps({"names": names, "rejected": rejected}))
    if not folder.exists():  # another process may have been quicker
        making.rename(folder)
