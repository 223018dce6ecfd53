"""Shards of results (WebDataset): tars with NAME.png and NAME.json of each picture."""

import re
import tarfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from ..files import records

NAMES = re.compile(r"\d{9}-[0-9a-f]{12}(-\d+)?")  # of shards, without suffix


def pack(file: Any, folder: Path, pictures: Iterable[str]) -> None:
    """Write the pictures in a folder, and their metadata, into a tar."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in pictures:
            for path in (folder / name, folder / _beside(name)):
                part = tarfile.TarInfo(path.relative_to(folder).as_posix())
                part.size = path.stat().st_size
                with path.open("rb") as whole:
                    tar.addfile(part, whole)


def keep_only(shard: Path, pictures: Collection[str]) -> None:
    """Leave all other pictures out of a shard: those that were completed anew and lie in another."""
    kept = {*pictures, *map(_beside, pictures)}

    def fill(file: Any) -> None:
        with tarfile.open(shard) as old, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as new:
            for part in old:
                if part.name in kept:
                    new.addfile(part, old.extractfile(part))

    records.save(shard, fill)


def _beside(name: str) -> str:
    return f"{name.removesuffix('.png')}.json"
