"""The records of `align`, a line of JSON for each photo: where its crops are, or why there are none."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import final

from ..files.input_digests import file_stamp
from ..files.naming import fold, shorten
from ..images.photos import Source

Place = tuple[str, str]  # a file, and the member in it if it is an archive
ALIGNED, MOVED = "aligned", "moved"


@final
@dataclass(frozen=True)
class Row:
    """One photo. Its crops are OUT/`stem`.png, OUT/`stem`-2.png ... for as many faces as were cut out."""

    path: str
    """its name within the place that was given"""
    file: str
    member: str
    bytes: int
    stem: str = ""
    kind: str = ALIGNED
    """why it has no crops, in a word, if it has none"""
    reason: str = ""
    crops: int = 0
    signatures: tuple[str, ...] = ()
    """of each crop, in hexadecimal; none if duplicates are not looked for"""
    choices: str = ""
    """a digest of the options that it was looked at with"""
    stamp: str = ""
    """of the file, as its system tells it: the same stamp is the same content"""
    sha256: str = ""
    """of the photo as it is stored, once it has been read"""

    @property
    def place(self) -> Place:
        return self.file, self.member

    @property
    def names(self) -> list[str]:
        """Its crops, below OUT and without a suffix."""
        return crop_names(self.stem, self.crops)


def crop_names(stem: str, crops: int) -> list[str]:
    """NAME, NAME-2, NAME-3: what the crops of one photo are called."""
    return [stem if i == 1 else f"{stem}-{i}" for i in range(1, crops + 1)]


def new_row(source: Source) -> Row:
    """The row of a photo before it is opened."""
    try:
        size = source.size if source.size >= 0 or source.problem else source.path.stat().st_size
    except OSError:
        size = -1
    return Row(source.name, os.path.abspath(source.path), source.member, size, stamp=file_stamp(source))


@final
class Records:
    """The rows of one output folder, in a file that only grows: of several about one photo the last counts."""

    def __init__(self, path: Path) -> None:
        self.rows: dict[Place, Row] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._take(line)
        self._moved = {(row.path, row.bytes): row for row in self.rows.values()}
        self._file = path.open("a", encoding="utf-8")
        self._file.write("\n" if path.stat().st_size else "")  # the last line may have been cut short

    def find(self, new: Row, digest: Callable[[Row], str]) -> Row | None:
        """The row of this photo, also if it has been moved since. None if it is new, or has changed.

        Its content is compared by `digest`, unless its file has the stamp that it had.
        """
        if row := self.rows.get(new.place):
            return row if _is_same(row, new, digest) else None
        row = self._moved.get((new.path, new.bytes))
        gone = row is not None and row.place in self.rows and not os.path.exists(row.file)
        if row is None or not gone or not _is_same(replace(row, stamp=""), new, digest):
            return None  # another photo of the same name and size; uncompressed pictures often have the same size
        here = replace(row, file=new.file, member=new.member, stamp=new.stamp)
        self.add(replace(row, kind=MOVED))
        self.add(here)
        return here

    def add(self, row: Row) -> None:
        self._keep(row)
        self._file.write(json.dumps(asdict(row)) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _keep(self, row: Row) -> None:
        if row.kind == MOVED:
            self.rows.pop(row.place, None)
        else:
            self.rows[row.place] = row

    def _take(self, line: str) -> None:
        try:
            fields = json.loads(line)
            self._keep(Row(**{**fields, "signatures": tuple(fields["signatures"])}))
        except (ValueError, TypeError, KeyError):  # cut short by a kill
            pass


def assign_stems(
    new: Iterable[Row],
    records: Records,
    prefer_stem: Callable[[Row], str],
    *,
    numbered: bool,
    digest: Callable[[Row], str] = lambda row: "",
    is_taken: Callable[[str], bool] = lambda stem: False,
) -> list[tuple[Row, Row | None]]:
    """Every photo with a unique stem, and its existing row.

    It is the one it had before, or the wished one, or else that with the photo's whole name, or a number more.
    `numbered` stems are kept clear of NAME-2 and so on, and all of those that `is_taken` says somebody else's files
    have. Upper and lower case count as the same, as for some systems. `digest` tells the content of a photo.
    """
    taken: set[str] = set()
    with_numbers: set[str] = set()

    def take(stem: str) -> None:
        taken.add(fold(stem))
        with_numbers.add(_numbered(fold(stem)))

    def is_free(stem: str) -> bool:
        folded = fold(stem)
        clash = folded in taken or (numbered and (folded in with_numbers or _numbered(folded) in taken))
        return not clash and not is_taken(stem)

    photos = [(row, records.find(row, digest)) for row in new]
    for row in records.rows.values():
        take(row.stem)
    preferred = [shorten(prefer_stem(row)) for row, _ in photos]
    folded = {fold(stem) for stem in preferred}
    late = [numbered and _numbered(fold(stem)) in folded for stem in preferred]  # a-2.jpg, if there is an a.jpg
    given: dict[int, tuple[Row, Row | None]] = {}
    for i in sorted(range(len(photos)), key=late.__getitem__):
        row, known = photos[i]
        before = known or records.rows.get(row.place)
        stem = before.stem if before else preferred[i]
        if not before:
            if not is_free(stem):
                base = shorten(stem + PurePosixPath(row.path).suffix)
                stem = next(s for n in range(1, 10**9) if is_free(s := base if n == 1 else f"{base}~{n}"))
            take(stem)
        given[i] = replace(row, stem=stem), known
    return [given[i] for i in range(len(photos))]


def _numbered(stem: str) -> str:
    """The NAME in NAME-2; for other stems nothing that a stem could be."""
    name, dash, number = stem.rpartition("-")
    return name if dash and number.isdecimal() else "/"


def _is_same(row: Row, new: Row, digest: Callable[[Row], str]) -> bool:
    """True if a photo is the one that a row is of. Early rows kept its size alone."""
    if row.bytes != new.bytes or not row.sha256:
        return row.bytes == new.bytes
    return (row.stamp != "" and row.stamp == new.stamp) or row.sha256 == digest(new)
