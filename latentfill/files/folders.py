"""The pictures in a folder, of any depth, and what of it is none, and why."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from ..errors import ImageError
from ..images.archives import Archive, Source, is_archive, is_picture, is_shown, read_archive, reason_of, suffix
from ..writing import RUN
from .records import (
    digest,
    digest_file,
    digests_of,
    entries_of,
    is_run,
    is_training,
    parse_answer,
    read_answer,
)

Roles = Mapping[Path, str]
Answer = tuple[Source, tuple[str, ...] | None]  # a completion, and the digests that it may have if it is unchanged
OF_TRAINING = ("samples", "checkpoints", "tensorboard")  # folders in that of a training


@final
@dataclass(frozen=True)
class LeftOut:
    """Counts of what is no picture of the command: by role, and by suffix for what is not read."""

    roles: Roles
    suffixes: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, roles: Roles) -> "LeftOut":
        """Nothing as yet."""
        return cls({Path(os.path.realpath(path)): role for path, role in roles.items()})

    def below(self, place: Path) -> "LeftOut":
        """The same for a folder that was named: the part that it has itself, or what it lies in, leaves nothing out."""
        real = Path(os.path.realpath(place))
        around = (real, *real.parents)
        return replace(self, roles={path: role for path, role in self.roles.items() if path not in around})

    def role(self, path: Path, *, named: bool = False) -> str | None:
        """The part that a file has in the command, or the folder it is in unless it was `named` itself."""
        if not self.roles:
            return None
        real = Path(os.path.realpath(path))
        above = () if named else real.parents
        return next((self.roles[one] for one in (real, *above) if one in self.roles), None)

    def choose(self, photos: list[Source], answers: list[Answer]) -> list[Source]:
        """The photos without completions, which are results; where there is nothing else these were meant."""
        if not photos:
            return [source for source, _ in answers]
        changed = [source for source, digests in answers if digests and not _is_one_of(source, digests)]
        if unchanged := len(answers) - len(changed):
            self.others["completed by latentfill; name one to use it"] += unchanged
        return photos + changed

    def sentences(self) -> Iterator[str]:
        """What was left out, in words."""
        if suffixes := +self.suffixes:
            counted = ", ".join(f"{number:,} {name}" for name, number in suffixes.most_common())
            yield f"left out, since files of this kind are not read: {counted}. Save pictures as PNG or JPEG."
        for what, number in self.others.items():
            yield f"left out: {number:,} {'picture' if number == 1 else 'pictures'}, {what}."


def list_folder(place: Path, left_out: LeftOut) -> Iterator[Source]:
    """Pictures by the order of their names, those in archives with them, and what is broken at the end."""
    walk = _Walk(place, left_out)
    found: list[Source] = []
    answers = walk.answers
    for path in sorted(walk.found):
        name = path.relative_to(place).as_posix()
        if is_picture(name):
            found.append(Source(name, path))
            continue
        archive = read_archive(path, name)
        photos, more = sort_archive(archive, left_out)
        found += photos
        answers += more
        if archive.problem:
            found.append(Source(name, path, problem=archive.problem))
    yield from sorted(left_out.choose(found, answers), key=lambda source: source.path)
    for path, problem in walk.problems:
        yield Source(path.relative_to(place).as_posix(), path, problem=problem)


def sort_archive(archive: Archive, left_out: LeftOut) -> tuple[list[Source], list[Answer]]:
    """The pictures in an archive, and the completions."""
    answers: list[Answer] = []
    for part in archive.pictures:
        if (beside := archive.beside.get(part.name)) and (metadata := _parse(beside)):
            answers.append((part, digests_of(metadata)))
    left_out.suffixes.update(archive.others - Counter({".json": len(answers)}))
    completed = {part.name for part, _ in answers}
    return [part for part in archive.pictures if part.name not in completed], answers


@final
class _Walk:
    """Pictures and archives below a folder, links followed but no folder twice; and what could not be listed."""

    def __init__(self, place: Path, left_out: LeftOut) -> None:
        self.found: list[Path] = []
        self.answers: list[Answer] = []
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
        return is_shown(folder.name) and not (folder.name == RUN and is_run(folder))

    def _sort(self, folder: Path, files: list[str]) -> None:
        entries, names = entries_of(folder), set(files)
        for name in filter(is_shown, files):
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
                self.answers.append((source, digests_of(metadata)))
            else:
                self.found.append(path)

    def _metadata_of(self, path: Path, names: set[str]) -> dict[str, Any] | None:
        """Of a completion; somebody else's file of that name is counted as one that is not read."""
        if path.suffix != ".png" or f"{path.stem}.json" not in names:
            return None
        metadata = read_answer(path.with_suffix(".json"))
        self._left_out.suffixes[".json"] += metadata is None
        return metadata

    def _is_metadata(self, path: Path, names: set[str]) -> bool:
        """Whether a file tells of an answer, and is not missed among pictures, or is looked at beside one."""
        return path.suffix == ".json" and (f"{path.stem}.png" in names or read_answer(path) is not None)

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


def _parse(beside: Source) -> dict[str, Any] | None:
    try:
        return parse_answer(beside.bytes())
    except ImageError:
        return None


def _is_one_of(picture: Source, digests: tuple[str, ...]) -> bool:
    try:
        return digest(picture.bytes()) in digests
    except ImageError:
        return False
