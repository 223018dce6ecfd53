"""Records of the files that this program wrote: a file is ours if a record names it and its digest.

A completion has its record beside it: NAME.json, sealed with a digest of itself. Everything else that a verb writes
under a name is listed in the hidden file `.latentfill` of its folder, a line of JSON for each time it was written. A
record comes before its file, so a kill between the two loses nothing. Results of earlier versions, which kept no
records, are known by what else was kept beside them.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, final

from ..errors import LatentfillError
from ..images.archives import RESULT_SUFFIXES
from .writing import RECORD, RUN, write_csv, write_file

FORMAT = 1
BY_TRAINING = b'{"training": 1}\n'  # a line in the record of a training's folder
MOVE = "Move or rename it, or give another folder."
LEAST = 64  # first bytes of a result's metadata that distinguish it from other files
FOLDERS_READ = 64  # folders whose records are kept in memory


@final
class ForeignFileError(LatentfillError):
    """A file that is not ours is where one of ours would go."""


class Entry(NamedTuple):
    """A file as it was written once. `root` leads to the folder of the results, if it is a picture of its own."""

    sha256: str
    root: str | None


Entries = dict[str, list[Entry]]
_READ: dict[
    Path, tuple[tuple[int, int, int], int, bytes, Entries]
] = {}  # the records of each folder: stamp, bytes read, last line, content


def digest(data: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """The same of a file. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_ours(path: Path) -> bool:
    """True if the file in this place is, byte for byte, one that its folder's record names.

    Without a record, it is if an earlier version wrote it.
    """
    if entries := read_entries(path.parent).get(path.name):
        return digest_file(path) in {entry.sha256 for entry in entries}
    return is_earlier_result(path) and BY_TRAINING not in _read(path.parent)


def check_free(path: Path) -> None:
    """Raise LatentfillError if a file is in the way that the program did not write, or that was changed since."""
    if os.path.lexists(path) and not (path.is_file() and is_ours(path)):
        raise ForeignFileError(f"{path} was not written by latentfill, or was changed since", MOVE)


def save(path: Path, fill: Callable[[BinaryIO], object], *, root: Path | None = None) -> None:
    """Write a file completely or not at all; replace only a file that the program itself wrote.

    `root` is the folder of the results, if the file is a picture of its own, such as a crop. Raises LatentfillError
    if another file is in the way, ImageError if it cannot be written.
    """
    check_free(path)
    write_file(path, fill, before=lambda making: _note(path, Entry(digest_file(making), _relative_root(path, root))))


def save_table(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """The same of a CSV file."""
    write_csv(path, rows, save)


def move(made: Path, path: Path) -> None:
    """The same of a file that is whole already, on the same disk."""
    check_free(path)
    _note(path, Entry(digest_file(made), None))
    os.replace(made, path)


def remove(path: Path) -> None:
    """Delete a file that the program wrote; any other stays."""
    if path.is_file() and is_ours(path):
        path.unlink()


def read_entries(folder: Path) -> Mapping[str, list[Entry]]:
    """The entries of a folder's record by name; damaged lines are left out."""
    path = folder / RECORD
    try:
        stat = path.stat()
    except OSError:
        return {}
    stamp = stat.st_ino, stat.st_mtime_ns, stat.st_size
    known, read, last, found = _READ.pop(path, ((0, 0, 0), 0, b"", {}))
    if stamp != known:
        read, last, found = _read_appended(path, read, last, found)
    _READ[path] = stamp, read, last, found
    while len(_READ) > FOLDERS_READ:
        del _READ[next(iter(_READ))]
    return found


def claim_run(out: Path) -> Path:
    """The folder OUT/_run, for files beside the results; created and marked if missing.

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
    """True if a folder called `_run` is one that `claim_run`, or an earlier version, has made; an empty one is."""
    return os.path.exists(folder / RECORD) or is_earlier_run(folder)


def is_training(folder: Path) -> bool:
    """True if a training was begun in a folder."""
    return BY_TRAINING in _read(folder) or has_history(folder)


def mark_training(folder: Path) -> None:
    """Record that a training was begun in a folder, so that its files there are ours."""
    with (folder / RECORD).open("ab") as file:
        file.write(BY_TRAINING)


def seal(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a completion with a digest of itself, by which `read_metadata` knows it again."""
    plain = {"latentfill": FORMAT, **metadata}
    return {**plain, "seal": _digest_json(plain)}


def read_metadata(path: Path) -> dict[str, Any] | None:
    """The metadata in a file NAME.json, if they are ours and unchanged, or were written by an earlier version."""
    try:
        with path.open("rb") as file:
            head = file.read(LEAST)
            return parse_metadata(head + file.read()) if _may_be_metadata(head) else None
    except OSError:
        return None


def parse_metadata(data: bytes) -> dict[str, Any] | None:
    """The same of the content of such a file."""
    try:
        found = json.loads(data) if _may_be_metadata(data) else None
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    if "seal" not in found:
        return found if all(name in found for name in UNSEALED) else None
    plain = {name: value for name, value in found.items() if name != "seal"}
    return found if found["seal"] == _digest_json(plain) else None


def fits_metadata(picture: Path, metadata: Mapping[str, Any]) -> bool:
    """True if a picture is the one that the metadata beside it were written for; of an earlier version's it is."""
    digests = picture_digests(metadata)
    return digests is None or digest_file(picture) in digests


def picture_digests(metadata: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The digests of the picture that the metadata describe, and of the one before; None for earlier versions."""
    output = metadata.get("output")
    return None if output is None else (output["sha256"], *output["before"])


def result_suffix(metadata: Mapping[str, Any] | None) -> str:
    """The end of the name of the picture that metadata were written for."""
    return str(((metadata or {}).get("output") or {}).get("suffix", ".png"))


def is_completion(picture: Path) -> bool:
    """True if a picture is a completion that `complete` wrote, and unchanged."""
    metadata = read_metadata(picture.with_suffix(".json")) if picture.suffix in RESULT_SUFFIXES else None
    return metadata is not None and result_suffix(metadata) == picture.suffix and fits_metadata(picture, metadata)


def can_replace(picture: Path, metadata: Mapping[str, Any] | None) -> bool:
    """True if the result with these metadata is unchanged, or missing."""
    return metadata is not None and (not os.path.lexists(picture) or fits_metadata(picture, metadata))


def _note(path: Path, entry: Entry) -> None:
    line = json.dumps({"name": path.name, **entry._asdict()}) + "\n"
    with (path.parent / RECORD).open("ab") as file:  # a single write, so that several processes may add lines
        file.write(line.encode())


def _relative_root(path: Path, root: Path | None) -> str | None:
    return None if root is None else os.path.relpath(root, path.parent)


def _read(folder: Path) -> bytes:
    try:
        return (folder / RECORD).read_bytes()
    except OSError:
        return b""


def _read_appended(path: Path, read: int, last: bytes, found: Entries) -> tuple[int, bytes, Entries]:
    """Read what was added to a growing record since its `last` line, or all if that line is gone."""
    with path.open("rb") as file:
        file.seek(read - len(last))
        data = file.read()
        if not data.startswith(last):
            file.seek(0)
            read, last, found, data = 0, b"", {}, file.read()
    lines = data[len(last) : data.rfind(b"\n") + 1].splitlines(keepends=True)
    for line in lines:
        try:
            fields = json.loads(line)
            found.setdefault(fields["name"], []).append(Entry(fields["sha256"], fields["root"]))
        except (ValueError, TypeError, KeyError):
            continue
    return read + sum(map(len, lines)), lines[-1] if lines else last, found


def _may_be_metadata(data: bytes) -> bool:
    return b'"latentfill"' in data[:LEAST] or b'"image"' in data[:LEAST]


def _digest_json(plain: Mapping[str, Any]) -> str:
    return digest(json.dumps(plain, sort_keys=True).encode())


UNSEALED = ("image", "options", "hole", "seconds")  # keys of the metadata that earlier versions wrote
KEPT = (".lock", "photos.jsonl", "asked.json", "judged")  # files in `_run`
BATCH = re.compile(r"\d{6,}-\d{6,}(-\d+)?")  # and folders, one for each batch completed
HISTORY = "history.jsonl"  # a file in the folder of a training
OF_TRAININGS = ("rejected.csv", "report.html", "losses.pdf", "losses.svg", "losses.png")
OF_TRIALS = ("report.json", "report.csv", "report.md", "report.html", "contact.png")
SHARD = re.compile(r"shards/\d{9}-[0-9a-f]{12}(-\d+)?\.tar")
OF_CROPS = ("rejected.csv", "alignment.json")


def is_earlier_run(folder: Path) -> bool:
    """True if a folder called `_run` is one that `complete`, `align` or `evaluate` kept; an empty one is."""
    try:
        names = {path.name for path in folder.iterdir()}
        if not names or not names.isdisjoint(KEPT):
            return True
        table = (folder / "rejected.csv").read_bytes() if "rejected.csv" in names else b""
    except OSError:
        return False
    return table.startswith(b"path,reason") or any(map(BATCH.fullmatch, names)) or any(folder.glob("*/*/*.npz"))


def has_history(folder: Path) -> bool:
    """True if a training was begun in a folder."""
    try:
        with (folder / HISTORY).open("rb") as file:
            return b'"latentfill"' in file.read(200)
    except OSError:
        return False


def is_earlier_result(path: Path) -> bool:
    """True if a verb wrote the file of this name into its folder; of `sample`, `figures` and `export` nothing tells."""
    if path.name in OF_TRAININGS and has_history(path.parent):
        return True
    for folder in path.parents:
        run = folder / RUN
        if any((run / kept).exists() for kept in ("photos.jsonl", "judged", "asked.json")):
            return not (run / RECORD).exists() and _is_listed(path.relative_to(folder), run)
    return False


def _is_listed(name: Path, run: Path) -> bool:
    if (run / "judged").exists() and name.as_posix() in OF_TRIALS:
        return True
    if (run / "asked.json").exists() and SHARD.fullmatch(name.as_posix()):
        return True
    if not (run / "photos.jsonl").exists():
        return False
    return (name.name in OF_CROPS and len(name.parts) <= 2) or name.with_suffix("").as_posix() in _list_crops(run)


@lru_cache(maxsize=4)
def _list_crops(run: Path) -> frozenset[str]:
    """The crops in the records of `align`, as they are at the first call."""
    found = set()
    for line in (run / "photos.jsonl").read_bytes().splitlines():
        try:
            row = json.loads(line)
            found |= {row["stem"], *(f"{row['stem']}-{i}" for i in range(2, row["crops"] + 1))}
        except (ValueError, TypeError, KeyError):
            continue
    return frozenset(found)
