"""Pictures in files, in `.zip` and `.tar` archives, and in memory, by name."""

import lzma
import os
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple, final

from ..errors import ImageError
from ..files.writing import RUN

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bmp"}
    | {".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif", ".hif"}
)
RESULT_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")  # what `complete` may write
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
IN_A_RUN = tuple(f"{RUN}/{name}" for name in (".latentfill", ".lock", "rejected.csv", "photos.jsonl"))
MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # the first bytes of gzip, bzip2, xz and zstd files
Encoded = bytes  # an encoded picture; `bytes` is taken, below
LARGEST_PIPE = 2**30  # bytes
UNREADABLE = (OSError, RuntimeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


@final
@dataclass(frozen=True)
class Source:
    """The source of one picture: a file, or a part of an archive. `name` is unique within a listing.

    A place that cannot be read has a `problem` instead: asking it for a picture raises, the others go on. What was
    handed over from elsewhere, such as a table, has its `data`, of as many bytes as `size`.
    """

    name: str
    path: Path
    member: str = ""
    offset: int = 0  # offset of the picture in a .tar; 0 in a .zip
    size: int = -1
    problem: str = ""
    data: Encoded | None = None

    def bytes(self, limit: int | None = None) -> bytes:
        """The encoded picture, as stored. Raises ImageError if it cannot be read or is larger than `limit`."""
        if self.problem:
            raise ImageError(f"{self.name}: {self.problem}", "Mend or remove it; the other pictures are not affected.")
        try:
            size = self.size if self.size >= 0 else self.path.stat().st_size
            if limit is not None and size > limit:
                raise ImageError(
                    f"{self.name}: {size:,} bytes are more than the limit of {limit:,}",
                    "Save the picture smaller, or allow more with --max-bytes.",
                )
            data = self.data if self.data is not None else _read(self, size)
        except UNREADABLE as error:
            folder = isinstance(error, IsADirectoryError)
            cure = "Give one picture, not a folder." if folder else "See that the file is there, whole and readable."
            raise ImageError(f"{self.name}: {reason(error)}", cure) from error
        if len(data) < size:
            raise ImageError(
                f"{self.name}: cut short, {len(data):,} of {size:,} bytes", "Make or fetch the file again."
            )
        return data


def is_picture(name: str) -> bool:
    """True if a file of this name is taken for a picture."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _read(source: Source, size: int) -> bytes:
    return _read_zipped(source) if source.member and not source.offset else _read_stored(source, size)


def _read_zipped(source: Source) -> bytes:
    return _open_zip(source.path).read(source.member)


def _read_stored(source: Source, size: int) -> bytes:
    with source.path.open("rb") as file:
        if not source.path.is_file():  # a pipe has no size and no offsets
            return file.read(LARGEST_PIPE)
        file.seek(source.offset)
        return file.read(size)


class Archive(NamedTuple):
    """The pictures in an archive, its damage if any, and the suffixes of its other files.

    `beside` has what may tell of a picture `NAME.png` (or `.jpg` and so on), its `NAME.json`, by the picture's name.
    """

    pictures: list[Source]
    problem: str
    others: Counter[str]
    beside: dict[str, Source]


def read_archive(path: Path, name: str) -> Archive:
    """List an archive. Of several parts with one name the last counts, as when it is unpacked."""
    parts: dict[str, Source] = {}
    texts: dict[str, Source] = {}
    others: Counter[str] = Counter()
    problem = ""
    runs: set[str] = set()  # our folders `_run`, recognised by their content
    try:
        with path.open("rb") as file:
            if path.name.lower().endswith(COMPRESSED) or file.read(8).startswith(MAGIC):
                problem = "a compressed tar, whose parts cannot be found without unpacking it"
                return Archive([], problem, others, {})
        for part in _list_tar(path) if path.suffix.lower() == ".tar" else _list_zip(path):
            inner = "/".join(p for p in part.member.replace("\\", "/").split("/") if p not in ("", ".", ".."))
            if inner.endswith(IN_A_RUN):
                runs.add(inner.rpartition("/")[0] + "/")
            if not all(map(is_visible, inner.split("/"))):
                continue
            if is_picture(inner):
                parts[inner] = replace(part, name=f"{name}/{inner}")
            else:
                others[suffix(inner)] += 1
                if inner.endswith(".json"):
                    text = replace(part, name=f"{name}/{inner}")
                    texts |= {f"{name}/{inner.removesuffix('.json')}{end}": text for end in RESULT_SUFFIXES}
    except (*UNREADABLE, tarfile.TarError, ValueError) as error:
        problem = f"a broken archive ({reason(error)})"
    kept = [part for inner, part in parts.items() if not inner.startswith(tuple(runs))]
    return Archive(kept, problem, others, texts)


def _list_tar(path: Path) -> Iterator[Source]:
    tar = tarfile.open(path, "r:")  # noqa: SIM115 (a generator may be left before its end)
    try:
        for member in tar:
            if member.isreg():
                sparse = "a sparse part of a tar" if member.issparse() else ""
                yield Source("", path, member.name, member.offset_data, member.size, sparse)
        end = tar.offset
    finally:
        tar.close()
    with path.open("rb") as file:  # tarfile takes a damaged header in the middle for the end of the archive
        file.seek(end)
        if file.read(512).strip(b"\0"):
            raise tarfile.ReadError(f"damaged at byte {end:,}")


def _list_zip(path: Path) -> Iterator[Source]:
    for info in _open_zip(path).infolist():
        if not info.is_dir():
            yield Source("", path, info.filename, 0, info.file_size)


def _open_zip(path: Path) -> zipfile.ZipFile:
    stat = path.stat()
    return _zip(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns), os.getpid())


@lru_cache(maxsize=4)
def _zip(path: Path, stamp: tuple[int, ...], process: int) -> zipfile.ZipFile:
    """An open archive. A changed file is opened anew, and so is one that a forked process would share."""
    return zipfile.ZipFile(path)


def is_archive(name: str) -> bool:
    """True if a file of this name is taken for an archive."""
    return name.lower().endswith((".tar", ".zip", *COMPRESSED))


def is_visible(name: str) -> bool:
    """True if a file or folder is neither hidden nor one that macOS adds to archives."""
    return not name.startswith(".") and name != "__MACOSX"


def suffix(name: str) -> str:
    """The end of a file's name, in small letters, by which files are counted."""
    return PurePosixPath(name).suffix.lower() or "without a suffix"


def reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
