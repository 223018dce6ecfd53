"""List the pictures in files, folders, archives and pipes, and count what is left out, and why."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, final

from ..errors import DataError, ImageError
from ..images.archives import (
    RESULT_SUFFIXES,
    SUFFIXES,
    Archive,
    Source,
    is_archive,
    is_picture,
    is_visible,
    read_archive,
    reason,
    suffix,
)
from ..images.photos import write_file
from .provenance import (
    digest,
    digest_file,
    is_run,
    is_training,
    parse_metadata,
    picture_digests,
    read_entries,
    read_metadata,
    result_suffix,
)
from .writing import RUN

PIPE = Path("-")
PIPES = (PIPE, Path("/dev/stdin"), Path("/dev/fd/0"))


def is_pipe(place: Path) -> bool:
    """True if a place is a pipe, which can be read only once: `-`, /dev/stdin, or a shell's <(...)."""
    try:
        return place in PIPES or place.parent == Path("/dev/fd") or place.is_fifo() or place.is_char_device()
    except OSError:  # for example, the name is too long
        return False


def read_pipe(place: Path) -> bytes:
    """All bytes of a pipe. Raises DataError if none can come."""
    if place in PIPES and sys.stdin.isatty():
        raise DataError(f"{place}: nothing comes through standard input", f"Write latentfill ... {place} < FILE.")
    try:
        return sys.stdin.buffer.read() if place in PIPES else place.read_bytes()
    except OSError as error:
        raise DataError(f"{place}: {reason(error)}", "Give files, folders, or a pipe.") from error


def save_pipe(place: str, run: Path, what: str) -> str:
    """The path of a copy in `run` of what comes through a pipe, for every process to read; other places stay."""
    if not is_pipe(Path(place)):
        return place
    data = read_pipe(Path(place))
    path = run / f"{what}-{digest(data)[:16]}.png"
    write_file(path, lambda file: file.write(data))
    return str(path)


Roles = Mapping[Path, str]
Completed = tuple[Source, tuple[str, ...] | None]  # a completion, and the digests that it may have if unchanged
OF_TRAINING = ("samples", "checkpoints", "tensorboard")  # subfolders of a training's folder


@final
@dataclass(frozen=True)
class Omissions:
    """Counts of files that are not the command's pictures: by role, or by suffix if they are not read."""

    roles: Roles
    suffixes: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, roles: Roles) -> "Omissions":
        """Nothing as yet."""
        return cls({Path(os.path.realpath(path)): role for path, role in roles.items()})

    def below(self, place: Path) -> "Omissions":
        """The same for a folder that was named: the part that it has itself, or what it lies in, leaves nothing out."""
        real = Path(os.path.realpath(place))
        around = (real, *real.parents)
        return replace(self, roles={path: role for path, role in self.roles.items() if path not in around})

    def role(self, path: Path, *, named: bool = False) -> str | None:
        """The role of a file in the command, or of the folder it is in unless it was `named` itself."""
        if not self.roles:
            return None
        real = Path(os.path.realpath(path))
        above = () if named else real.parents
        return next((self.roles[one] for one in (real, *above) if one in self.roles), None)

    def choose(self, photos: list[Source], completed: list[Completed]) -> list[Source]:
        """The photos without completions, which are results; where there is nothing else these were meant."""
        if not photos:
            return [source for source, _ in completed]
        changed = [source for source, digests in completed if digests and not _is_one_of(source, digests)]
        if unchanged := len(completed) - len(changed):
            self.others["completed by latentfill; name one to use it"] += unchanged
        return photos + changed

    def describe(self) -> Iterator[str]:
        """Sentences about what was left out."""
        if suffixes := +self.suffixes:
            ordered = sorted(suffixes.items(), key=lambda item: (-item[1], item[0]))
            counted = ", ".join(f"{number:,} {name}" for name, number in ordered)
            yield f"left out, since files of this kind are not read: {counted}. Save pictures as PNG or JPEG."
        for what, number in self.others.items():
            yield f"left out: {number:,} {'picture' if number == 1 else 'pictures'}, {what}."


def list_folder(place: Path, left_out: Omissions) -> Iterator[Source]:
    """Pictures in the order of their names, including those in archives; broken files come last."""
    walk = _Walk(place, left_out)
    found: list[Source] = []
    completed = walk.completed
    for path in sorted(walk.found):
        name = path.relative_to(place).as_posix()
        if is_picture(name):
            found.append(Source(name, path))
            continue
        archive = read_archive(path, name)
        photos, more = split_archive(archive, left_out)
        found += photos
        completed += more
        if archive.problem:
            found.append(Source(name, path, problem=archive.problem))
    yield from sorted(left_out.choose(found, completed), key=lambda source: source.path)
    for path, problem in walk.problems:
        yield Source(path.relative_to(place).as_posix(), path, problem=problem)


def split_archive(archive: Archive, left_out: Omissions) -> tuple[list[Source], list[Completed]]:
    """The pictures in an archive, and the completions."""
    completed: list[Completed] = []
    for part in archive.pictures:
        if (beside := archive.beside.get(part.name)) and (metadata := _parse(beside, part)):
            completed.append((part, picture_digests(metadata)))
    left_out.suffixes.update(archive.others - Counter({".json": len(completed)}))
    names = {part.name for part, _ in completed}
    return [part for part in archive.pictures if part.name not in names], completed


@final
class _Walk:
    """Pictures and archives below a folder, links followed but no folder twice; and what could not be listed."""

    def __init__(self, place: Path, left_out: Omissions) -> None:
        self.found: list[Path] = []
        self.completed: list[Completed] = []
        self.problems: list[tuple[Path, str]] = []
        self._place, self._left_out = place, left_out
        seen = {os.path.realpath(place)}
        for folder, folders, files in os.walk(place, followlinks=True, onerror=self._note_error):
            here = Path(folder)
            paths = {name: os.path.realpath(here / name) for name in sorted(folders) if self._is_open(here / name)}
            folders[:] = [name for name, real in paths.items() if real not in seen]
            seen.update(paths.values())
            self._sort(here, files)

    def _is_open(self, folder: Path) -> bool:
        if folder.name in OF_TRAINING and is_training(folder.parent):
            return False
        return is_visible(folder.name) and not (folder.name == RUN and is_run(folder))

    def _sort(self, folder: Path, files: list[str]) -> None:
        entries, names = read_entries(folder), set(files)
        for name in filter(is_visible, files):
            path = folder / name
            if not (is_picture(name) or is_archive(name)):
                if name not in entries and not self._is_metadata(path, names):
                    self._left_out.suffixes[suffix(name)] += 1
            elif role := self._left_out.role(path):
                self._left_out.others[role] += 1
            elif not path.is_file():
                self.problems.append((path, "not a regular file" if path.exists() else "a broken link"))
            elif name in entries and self._is_result(path):
                self._left_out.others["written by latentfill"] += 1
            elif metadata := self._metadata_of(path, names):
                source = Source(path.relative_to(self._place).as_posix(), path)
                self.completed.append((source, picture_digests(metadata)))
            else:
                self.found.append(path)

    def _metadata_of(self, path: Path, names: set[str]) -> dict[str, Any] | None:
        """The metadata of a completion; another file of that name is counted as one that is not read."""
        if path.suffix not in RESULT_SUFFIXES or f"{path.stem}.json" not in names:
            return None
        metadata = read_metadata(path.with_suffix(".json"))
        if path.suffix != ".png":  # often from a camera or a collection, and counted already
            return metadata if metadata and result_suffix(metadata) == path.suffix else None
        if metadata and result_suffix(metadata) != path.suffix:
            return None
        self._left_out.suffixes[".json"] += metadata is None
        return metadata

    def _is_metadata(self, path: Path, names: set[str]) -> bool:
        """True if a file is the metadata of a completion, or lies beside a picture of its name."""
        return path.suffix == ".json" and (f"{path.stem}.png" in names or read_metadata(path) is not None)

    def _is_result(self, path: Path) -> bool:
        """True if a file is as its record has it, and a sheet, or of a folder of results below the place."""
        for entry in read_entries(path.parent)[path.name]:
            root = None if entry.root is None else os.path.realpath(path.parent / entry.root)
            above = os.path.realpath(self._place)
            if root is None or (root != above and Path(root).is_relative_to(above)):
                return digest_file(path) in {one.sha256 for one in read_entries(path.parent)[path.name]}
        return False

    def _note_error(self, error: OSError) -> None:
        self.problems.append((Path(str(error.filename)), reason(error)))


def _parse(beside: Source, picture: Source) -> dict[str, Any] | None:
    """The metadata in a file, if they are a completion's that bears the picture's name."""
    try:
        metadata = parse_metadata(beside.bytes())
    except ImageError:
        return None
    return metadata if metadata and picture.name.endswith(result_suffix(metadata)) else None


def _is_one_of(picture: Source, digests: tuple[str, ...]) -> bool:
    try:
        return digest(picture.bytes()) in digests
    except ImageError:
        return False


@final
@dataclass(frozen=True)
class Listing:
    """Pictures, each once, and sentences about what was left out: for people, on stderr."""

    sources: tuple[Source, ...]
    left_out: tuple[str, ...] = ()


def find_pictures(places: Iterable[Path], roles: Roles | None = None) -> Iterator[Source]:
    """The pictures that `list_sources` lists."""
    yield from list_sources(places, roles).sources


def list_sources(places: Iterable[Path], roles: Roles | None = None, read: Sequence[str] = ()) -> Listing:
    """Every picture in the given files, folders and archives; `-` is one that comes through standard input.

    Files come in the order of their names, parts of an archive in the order they are stored in: shards are
    shuffled on purpose and read fastest from front to back. Names are paths within the place given
    (`people/a.png`, `shard.tar/a.png`); if two places would share one, all begin with the name of their place.

    Left out are hidden files and `__MACOSX`; files and folders that have another part in the command, as `roles` says
    of them (`{Path("hole.png"): "the hole"}`); and what this program wrote, known by its records: sheets, completions
    that lie among other pictures, and crops and samples whose folder lies below the place. What is broken, and of
    several places one that cannot be used, is listed with a `problem`.

    Raises DataError for a single place, or if all are so, that is missing, is no picture, or is a broken archive.
    """
    places = list(dict.fromkeys(places))
    left_out = Omissions.of(roles or {})
    listed: list[tuple[Path, Source]] = []
    refused: list[DataError] = []
    for place in places:
        try:
            listed += [(place, source) for source in _list_place(place, left_out)]
        except OSError as error:  # for example, the name is too long
            refused.append(DataError(f"{place}: {reason(error)}", "Give pictures, folders, a .zip or a .tar."))
        except DataError as error:
            refused.append(error)
        else:
            continue
        problem = refused[-1].what.removeprefix(f"{place}: ")
        listed.append((place, Source(place.name, place, problem=problem)))
    if refused and len(refused) == len(places):
        raise refused[0]
    sources = [source for _, source in listed] if len(places) == 1 else list(_unique(listed))
    for ending in read:
        left_out.suffixes.pop(ending, None)
    return Listing(tuple(sources), tuple(left_out.describe()))


def print_omissions(listing: Listing) -> None:
    """Print on stderr what was left out."""
    for sentence in listing.left_out:
        print(sentence, file=sys.stderr)


def _list_place(place: Path, left_out: Omissions) -> Iterator[Source]:
    if place.is_dir():
        yield from list_folder(place, left_out.below(place))
    elif is_pipe(place):
        yield _pipe_source(place)
    elif not os.path.lexists(place):
        _refuse(place, "no such file or folder", "Give pictures, a folder of them, a .zip or a .tar.")
    elif not place.exists():
        _refuse(place, "a broken link", "Give pictures, a folder of them, a .zip or a .tar.")
    elif role := left_out.role(place, named=True):
        left_out.others[role] += 1
    elif is_archive(place.name):
        archive = read_archive(place, place.name)
        if archive.problem:
            _refuse(place, archive.problem, "Unpack it and give the folder, or make it again without compression.")
        photos, completed = split_archive(archive, left_out)
        yield from left_out.choose(photos, completed)
    elif is_picture(place.name):
        yield Source(place.name, place)
    else:
        kinds = ", ".join(sorted(SUFFIXES))
        _refuse(
            place, "its name is not that of a picture", f"Give a folder, a .zip, a .tar, or files ending in {kinds}."
        )


def _refuse(place: Path, problem: str, cure: str) -> NoReturn:
    raise DataError(f"{place}: {problem}", cure)


def _pipe_source(place: Path) -> Source:
    data = read_pipe(place)
    return Source("stdin" if place in PIPES else f"pipe-{place.name}", PIPE, size=len(data), data=data)


def _unique(listed: list[tuple[Path, Source]]) -> Iterator[Source]:
    """The sources, each once, with the names of their places before them if that is needed to tell them apart."""
    once: dict[tuple[Path, str, str, str], tuple[Path, Source]] = {}
    for place, source in listed:
        pipe = source.name if source.data is not None else ""
        once.setdefault((source.path.absolute(), source.member, source.problem, pipe), (place, source))
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
