"""Training pictures: decoded once into a memory map on disk, and drawn from it as an endless stream of batches."""

import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, cast, final
from unicodedata import normalize

import numpy as np
from jaxtyping import Bool, Int64

from ..errors import DataError, ImageError, is_out_of_memory
from ..files.input_digests import file_stamp
from ..files.listing import list_sources
from ..files.locks import try_lock
from ..files.provenance import save_table
from ..images import photos
from ..images.archives import is_archive
from ..images.pixels import batch_to_images, fit, to_grey
from ..options import Alignment
from ..seeds import philox
from ..types import Images, PixelBatch, Pixels

FORMAT = 2  # raise it when the same pictures would give other pixels
AT_ONCE = 256  # pictures decoded in parallel; bounds the memory
NO_MEMORY = "there is not enough memory for it"
MAKING = "making-"  # prefix of unfinished folders
OURS = frozenset({"lock", "pixels.u8", "names.json"})  # the files that it may contain
ABANDONED_AFTER_SECONDS = 60  # most time between making a folder and locking it

About = tuple[list[str], list[tuple[str, str]]]  # names of the pictures, and the rejected ones with reasons


@final
@dataclass(frozen=True)
class PictureCache:
    """The decoded pictures of one list at one size. The folder appears all at once."""

    folder: Path
    size: int
    channels: int

    def about(self) -> About | None:
        """Names and rejections, or None if the folder is not there or not whole."""
        try:
            about = json.loads((self.folder / "names.json").read_text())
            names, rejected = about["names"], [(str(name), str(why)) for name, why in about["rejected"]]
            whole = (self.folder / "pixels.u8").stat().st_size == len(names) * self.size**2 * self.channels
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return (names, rejected) if whole else None

    def pixels(self, count: int) -> PixelBatch:
        """The pictures, mapped."""
        shape = (count, self.size, self.size, self.channels)
        return np.memmap(self.folder / "pixels.u8", np.uint8, "r", shape=shape)

    def make(self, sources: Sequence[photos.Source], limit: int | None) -> Iterator[tuple[int, int]]:
        """Decode into a folder beside the final one, and rename it when it is whole. Closing leaves nothing behind.

        Yields (done, total). Raises DataError when it cannot be written.
        """
        total = min(limit or len(sources), len(sources))
        making = lock = None
        try:
            _sweep(self.folder.parent)
            making = Path(tempfile.mkdtemp(prefix=MAKING, dir=self.folder.parent))
            lock = try_lock(making / "lock")
            names: list[str] = []
            rejected: list[tuple[str, str]] = []
            yield from self._decode(sources, total, making / "pixels.u8", names, rejected)
            (making / "names.json").write_text(json.dumps({"names": names, "rejected": rejected}))
            self._keep(making)
        except OSError as error:
            raise DataError(
                f"{self.folder.parent} cannot be written to: {error.strerror or error}",
                f"{total:,} pictures take {total * self.size**2 * self.channels / 1e6:,.0f} MB: make room, or choose "
                "another place with --cache.",
            ) from error
        finally:
            if lock:
                lock.close()
            if making:
                shutil.rmtree(making, ignore_errors=True)

    def _decode(
        self,
        sources: Sequence[photos.Source],
        wanted: int,
        path: Path,
        names: list[str],
        rejected: list[tuple[str, str]],
    ) -> Iterator[tuple[int, int]]:
        def one(source: photos.Source) -> Pixels | str:
            try:
                return fit(photos.read(source).opaque(), self.size)
            except (ImageError, MemoryError) as error:
                if is_out_of_memory(error) or not isinstance(error, ImageError):
                    return NO_MEMORY
                return error.what.removeprefix(f"{source.name}: ")

        file: BinaryIO = path.open("wb")
        workers = ThreadPoolExecutor(max_workers=os.cpu_count())
        try:
            start = 0
            while start < len(sources) and len(names) < wanted:
                group = sources[start : start + min(AT_ONCE, wanted - len(names))]
                start += len(group)
                for source, result in zip(group, workers.map(one, group), strict=True):
                    if result is NO_MEMORY:
                        result = one(source)  # now only this one
                    if isinstance(result, str):
                        rejected.append((source.name, result))
                    else:
                        file.write((result if self.channels == 3 else to_grey(result)).tobytes())
                        names.append(source.name)
                yield (start if wanted == len(sources) else len(names)), wanted
        finally:
            workers.shutdown(cancel_futures=True)
            file.close()

    def _keep(self, making: Path) -> None:
        if self.about() is None:
            shutil.rmtree(self.folder, ignore_errors=True)  # the existing files are damaged
            try:
                making.rename(self.folder)
            except OSError:
                if self.about() is None:  # no other process has finished first
                    raise


def cache_path(name: str, cache: Path | None) -> Path:
    """The folder of that name in `cache`; by default in the user's cache, or else among the temporary files.

    Warns when it is not the usual place. Raises DataError when the given one cannot be written to.
    """
    temporary = Path(tempfile.gettempdir()) / f"latentfill-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    usual = cache or default_cache()
    places = [folder for folder in (usual, None if cache else temporary) if folder]
    for folder in places:
        if (folder / name).is_dir():
            return folder / name
    for folder in places:
        if _writable(folder):
            if folder is not usual:
                text = f"{usual} cannot be written to: decoded pictures are kept in {folder}; choose with --cache"
                warnings.warn(text, stacklevel=2)
            return folder / name
    raise DataError(
        f"{' and '.join(map(str, places))} cannot be written to", "Give a folder for decoded pictures with --cache."
    )


def default_cache() -> Path:
    """The folder of decoded pictures: $XDG_CACHE_HOME/latentfill, or ~/.cache/latentfill."""
    given = os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path(os.path.expanduser("~")) / ".cache") / "latentfill"


def cache_key(sources: Sequence[photos.Source], size: int, channels: int, limit: int | None = None) -> str:
    """A name for these pictures at this size: another one when a file is added, removed, renamed or changed."""
    digest = hashlib.sha256(f"{FORMAT} {size} {channels}{'' if limit is None else f' first {limit}'}".encode())
    stamps: dict[Path, str] = {}
    for source in sources:
        if source.data is not None:  # it came through a pipe
            digest.update(hashlib.sha256(source.data).digest())
        elif source.path not in stamps:
            stamps[source.path] = f"{os.path.abspath(source.path)} {file_stamp(source)}"
        about = f"{stamps.get(source.path, '')} {source.member} {source.problem}\n"
        digest.update(about.encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _sweep(parent: Path) -> None:
    """Remove what killed processes left half made; what a living one is making is locked."""
    for making in parent.glob(f"{MAKING}*"):
        try:
            is_new = time.time() - making.stat().st_mtime < ABANDONED_AFTER_SECONDS
            if is_new or not OURS.issuperset(os.listdir(making)):
                continue
            lock = try_lock(making / "lock")
        except OSError:
            continue
        if lock:
            lock.close()
            shutil.rmtree(making, ignore_errors=True)


ALL = slice(None)
DIGESTED = 1024  # pictures whose digest distinguishes collections with the same names


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
    *_, dataset = load_dataset(places, size, channels, cache, limit)
    return cast(Dataset, dataset)


def load_dataset(
    places: Sequence[Path], size: int, channels: int, cache: Path | None = None, limit: int | None = None
) -> Iterator[tuple[int, int] | Dataset]:
    """`open_dataset`, yielding (done, total) while it decodes and the Dataset at last."""
    listed = list_sources(places)
    sources = listed.sources
    if not sources:
        raise DataError(
            f"{', '.join(map(str, places))}: no pictures found",
            f"Give a folder, .zip or .tar with files ending in {', '.join(sorted(photos.SUFFIXES))}.",
        )
    kept = PictureCache(cache_path(cache_key(sources, size, channels, limit), cache), size, channels)
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


def label_by_folder(data: Dataset) -> Dataset:
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
    composed = [normalize("NFC", label or "") for label in found]  # some systems store letters and accents separately
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
    """The Alignment in alignment.json of each of the places, if it is the same in all."""
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


@lru_cache(maxsize=2)  # consecutive batches share an epoch; shuffling a million takes longer than reading a batch
def _epoch(count: int, seed: int, epoch: int) -> tuple[Int64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    rng = philox((seed << 64) + epoch)
    return rng.permutation(count), rng.random(count) < 0.5
