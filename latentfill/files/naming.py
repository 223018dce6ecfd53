"""Names of results: those of their pictures, and unique."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import count
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol, final, runtime_checkable
from unicodedata import normalize

from ..images.archives import Source
from .provenance import can_replace, read_metadata, result_suffix
from .writing import RUN

LONGEST = 200  # bytes of a file's name; most systems allow 255, and temporary names and suffixes need the rest


class Result(NamedTuple):
    """The source of a result: the SHA-256 of its file ("" if unknown), its name, its folder."""

    photo: str
    image: str
    place: str


@runtime_checkable
class Results(Protocol):
    """Results that are there already, by their stems."""

    def find(self, stem: str) -> Result | None:
        """The source of the result with this stem; None if we wrote none."""

    def is_free(self, stem: str) -> bool:
        """Whether nothing at all has this stem, upper and lower case being the same."""

    def can_replace(self, stem: str) -> bool:
        """Whether the result is as it was written, so that a new one may take its place."""


class Name(NamedTuple):
    """The stem of a result, the digest of its picture if it had to be computed, and whether it is another's choice."""

    stem: str
    photo: str
    moved: str
    """the stem that was wanted, if something else has it"""


def name_results(
    sources: Sequence[Source], results: Results, digest: Callable[[Source], str], *, anew: bool = False
) -> list[Name]:
    """A stem below the folder of results for each picture, which it keeps from one command to the next.

    It is the picture's own stem; with its folders, or as the whole name, where several would have the same; and with
    a number where something else has that. A picture has its former stem if its content (`digest`) is the same, or
    another in the same place. With `anew` a result that was changed by hand is nobody's.
    """
    ways = [_ways(source.name) for source in sources]
    counts = [Counter(fold(way[level]) for way in ways) for level in range(3)]
    claimed: set[str] = set()
    found: dict[int, Name] = {}
    digests: dict[int, str] = {}

    def digest_of(i: int) -> str:
        if i not in digests:
            digests[i] = digest(sources[i])
        return digests[i]

    def claim(i: int, stem: str, wanted: str) -> None:
        claimed.add(fold(stem))
        found[i] = Name(stem, digests.get(i, ""), "" if fold(stem) == fold(wanted) else wanted)

    for exact in (True, False):  # if two pictures are equal, each gets the result that has its own name
        for i, source in enumerate(sources):
            for stem in _former(ways[i], results) if i not in found else ():
                result = results.find(stem)
                if result is None or fold(stem) in claimed or (anew and not results.can_replace(stem)):
                    continue
                names = (result.image, source.name) if exact else (Path(result.image).name, Path(source.name).name)
                same = result.photo == digest_of(i) if result.photo else result.image == source.name
                if same and fold(names[0]) == fold(names[1]):
                    claim(i, stem, stem)
                    break
    for i, source in enumerate(sources):
        if i in found:
            continue
        level = next((n for n in range(2) if counts[n][fold(ways[i][n])] == 1), 2)
        for stem in _numbered(ways[i][level]):
            if fold(stem) in claimed:
                continue
            result = None if results.is_free(stem) else results.find(stem)
            here = result is not None and location(source) == result.place != "" and results.can_replace(stem)
            if here or results.is_free(stem):
                claim(i, stem, ways[i][level])
                break
    return [found[i] for i in range(len(sources))]


@final
class FolderResults:
    """The present results of `complete` in a folder: NAME.png, and NAME.json beside it. `suffixes` are those of the
    results to be written.
    """

    def __init__(self, out: Path, suffixes: Sequence[str] = (".png",)) -> None:
        self._out, self._ends = out, (*suffixes, ".json")
        self._names: dict[Path, set[str]] = {}

    def find(self, stem: str) -> Result | None:
        metadata = read_metadata(self._out / f"{stem}.json")
        if metadata is None:
            return None
        made_of = metadata.get("made_of", {})
        return Result(made_of.get("photo", ""), metadata["image"], made_of.get("place", ""))

    def is_free(self, stem: str) -> bool:
        folder = (self._out / stem).parent
        if folder not in self._names:
            self._names[folder] = {fold(name) for name in (os.listdir(folder) if folder.is_dir() else ())}
        return not any(fold(f"{PurePosixPath(stem).name}{end}") in self._names[folder] for end in self._ends)

    def can_replace(self, stem: str) -> bool:
        metadata = read_metadata(self._out / f"{stem}.json")
        return can_replace(self._out / f"{stem}{result_suffix(metadata)}", metadata)


def fold(name: str) -> str:
    """A name as those file systems see it that tell neither upper from lower case nor composed letters from others."""
    return normalize("NFC", normalize("NFC", name).casefold())


def shorten(stem: str) -> str:
    """The stem; if it is too long for file systems, its last part is cut and gets a hash."""
    folder, slash, name = stem.rpartition("/")
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) <= LONGEST:
        return stem
    digest = sha256(stem.encode(errors="surrogateescape")).hexdigest()[:16]
    return f"{folder}{slash}{encoded[: LONGEST - 17].decode(errors='ignore')}-{digest}"


def inner_path(name: str) -> PurePosixPath:
    """A name as a path below whatever folder it is put in, and not in its folder `_run`."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")] or ["_"]
    return PurePosixPath(f"_{parts[0]}" if parts[0] == RUN else parts[0], *parts[1:])


def location(source: Source) -> str:
    """The location of a picture, as text; "" if it came through a pipe."""
    if source.data is not None and not source.member:
        return ""
    return os.path.abspath(source.path) + (f"#{source.member}" if source.member else "")


def _ways(name: str) -> tuple[str, str, str]:
    """Possible names of a result: the stem of its picture, the stem with its folders, the whole name."""
    path = inner_path(name)
    return shorten(path.stem), shorten(path.with_suffix("").as_posix()), shorten(path.as_posix())


def _former(ways: Sequence[str], results: Results) -> Iterator[str]:
    """Stems that an earlier command may have given."""
    for way in dict.fromkeys(ways):
        for stem in _numbered(way):
            if stem != way and results.is_free(stem):
                break
            yield stem


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    yield from (f"{stem}~{number}" for number in count(2))
