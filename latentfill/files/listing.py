"""Which of the files in places are pictures to work on, and what of them is left out, and why."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, final

from ..errors import DataError
from ..images.archives import SUFFIXES, Source, is_archive, is_picture, is_shown, read_archive, reason_of, suffix
from ..writing import RUN
from .pipes import PIPE, PIPES, is_pipe, read_pipe
from .records import digest_file, entries_of, is_answer, is_run, read_answer

Roles = Mapping[Path, str]


@final
@dataclass(frozen=True)
class Listing:
    """Pictures, each once, and sentences about what was left out: for people, on stderr."""

    sources: tuple[Source, ...]
    left_out: tuple[str, ...] = ()


def find(places: Iterable[Path], roles: Roles | None = None) -> Iterator[Source]:
    """The pictures that `survey` lists."""
    yield from survey(places, roles).sources


def survey(places: Iterable[Path], roles: Roles | None = None) -> Listing:
    """Every picture in the given files, folders and archives; `-` is one that comes by the standard input.

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
    left_out = _LeftOut(_resolved(roles or {}))
    listed: list[tuple[Path, Source]] = []
    refused: list[DataError] = []
    for place in places:
        try:
            listed += [(place, source) for source in _list_place(place, left_out)]
        except OSError as error:  # of a name that is too long, for one
            refused.append(DataError(f"{place}: {reason_of(error)}", "Give pictures, folders, a .zip or a .tar."))
        except DataError as error:
            refused.append(error)
        else:
            continue
        problem = refused[-1].what.removeprefix(f"{place}: ")
        listed.append((place, Source(place.name, place, problem=problem)))
    if refused and len(refused) == len(places):
        raise refused[0]
    sources = [source for _, source in listed] if len(places) == 1 else list(_unique(listed))
    return Listing(tuple(sources), tuple(left_out.sentences()))


def report(listing: Listing) -> None:
    """Say on stderr what was left out."""
    for sentence in listing.left_out:
        print(sentence, file=sys.stderr)


@final
@dataclass(frozen=True)
class _LeftOut:
    """Counts of what is no picture of the command: by role, and by suffix for what is not read."""

    roles: Mapping[Path, str]
    suffixes: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)

    def role(self, path: Path, *, named: bool = False) -> str | None:
        """The part that a file has in the command, or the folder it is in unless it was `named` itself."""
        if not self.roles:
            return None
        real = Path(os.path.realpath(path))
        above = () if named else real.parents
        return next((self.roles[one] for one in (real, *above) if one in self.roles), None)

    def sentences(self) -> Iterator[str]:
        if self.suffixes:
            counted = ", ".join(f"{number:,} {name}" for name, number in self.suffixes.most_common())
            yield f"left out, for files of this kind are not read: {counted}. Save pictures as PNG or JPEG."
        for what, number in self.others.items():
            yield f"left out: {number:,} {'picture' if number == 1 else 'pictures'}, {what}."


def _resolved(roles: Roles) -> Roles:
    return {Path(os.path.realpath(path)): role for path, role in roles.items()}


def _list_place(place: Path, left_out: _LeftOut) -> Iterator[Source]:
    if place.is_dir():
        yield from _list_folder(place, left_out)
    elif is_pipe(place):
        yield _pipe_source(place)
    elif not os.path.lexists(place):
        _refuse(place, "no such file or folder", "Give pictures, a folder of them, a .zip or a .tar.")
    elif not place.exists():
        _refuse(place, "a link to what is not there", "Give pictures, a folder of them, a .zip or a .tar.")
    elif role := left_out.role(place, named=True):
        left_out.others[role] += 1
    elif is_archive(place.name):
        found, problem, others = read_archive(place, place.name)
        if problem:
            _refuse(place, problem, "Unpack it and give the folder, or make it again without compression.")
        left_out.suffixes.update(others)
        yield from found
    elif is_picture(place.name):
        yield Source(place.name, place)
    else:
        kinds = ", ".join(sorted(SUFFIXES))
        _refuse(
            place, "not a picture, going by its name", f"Give a folder, a .zip, a .tar, or files ending in {kinds}."
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


def _list_folder(place: Path, left_out: _LeftOut) -> Iterator[Source]:
    walk = _Walk(place, left_out)
    for path in sorted(walk.found):
        name = path.relative_to(place).as_posix()
        if is_picture(name):
            yield Source(name, path)
        else:
            parts, problem, others = read_archive(path, name)
            left_out.suffixes.update(others)
            yield from parts
            if problem:
                yield Source(name, path, problem=problem)
    for path, problem in walk.problems:
        yield Source(path.relative_to(place).as_posix(), path, problem=problem)


@final
class _Walk:
    """Pictures and archives below a folder, links followed but no folder twice; and what could not be listed."""

    def __init__(self, place: Path, left_out: _LeftOut) -> None:
        self.found: list[Path] = []
        self.problems: list[tuple[Path, str]] = []
        self._place, self._left_out = place, left_out
        self._answers: list[Path] = []
        seen = {os.path.realpath(place)}
        for folder, folders, files in os.walk(place, followlinks=True, onerror=self._note_error):
            here = Path(folder)
            paths = {name: os.path.realpath(here / name) for name in sorted(folders) if self._is_open(here / name)}
            folders[:] = [name for name, real in paths.items() if real not in seen]
            seen.update(paths.values())
            self._sort(here, files)
        if self.found:  # completions among other pictures are results; where there is nothing else they were meant
            for path in self._answers:
                if _is_answer(path):
                    left_out.others["completed by this program: name one itself to use it"] += 1
                else:
                    self.found.append(path)
        else:
            self.found = self._answers

    def _is_open(self, folder: Path) -> bool:
        return is_shown(folder.name) and not (folder.name == RUN and is_run(folder))

    def _sort(self, folder: Path, files: list[str]) -> None:
        entries, names = entries_of(folder), set(files)
        for name in filter(is_shown, files):
            path = folder / name
            if not (is_picture(name) or is_archive(name)):
                if name not in entries and not _is_metadata(path):
                    self._left_out.suffixes[suffix(name)] += 1
            elif role := self._left_out.role(path):
                self._left_out.others[role] += 1
            elif not path.is_file():
                self.problems.append((path, "no file" if path.exists() else "a link to what is not there"))
            elif name in entries and self._is_result(path):
                self._left_out.others["written by this program"] += 1
            elif path.suffix == ".png" and f"{path.stem}.json" in names and _metadata_of(path):
                self._answers.append(path)
            else:
                self.found.append(path)

    def _is_result(self, path: Path) -> bool:
        """Whether a file is as the record has it, and a sheet, or of a folder of results below the place."""
        for entry in entries_of(path.parent)[path.name]:
            root = None if entry.root is None else os.path.realpath(path.parent / entry.root)
            above = os.path.realpath(self._place)
            if root is None or (root != above and Path(root).is_relative_to(above)):
                return digest_file(path) in {one.sha256 for one in entries_of(path.parent)[path.name]}
        return False

    def _note_error(self, error: OSError) -> None:
        self.problems.append((Path(str(error.filename)), reason_of(error)))


def _metadata_of(picture: Path) -> Mapping[str, Any] | None:
    return read_answer(picture.with_suffix(".json"))


def _is_metadata(path: Path) -> bool:
    """Whether a file tells of an answer: nobody would miss it among the pictures."""
    return path.suffix == ".json" and read_answer(path) is not None


def _is_answer(picture: Path) -> bool:
    metadata = _metadata_of(picture)
    return metadata is not None and is_answer(picture, metadata)
