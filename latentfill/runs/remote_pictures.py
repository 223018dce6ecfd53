"""Pictures in an object store, fetched into the cache: training then reads them as often as it likes.

What fsspec knows can be read: s3://, gs://, az://, hf://, https://, file://, memory:// and others, each with its own
package.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..errors import DataError, ExtraError
from ..files.locks import try_lock
from ..images.archives import is_archive, is_picture
from .data import cache_path

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+://")  # at least two letters, because a drive of Windows has one
AT_ONCE = 8  # files fetched in parallel
STAMPS = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "updated", "mtime", "created")
ASKED_AGAIN_SECONDS = 0.2  # interval for asking whether another training that fetches the same is done
MAKING = ".making"
ALIGNMENT = "alignment.json"  # the file that `align` leaves beside its crops


class Remote(NamedTuple):
    """A file in a store: its path there, its name within the place, its size, and what changes when it does."""

    path: str
    name: str
    size: int
    stamp: str


def is_remote(place: str) -> bool:
    """True if a place lies in a store."""
    return URL.match(place) is not None


def fetch(
    places: Sequence[str], cache: Path | None = None, tell: Callable[[str], None] = lambda line: None
) -> list[Path]:
    """The local paths of the places. Files of a store are fetched unless they are here and unchanged. Raises DataError
    if a store cannot be listed or read, or a file is truncated, and ExtraError for a missing package.
    """
    return [_fetch_url(place, cache, tell) if is_remote(place) else Path(place) for place in places]


def _fetch_url(url: str, cache: Path | None, tell: Callable[[str], None]) -> Path:
    system, found, single = _list_remote(url)
    folder = cache_path(f"store-{hashlib.sha256(url.encode()).hexdigest()[:24]}", cache)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while (lock := try_lock(folder / ".lock")) is None:  # another training fetches the same
            time.sleep(ASKED_AGAIN_SECONDS)
        try:
            _fill(system, url, found, folder, tell)
        finally:
            lock.close()
    except OSError as error:
        size = sum(remote.size for remote in found) / 1e6
        raise DataError(
            f"{url} cannot be fetched to {folder}: {error.strerror or error}",
            f"Its {len(found):,} files take {size:,.0f} MB: make room, or choose another place with --cache.",
        ) from error
    return folder / found[0].name if single else folder


def _list_remote(url: str) -> tuple[Any, list[Remote], bool]:
    """The file system, the files to fetch, and whether it is a single file."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ExtraError(
            f"{url}: reading from a store needs fsspec, which is not installed",
            "Install it: pip install 'latentfill[store]', and the package of that store, such as s3fs.",
        ) from error
    try:
        system, path = url_to_fs(url)
        single = not any(sign in path for sign in "*?[") and system.isfile(path)
        if single:
            about: Mapping[str, Any] = {path: system.info(path)}
            top = path.rsplit("/", 1)[0] if "/" in path else ""
        elif any(sign in path for sign in "*?["):
            about = system.glob(path, detail=True)
            top = re.split(r"[*?\[]", path)[0].rpartition("/")[0]
        else:
            about, top = system.find(path, detail=True), path
    except ImportError as error:
        raise ExtraError(f"{url}: {error}", "Install the package that it names.") from error
    except Exception as error:  # each store has its own errors
        raise DataError(
            f"{url} cannot be listed: {error or type(error).__name__}", "See that it is there and that you may read it."
        ) from error
    found = [
        Remote(path, path[len(top) :].strip("/"), int(info.get("size") or 0), _stamp(info))
        for path, info in sorted(about.items())
        if info.get("type", "file") == "file"
    ]
    found = [remote for remote in found if _is_wanted(remote.name)]
    if not any(remote.name != ALIGNMENT for remote in found):
        raise DataError(f"{url}: no pictures found", "Give a folder, .zip or .tar with pictures, or a pattern of them.")
    return system, found, single


def _is_wanted(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") for part in parts)
    return not hidden and (is_picture(name) or is_archive(name) or name == ALIGNMENT)


def _stamp(info: Mapping[str, Any]) -> str:
    return str(next((info[name] for name in STAMPS if info.get(name)), ""))


def _fill(system: Any, url: str, found: Sequence[Remote], folder: Path, tell: Callable[[str], None]) -> None:
    """Fetch new and changed files, and drop those that the store no longer has."""
    notes = folder / ".fetched.json"
    try:
        known = {str(name): tuple(said) for name, said in json.loads(notes.read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        known = {}
    there = {
        remote.name
        for remote in found
        if remote.stamp  # without a stamp, changes cannot be detected
        and known.get(remote.name) == (remote.size, remote.stamp)
        and _size(folder / remote.name) == remote.size
    }
    missing = [remote for remote in found if remote.name not in there]
    size = sum(remote.size for remote in missing) / 1e6
    tell(
        f"fetching {len(missing):,} of {len(found):,} files, {size:,.1f} MB, from {url} to {folder}"
        if missing
        else f"{url}: all {len(found):,} files are in {folder} already"
    )
    said = {remote.name: (remote.size, remote.stamp) for remote in found if remote.name in there}

    def fetch(remote: Remote) -> None:
        _fetch(system, remote, folder)
        said[remote.name] = (remote.size, remote.stamp)  # here, so that files fetched after a failed one are kept, too

    with ThreadPoolExecutor(AT_ONCE) as workers:
        try:
            list(workers.map(fetch, missing))
        finally:
            workers.shutdown(cancel_futures=True)
            making = notes.with_name(f".notes{MAKING}")
            making.write_text(json.dumps(said))
            making.replace(notes)
    names = {remote.name for remote in found}
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        name = path.relative_to(folder).as_posix()
        if name not in names and not name.startswith("."):
            path.unlink()


def _fetch(system: Any, remote: Remote, folder: Path) -> None:
    path = folder / remote.name
    making = path.with_name(f".{path.name}{MAKING}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        system.get_file(remote.path, str(making))
        if remote.size and _size(making) != remote.size:
            raise DataError(
                f"{remote.path}: came cut short, {_size(making):,} of {remote.size:,} bytes",
                "Start again; what came whole is kept.",
            )
        os.replace(making, path)
    except (DataError, OSError):
        raise
    except Exception as error:  # each store has its own errors
        raise DataError(f"{remote.path} cannot be fetched: {error}", "Start again; what came whole is kept.") from error
    finally:
        making.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
