"""What this program has written, known by its content: a file is ours if a record names it and its digest.

An answer of `complete` has its record beside it: NAME.json, sealed with a digest of itself. Everything else that a verb
writes under a name is listed in the hidden file `.latentfill` of its folder, a line of JSON for each time it was
written. A record comes before its file, so a kill between the two loses nothing.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, final

from ..errors import LatentfillError
from ..writing import RUN, put, put_rows

RECORD = ".latentfill"
FORMAT = 1
OLD = ("image", "options", "hole", "seconds")  # what the metadata of an answer held before it was sealed
OF_A_RUN = (".lock", "options.json", "photos.jsonl", "asked.json", "manifest.parquet", "rejected.csv", "judged")
MOVE = "Move or rename it, or give another folder."


@final
class ForeignFileError(LatentfillError):
    """A file that is not ours is where one of ours would go."""


class Entry(NamedTuple):
    """A file as it was written once. `root` leads to the folder of the results, if it is a picture of its own."""

    sha256: str
    root: str | None


def digest(data: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """The same of a file. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_ours(path: Path) -> bool:
    """Whether the file in this place is, byte for byte, one that its folder's record names.

    Among the results of an earlier version, which kept no records, whatever has none is.
    """
    if entries := entries_of(path.parent).get(path.name):
        return digest_file(path) in {entry.sha256 for entry in entries}
    run = next((folder / RUN for folder in path.parents if (folder / RUN).is_dir()), None)
    old_run = run is not None and is_run(run) and not (run / RECORD).exists()
    return old_run or ((path.parent / "history.jsonl").exists() and not (path.parent / RECORD).exists())


def check_free(path: Path) -> None:
    """Raise LatentfillError if a file is in the way that the program did not write, or that was changed since."""
    if os.path.lexists(path) and not (path.is_file() and is_ours(path)):
        raise ForeignFileError(f"{path} was not written by latentfill, or was changed since", MOVE)


def save(path: Path, fill: Callable[[BinaryIO], object], *, root: Path | None = None) -> None:
    """Write a file whole or not at all, in the place of nothing but what the program wrote there itself.

    `root` is the folder of the results, if the file is a picture of its own, such as a crop. Raises LatentfillError
    if another file is in the way, ImageError if it cannot be written.
    """
    check_free(path)
    put(path, fill, before=lambda making: _note(path, Entry(digest_file(making), _way(path, root))))


def save_table(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """The same of a CSV file."""
    put_rows(path, rows, save)


def move(made: Path, path: Path) -> None:
    """The same of a file that is whole already, on the same disk."""
    check_free(path)
    _note(path, Entry(digest_file(made), None))
    os.replace(made, path)


def remove(path: Path) -> None:
    """Delete a file that the program wrote; any other stays."""
    if path.is_file() and is_ours(path):
        path.unlink()


def entries_of(folder: Path) -> Mapping[str, list[Entry]]:
    """What the record of a folder says of each name; what is damaged in it says nothing."""
    path = folder / RECORD
    try:
        stat = path.stat()
    except OSError:
        return {}
    return _entries(path, stat.st_mtime_ns, stat.st_size)


def claim_run(out: Path) -> Path:
    """The folder OUT/_run, for what is kept beside results; made and marked if it is not there.

    Raises LatentfillError if somebody else's folder has that name.
    """
    run = out / RUN
    if run.exists() and not is_run(run):
        raise ForeignFileError(f"{run} was not made by latentfill", MOVE)
    run.mkdir(parents=True, exist_ok=True)
    if not any(run.iterdir()):
        (run / RECORD).touch()
    return run


def is_run(folder: Path) -> bool:
    """Whether a folder called `_run` is one that `claim_run`, or an earlier version, has made."""
    if any((folder / name).exists() for name in (RECORD, *OF_A_RUN)):
        return True
    inner = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return not any(folder.iterdir()) or any(path.name.replace("-", "").isdigit() for path in inner)


def seal(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of an answer with a digest of itself, by which `read_answer` knows it again."""
    plain = {"latentfill": FORMAT, **metadata}
    return {**plain, "seal": _digest_json(plain)}


def read_answer(path: Path) -> dict[str, Any] | None:
    """The metadata in a file NAME.json, if they are ours and unchanged, or were written by an earlier version."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
            if b'"latentfill"' not in head and b'"image"' not in head:
                return None
            found = json.loads(head + file.read())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    if "seal" not in found:
        return found if all(name in found for name in OLD) else None
    plain = {name: value for name, value in found.items() if name != "seal"}
    return found if found["seal"] == _digest_json(plain) else None


def is_answer(picture: Path, metadata: Mapping[str, Any]) -> bool:
    """Whether a picture is the one that the metadata beside it were written for; of an earlier version's it is."""
    output = metadata.get("output")
    return output is None or digest_file(picture) in (output["sha256"], *output["before"])


def can_replace(picture: Path, metadata: Mapping[str, Any] | None) -> bool:
    """Whether an answer, of which these are the metadata, is as it was written, or is not there any more."""
    return metadata is not None and (not os.path.lexists(picture) or is_answer(picture, metadata))


def _note(path: Path, entry: Entry) -> None:
    line = json.dumps({"name": path.name, **entry._asdict()}) + "\n"
    with (path.parent / RECORD).open("ab") as file:  # one write, so that several processes may add lines
        file.write(line.encode())


def _way(path: Path, root: Path | None) -> str | None:
    return None if root is None else os.path.relpath(root, path.parent)


@lru_cache(maxsize=64)
def _entries(path: Path, changed: int, size: int) -> Mapping[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for line in path.read_bytes().splitlines():
        try:
            fields = json.loads(line)
            found.setdefault(fields["name"], []).append(Entry(fields["sha256"], fields["root"]))
        except (ValueError, TypeError, KeyError):
            continue
    return found


def _digest_json(plain: Mapping[str, Any]) -> str:
    return digest(json.dumps(plain, sort_keys=True).encode())
