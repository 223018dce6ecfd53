"""What `align` knows of every photo it has met, a line of JSON each: where its crops are, or why there are none."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import final

from ..images.photos import Source

Place = tuple[str, str]  # a file, and the part of it if it is an archive
ALIGNED, MOVED = "aligned", "moved"
LONGEST = 200  # bytes of a file's name; most systems allow 255, and photos.write and the suffix need some


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


def blank(source: Source) -> Row:
    """What is known of a photo before it is opened."""
    try:
        size = source.size if source.size >= 0 or source.problem else source.path.stat().st_size
    except OSError:
        size = -1
    return Row(source.name, os.path.abspath(source.path), source.member, size)


@final
class Ledger:
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

    def known(self, new: Row) -> Row | None:
        """What was found out about this photo, also if it has been moved since. None if it is new, or has changed."""
        if row := self.rows.get(new.place):
            return row if row.bytes == new.bytes else None
        row = self._moved.get((new.path, new.bytes))
        if row is None or row.place not in self.rows or os.path.exists(row.file):
            return None  # another photo of the same name and size, as with pictures that are not compressed
        here = replace(row, file=new.file, member=new.member)
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


def give_stems(
    new: Iterable[Row], ledger: Ledger, wish: Callable[[Row], str], *, numbered: bool
) -> list[tuple[Row, Row | None]]:
    """Every photo with a stem that no other photo has or will have, and what is known of it already.

    It is the one it had before, or the wished one, or else that with the photo's whole name, or a number more.
    `numbered` stems are kept clear of NAME-2 and so on. Upper and lower case count as the same, as for some systems.
    """
    taken: set[str] = set()
    with_numbers: set[str] = set()

    def take(stem: str) -> None:
        taken.add(stem.casefold())
        with_numbers.add(_numbered(stem.casefold()))

    def is_free(stem: str) -> bool:
        folded = stem.casefold()
        clash = folded in taken or (numbered and (folded in with_numbers or _numbered(folded) in taken))
        return not clash

    photos = [(row, ledger.known(row)) for row in new]
    for row in ledger.rows.values():
        take(row.stem)
    wishes = [_short(wish(row)) for row, _ in photos]
    folded = {stem.casefold() for stem in wishes}
    late = [numbered and _numbered(stem.casefold()) in folded for stem in wishes]  # a-2.jpg, if there is an a.jpg
    given: dict[int, tuple[Row, Row | None]] = {}
    for i in sorted(range(len(photos)), key=late.__getitem__):
        row, known = photos[i]
        before = known or ledger.rows.get(row.place)
        stem = before.stem if before else wishes[i]
        if not before:
            if not is_free(stem):
                base = _short(stem + PurePosixPath(row.path).suffix)
                stem = next(s for n in range(1, 10**9) if is_free(s := base if n == 1 else f"{base}~{n}"))
            take(stem)
        given[i] = replace(row, stem=stem), known
    return [given[i] for i in range(len(photos))]


def _numbered(stem: str) -> str:
    """The NAME in NAME-2; for other stems nothing that a stem could be."""
    name, dash, number = stem.rpartition("-")
    return name if dash and number.isdecimal() else "/"


def _short(stem: str) -> str:
    """The stem, its last part cut and told apart by a hash if file systems would not take it."""
    folder, slash, name = stem.rpartition("/")
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) <= LONGEST:
        return stem
    digest = sha256(stem.encode(errors="surrogateescape")).hexdigest()[:16]
    return f"{folder}{slash}{encoded[: LONGEST - 17].decode(errors='ignore')}-{digest}"
