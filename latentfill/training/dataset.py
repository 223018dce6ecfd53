"""Pictures of one size, and the endless stream of batches that training draws from them."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast, final
from unicodedata import normalize

import numpy as np
from jaxtyping import Bool, Int64

from ..errors import DataError
from ..files.listing import survey
from ..files.records import save_table
from ..images import photos
from ..images.archives import is_archive
from ..images.pixels import batch_to_images
from ..options import Alignment
from ..types import Images, PixelBatch
from . import decoded

ALL = slice(None)
DIGESTED = 1024  # pictures that tell one collection from another of the same names


@final
@dataclass(frozen=True)
class Dataset:
    """Pictures of one size. `pixels` [n, size, size, channels] lies on disk and is mapped, not read."""

    pixels: PixelBatch
    names: Sequence[str]
    rejected: Sequence[tuple[str, str]]
    alignment: Mapping[str, Any] | None = None
    """how `align` cut the pictures, if it did"""
    labels: Int64[np.ndarray, " n"] | None = None
    """the number of each picture's class, if they were asked for"""
    classes: Mapping[str, int] = field(default_factory=dict)
    """how many pictures there are of each, in the order of their numbers"""
    left_out: tuple[str, ...] = ()
    """what of the places was left out, in sentences"""

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def digest(self) -> str:
        """SHA-256 of all names and of as many pictures as are read in a moment, evenly from the first to the last."""
        found = sha256("\n".join(self.names).encode(errors="surrogateescape"))
        for row in np.linspace(0, len(self) - 1, min(len(self), DIGESTED)).round().astype(int):
            found.update(self.pixels[row].tobytes())
        return found.hexdigest()

    def batch(self, first: int, count: int, *, seed: int, flip: bool, part: slice = ALL) -> Images:
        """Images number `first` to `first + count` of an endless stream that shuffles anew in each epoch.

        The stream depends on the seed alone, so it may be entered anywhere: a resumed run sees what an
        uninterrupted one would. With `flip`, a fair coin mirrors each image left to right. Of the images only a `part`
        need be read.
        """
        rows, coins = (values[part] for values in self._rows(first, count, seed))
        batch = self.pixels[rows]
        if flip:
            batch[coins] = batch[coins, :, ::-1]
        return batch_to_images(batch)

    def batch_labels(self, first: int, count: int, *, seed: int, part: slice = ALL) -> Int64[np.ndarray, " n"] | None:
        """The classes of the images that `batch` gives, if there are classes."""
        return None if self.labels is None else self.labels[self._rows(first, count, seed)[0][part]]

    def _rows(self, first: int, count: int, seed: int) -> tuple[Int64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        rows, flips = [], []
        for epoch in range(first // len(self), (first + count - 1) // len(self) + 1):
            order, coins = _epoch(len(self), seed, epoch)
            start = max(0, first - epoch * len(self))
            stop = min(len(self), first + count - epoch * len(self))
            rows.append(order[start:stop])
            flips.append(coins[start:stop])
        return np.concatenate(rows), np.concatenate(flips)


def open_dataset(
    places: Sequence[Path], size: int, channels: int, cache: Path | None = None, limit: int | None = None
) -> Dataset:
    """The pictures in `places`, cropped to their central square and resized, from the cache if it is fresh.

    `limit` takes only the first so many that can be read. Raises DataError when there are none, or no place to keep
    them.
    """
    *_, dataset = build(places, size, channels, cache, limit)
    return cast(Dataset, dataset)


def build(
    places: Sequence[Path], size: int, channels: int, cache: Path | None = None, limit: int | None = None
) -> Iterator[tuple[int, int] | Dataset]:
    """`open_dataset`, yielding (done, total) while it decodes and the Dataset at last."""
    listed = survey(places)
    sources = listed.sources
    if not sources:
        raise DataError(
            f"{', '.join(map(str, places))}: no pictures found",
            f"Give a folder, .zip or .tar with files ending in {', '.join(sorted(photos.SUFFIXES))}.",
        )
    kept = decoded.Kept(decoded.place(decoded.key(sources, size, channels, limit), cache), size, channels)
    about = kept.about()
    if about is None:
        yield from kept.make(sources, limit)
        about = kept.about()
    if about is None:
        raise DataError(f"{kept.folder} vanished while it was made", "Start again, or give another --cache.")
    names, rejected = about
    if not names:
        raise DataError(
            f"none of the {len(sources)} pictures can be read; the first: {': '.join(rejected[0])}",
            "Save them again as PNG or JPEG.",
        )
    yield Dataset(kept.pixels(len(names)), names, rejected, _alignment(places), left_out=listed.left_out)


def labelled(data: Dataset) -> Dataset:
    """The same pictures, the class of each being the first folder it lies in; archives are no folders.

    Raises DataError when one lies in none, or all in one.
    """
    found = [next((part for part in name.split("/")[:-1] if not is_archive(part)), None) for name in data.names]
    loose = [name for name, label in zip(data.names, found, strict=True) if label is None]
    if loose:
        raise DataError(
            f"{len(loose)} pictures lie in no folder that could be their label; the first: {loose[0]}",
            "Sort them into one folder for each class, or train with --labels none.",
        )
    composed = [normalize("NFC", label or "") for label in found]  # some systems take letters and accents apart
    labels = dict(sorted(zip(composed, found, strict=True), reverse=True))
    names = sorted({label for label in labels.values() if label})
    if len(names) < 2:
        raise DataError(f"all pictures lie in the folder {names[0]}", "Give the folder above, or --labels none.")
    numbers = np.array([names.index(labels[label] or "") for label in composed], np.int64)
    counts = np.bincount(numbers).tolist()
    return replace(data, labels=numbers, classes=dict(zip(names, counts, strict=True)))


def check_pictures(data: Dataset, size: int, channels: int, batch_size: int, real_images: int) -> None:
    """Raise ValueError for pictures of another shape, DataError if one batch takes more real images than there are."""
    if data.pixels.shape[1:] != (size, size, channels):
        h, w, c = data.pixels.shape[1:]
        raise ValueError(f"pictures of {size}x{size}x{channels} expected, not {h}x{w}x{c}")
    if len(data) < real_images:
        raise DataError(
            f"{len(data)} pictures are fewer than one batch of {real_images}",
            f"Add pictures, or train with --batch-size {max(1, len(data) * batch_size // real_images)}.",
        )


def split(data: Dataset | None, count: int) -> tuple[Dataset | None, Images | None]:
    """The pictures to learn from, and the last `count`, at most a tenth of all, to judge by."""
    count = min(count, len(data) // 10) if data else 0
    if not data or not count:
        return data, None
    labels = None if data.labels is None else data.labels[:-count]
    kept = replace(data, pixels=data.pixels[:-count], names=data.names[:-count], labels=labels)
    return kept, batch_to_images(data.pixels[-count:])


def write_rejected(path: Path, rejected: Sequence[tuple[str, str]]) -> None:
    """A CSV of the pictures that were left out, and why."""
    save_table(path, [("path", "reason"), *rejected])


def _alignment(places: Sequence[Path]) -> Mapping[str, Any] | None:
    """The Alignment that alignment.json in each of the places tells, if it is the same in all."""
    found: list[Mapping[str, Any] | None] = []
    for place in places:
        try:
            about = json.loads((place / "alignment.json").read_text())
            found.append({field.name: about[field.name] for field in fields(Alignment)})
        except (OSError, ValueError, KeyError, TypeError):
            found.append(None)
    if any(about != found[0] for about in found):
        text = "the folders were not aligned alike: the model will not know how, and cannot place faces in photos"
        warnings.warn(text, stacklevel=2)
        return None
    return found[0] if found else None


@lru_cache(maxsize=2)  # consecutive batches are of the same epoch; shuffling a million takes longer than reading one
def _epoch(count: int, seed: int, epoch: int) -> tuple[Int64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    rng = np.random.Generator(np.random.Philox(key=(seed << 64) + epoch))
    return rng.permutation(count), rng.random(count) < 0.5
