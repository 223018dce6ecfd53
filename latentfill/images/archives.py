"""Where pictures lie: single files, folders of any depth, `.zip` and `.tar` archives."""

import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import final

from ..errors import DataError, ImageError

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
)
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
RUN = "_run"  # the folder in which verbs keep what they draw and note beside their results
MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # how gzip, bzip2, xz and zstd files begin
Encoded = bytes  # a picture as files hold it; `bytes` is taken, below
UNREADABLE = (OSError, RuntimeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


@final
@dataclass(frozen=True)
class Source:
    """Where one picture lies: a file, or a part of an archive. `name` is unique within a listing.

    A place that cannot be read has a `problem` instead: asking it for a picture raises, the others go on. What was
    handed over from elsewhere, such as a table, has its `data`, of as many bytes as `size`.
    """

    name: str
    path: Path
    member: str = ""
    offset: int = 0  # of the picture in a .tar; 0 in a .zip
    size: int = -1
    problem: str = ""
    data: Encoded | None = None

    def bytes(self, limit: int | None = None) -> bytes:
        """The encoded picture, as it is stored. Raises ImageError if it cannot be had or is larger than `limit`."""
        if self.problem:
            raise ImageError(f"{self.name}: {self.problem}", "Mend or remove it; the other pictures are not affected.")
        try:
            size = self.size if self.size >= 0 else self.path.stat().st_size
            if limit is not None and size > limit:
                raise ImageError(
                    f"{self.name}: {size:,} bytes are more than the limit of {limit:,}",
                    "Save the picture smaller, or allow more with --max-bytes.",
                )
            data = self.data if self.data is not None else _fetched(self, size)
        except UNREADABLE as error:
            raise ImageError(
                f"{self.name}: {_reason(error)}", "See that the file is there, whole and readable."
            ) from error
        if len(data) < size:
            raise ImageError(
                f"{self.name}: cut short, {len(data):,} of {size:,} bytes", "Make or fetch the file again."
            )
        return data


def find(places: Iterable[Path]) -> Iterator[Source]:
    """Every picture in the given files, folders and archives.

    Files come in the order of their names, parts of an archive in the order they are stored in: shards are
    shuffled on purpose and read fastest from front to back. Names are paths within the place given
    (`people/a.png`, `shard.tar/a.png`); if two places would share one, all begin with the name of their place.
    Hidden files, `__MACOSX` and the `_run` of a verb's results are passed over. What is broken inside a folder is
    yielded with a `problem`.

    Raises DataError for a place that is missing, is no picture, or is a broken or compressed archive.
    """
    places = list(dict.fromkeys(places))
    if len(places) == 1:
        yield from _listing(places[0])
    else:
        yield from _unique([(place, source) for place in places for source in _listing(place)])


def is_picture(name: str) -> bool:
    """Whether a file of this name is taken for a picture."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _fetched(source: Source, size: int) -> bytes:
    return _zipped(source) if source.member and not source.offset else _stored(source, size)


def _zipped(source: Source) -> bytes:
    stat = source.path.stat()
    return _zip(source.path, stat.st_mtime_ns, stat.st_size, os.getpid()).read(source.member)


def _stored(source: Source, size: int) -> bytes:
    with source.path.open("rb") as file:
        file.seek(source.offset)
        return file.read(size)


def _listing(place: Path) -> Iterator[Source]:
    if place.is_dir():
        yield from _in_folder(place)
    elif not place.exists():
        raise DataError(f"{place}: no such file or folder", "Give pictures, a folder of them, a .zip or a .tar.")
    elif is_archive(place.name):
        found, problem = _in_archive(place, place.name)
        if problem:
            raise DataError(
                f"{place}: {problem}", "Unpack it and give the folder, or make it again without compression."
            )
        yield from found
    elif is_picture(place.name):
        yield Source(place.name, place)
    else:
        raise DataError(
            f"{place}: not a picture, going by its name",
            f"Give a folder, a .zip, a .tar, or files ending in {', '.join(sorted(SUFFIXES))}.",
        )


def _unique(listed: list[tuple[Path, Source]]) -> Iterator[Source]:
    """The sources, each once, with the names of their places before them if that is needed to tell them apart."""
    once: dict[tuple[Path, str, str], tuple[Path, Source]] = {}
    for place, source in listed:
        once.setdefault((source.path.absolute(), source.member, source.problem), (place, source))
    kept = list(once.values())
    if len({source.name for _, source in kept}) == len(kept):
        yield from (source for _, source in kept)
        return
    labels: dict[Path, str] = {}
    for place, source in kept:
        home = (place if place.is_dir() else place.parent).absolute()
        if home not in labels:
            name = home.resolve().name or "root"
            taken = set(labels.values())
            labels[home] = next(n for n in (name, *(f"{name}-{i}" for i in range(2, len(taken) + 3))) if n not in taken)
        yield replace(source, name=f"{labels[home]}/{source.name}")


def _in_folder(place: Path) -> Iterator[Source]:
    found, problems = _walk(place)
    for path in sorted(found):
        name = path.relative_to(place).as_posix()
        if is_picture(name):
            yield Source(name, path)
        else:
            parts, problem = _in_archive(path, name)
            yield from parts
            if problem:
                yield Source(name, path, problem=problem)
    for path, problem in problems:
        yield Source(path.relative_to(place).as_posix(), path, problem=problem)


def _walk(place: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Pictures and archives below a folder, links followed but no folder twice; and what could not be listed."""
    found: list[Path] = []
    problems: list[tuple[Path, str]] = []
    seen = {os.path.realpath(place)}

    def failed(error: OSError) -> None:
        problems.append((Path(str(error.filename)), _reason(error)))

    for folder, folders, files in os.walk(place, followlinks=True, onerror=failed):
        paths = {name: os.path.realpath(os.path.join(folder, name)) for name in sorted(folders) if _is_shown(name)}
        folders[:] = [name for name, real in paths.items() if real not in seen]
        seen.update(paths.values())
        wanted = [Path(folder, name) for name in files if _is_shown(name) and (is_picture(name) or is_archive(name))]
        found += [path for path in wanted if path.is_file()]
    return found, problems


def _in_archive(path: Path, name: str) -> tuple[list[Source], str]:
    """The pictures in an archive, and what is wrong with it, if anything.

    Of several parts with one name the last counts, as when the archive is unpacked.
    """
    parts: dict[str, Source] = {}
    problem = ""
    try:
        with path.open("rb") as file:
            if path.name.lower().endswith(COMPRESSED) or file.read(8).startswith(MAGIC):
                return [], "a compressed tar, whose parts cannot be found without unpacking it"
        for part in _tarred(path) if path.suffix.lower() == ".tar" else _listed_in_zip(path):
            inner = "/".join(p for p in part.member.replace("\\", "/").split("/") if p not in ("", ".", ".."))
            if is_picture(inner) and all(map(_is_shown, inner.split("/"))):
                parts[inner] = replace(part, name=f"{name}/{inner}")
    except (*UNREADABLE, tarfile.TarError, ValueError) as error:
        problem = f"a broken archive ({_reason(error)})"
    return list(parts.values()), problem


def _tarred(path: Path) -> Iterator[Source]:
    tar = tarfile.open(path, "r:")  # noqa: SIM115 (a generator may be left before its end)
    try:
        for member in tar:
            if member.isreg():
                sparse = "a sparse part of a tar" if member.issparse() else ""
                yield Source("", path, member.name, member.offset_data, member.size, sparse)
        end = tar.offset
    finally:
        tar.close()
    with path.open("rb") as file:  # tarfile takes a damaged header in the middle for the end
        file.seek(end)
        if file.read(512).strip(b"\0"):
            raise tarfile.ReadError(f"damaged at byte {end:,}")


def _listed_in_zip(path: Path) -> Iterator[Source]:
    stat = path.stat()
    for info in _zip(path, stat.st_mtime_ns, stat.st_size, os.getpid()).infolist():
        if not info.is_dir():
            yield Source("", path, info.filename, 0, info.file_size)


@lru_cache(maxsize=4)
def _zip(path: Path, changed: int, size: int, process: int) -> zipfile.ZipFile:
    """An open archive. A changed file is opened anew, and so is one that a forked process would share."""
    return zipfile.ZipFile(path)


def is_archive(name: str) -> bool:
    return name.lower().endswith((".tar", ".zip", *COMPRESSED))


def _is_shown(name: str) -> bool:
    return not name.startswith(".") and name not in ("__MACOSX", RUN)


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
