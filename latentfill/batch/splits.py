"""The folders of a photo's crops: nested or flat, in train or test, and no person in both."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import final
from unicodedata import normalize

from ..errors import LatentfillError
from .align_records import Row

FOLDER = "folder"
TRAIN, TEST = "train", "test"
BETWEEN = "--"  # replaces the slash in a flattened name


@final
@dataclass(frozen=True)
class Split:
    """The share of identities kept for testing, and how a picture's name gives its identity.

    `identity` is `folder`, or a regular expression: its first group counts, or all that it matches if it has none.
    """

    share: float
    identity: str = FOLDER

    def __post_init__(self) -> None:
        try:
            re.compile("" if self.identity == FOLDER else self.identity)
        except re.error as error:
            cure = "Write `folder`, or a regular expression such as '^([^_]+)_'."
            raise LatentfillError(f"--identity {self.identity}: {error}", cure) from error

    def identity_of(self, name: str) -> str | None:
        """Whose picture it is, by its name (`people/anna/1.jpg`); None if that does not tell."""
        name = normalize("NFC", name)  # some systems store letters and accents separately
        if self.identity == FOLDER:
            folder = PurePosixPath(name).parent.as_posix()
            return None if folder == "." else folder
        match = re.search(self.identity, name)
        return (match[1] if match.re.groups else match[0]) if match else None

    def part(self, name: str) -> str:
        """`train` or `test`: a fair draw from the identity alone, so that pictures added later go where they belong.

        A name that does not tell is an identity of its own.
        """
        digest = hashlib.sha256(self._split_key(name).encode(errors="surrogateescape")).digest()
        return TEST if int.from_bytes(digest[:8], "little") / 2**64 < self.share else TRAIN

    def describe(self, names: Iterable[str]) -> str:
        """Describe the numbers of pictures and identities in each part."""
        pictures: dict[str, list[str]] = {TRAIN: [], TEST: []}
        for name in names:
            pictures[self.part(name)].append(name)
        parts = [
            f"{part}: {len(theirs):,} photos of {len(set(map(self._split_key, theirs))):,} identities"
            for part, theirs in pictures.items()
        ]
        alone = sum(self.identity_of(name) is None for theirs in pictures.values() for name in theirs)
        return "; ".join(parts) + (f". {alone:,} names tell no identity, each counts as one" if alone else "")

    def _split_key(self, name: str) -> str:
        who = self.identity_of(name)
        return f"name {normalize('NFC', name)}" if who is None else f"identity {who}"


@final
@dataclass(frozen=True)
class Naming:
    """The rule by which the crops of a photo are named."""

    flatten: bool = False
    split: Split | None = None
    drop: str = ""
    """beginning of the photos' names to leave out: of an archive that is the only place"""

    def stem(self, row: Row) -> str:
        """The path below the output folder, without a suffix. Two photos may have the same."""
        path = PurePosixPath(row.path.removeprefix(self.drop)).with_suffix("")
        stem = BETWEEN.join(path.parts) if self.flatten else path.as_posix()
        return f"{self.split.part(inner_name(row))}/{stem}" if self.split else stem


def inner_name(row: Row) -> str:
    """The name of a photo with its folders, as if its archive had been unpacked: a person may be in several shards."""
    parts = (part for part in row.member.replace("\\", "/").split("/") if part not in ("", ".", ".."))
    return "/".join(parts) if row.member else row.path
