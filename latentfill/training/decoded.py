"""Decoded pictures, kept on disk: a folder with one memory map of uint8 and the names that belong to it."""

import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, final

import numpy as np

from ..errors import DataError, ImageError, is_out_of_memory
from ..files.contents import stamp_of
from ..images import photos
from ..images.fitting import fit
from ..images.pixels import to_grey
from ..types import PixelBatch, Pixels
from .locks import hold

FORMAT = 2  # raise it when the pixels would come out differently
AT_ONCE = 256  # pictures decoded side by side; bounds the memory
NO_MEMORY = "there is not enough memory for it"
MAKING = "making-"  # the beginning of the name of what is not yet whole
OURS = frozenset({"lock", "pixels.u8", "names.json"})  # what may be in it
ABANDONED_AFTER_SECONDS = 60  # between making a folder and locking it

About = tuple[list[str], list[tuple[str, str]]]  # names of the pictures, and what was rejected and why


@final
@dataclass(frozen=True)
class Kept:
    """What one list of pictures becomes at one size. The folder appears all at once."""

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
            lock = hold(making / "lock")
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
                        result = one(source)  # alone now
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
            shutil.rmtree(self.folder, ignore_errors=True)  # what is there is damaged
            try:
                making.rename(self.folder)
            except OSError:
                if self.about() is None:  # another process was not quicker either
                    raise


def place(name: str, cache: Path | None) -> Path:
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
    """Where decoded pictures are kept: $XDG_CACHE_HOME/latentfill, or ~/.cache/latentfill."""
    given = os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path(os.path.expanduser("~")) / ".cache") / "latentfill"


def key(sources: Sequence[photos.Source], size: int, channels: int, limit: int | None = None) -> str:
    """A name for these pictures at this size: another one when a file is added, removed, renamed or changed."""
    digest = hashlib.sha256(f"{FORMAT} {size} {channels}{'' if limit is None else f' first {limit}'}".encode())
    stamps: dict[Path, str] = {}
    for source in sources:
        if source.data is not None:  # it came through a pipe
            digest.update(hashlib.sha256(source.data).digest())
        elif source.path not in stamps:
            stamps[source.path] = f"{os.path.abspath(source.path)} {stamp_of(source)}"
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
            lock = hold(making / "lock")
        except OSError:
            continue
        if lock:
            lock.close()
            shutil.rmtree(making, ignore_errors=True)
