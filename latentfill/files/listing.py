"""Which of the files in places are pictures to work on, and what of them is left out, and why."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, final

from ..errors import DataError
from ..images.archives import SUFFIXES, Source, is_archive, is_picture, read_archive, reason_of
from .folders import LeftOut, Roles, list_folder, sort_archive
from .pipes import PIPE, PIPES, is_pipe, read_pipe

__all__ = ["Listing", "Roles", "find", "report", "survey"]


@final
@dataclass(frozen=True)
class Listing:
    """Pictures, each once, and sentences about what was left out: for people, on stderr."""

    sources: tuple[Source, ...]
    left_out: tuple[str, ...] = ()


def find(places: Iterable[Path], roles: Roles | None = None) -> Iterator[Source]:
    """The pictures that `survey` lists."""
    yield from survey(places, roles).sources


def survey(places: Iterable[Path], roles: Roles | None = None, read: Sequence[str] = ()) -> Listing:
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
    left_out = LeftOut.of(roles or {})
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
    for suffix in read:
        left_out.suffixes.pop(suffix, None)
    return Listing(tuple(sources), tuple(left_out.sentences()))


def report(listing: Listing) -> None:
    """Say on stderr what was left out."""
    for sentence in listing.left_out:
        print(sentence, file=sys.stderr)


def _list_place(place: Path, left_out: LeftOut) -> Iterator[Source]:
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
        photos, answers = sort_archive(archive, left_out)
        yield from left_out.choose(photos, answers)
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
