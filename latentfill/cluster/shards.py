"""Shards of results (WebDataset): tars with NAME.png and NAME.json of each picture."""

import re
import tarfile
from collections.abc import Iterable, Mapping, Set
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


def drop_stale(out: Path, known: Mapping[str, Set[str]], rows: Iterable[dict[str, Any]]) -> None:
    """Take answers out of their shards that were given anew since, so that nobody reads both.

    `known` names all that were ever in each shard, `rows` are those that count; they get the new sizes.
    """
    now: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        now.setdefault(row["output"] or "", []).append(row)
    for output, pictures in known.items():
        theirs, path = now.get(output, []), out / output
        kept = {row["member"] for row in theirs}
        if theirs and pictures > kept and path.exists() and records.is_ours(path):
            _keep_only(path, kept)
            for row in theirs:
                row["output_bytes"] = path.stat().st_size


def _keep_only(shard: Path, pictures: Set[str]) -> None:
    names = {*pictures, *map(_beside, pictures)}

    def fill(file: Any) -> None:
        with tarfile.open(shard) as old, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as new:
            for part in old:
                if part.name in names:
                    new.addfile(part, old.extractfile(part))

    records.save(shard, fill)


def _beside(name: str) -> str:
    return f"{name.removesuffix('.png')}.json"
