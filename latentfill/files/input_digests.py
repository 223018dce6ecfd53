"""Digests of the inputs of a completion: two are the same if photo, hole and landmarks have the same."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import HoleError, ImageError, LatentfillError
from ..images.archives import Source
from ..images.holes import HoleSpec, find_file
from .listing import Roles
from .provenance import digest, digest_file, is_completion

Landmarks = Mapping[str, Sequence[Any]]
Contents = Mapping[str, str | None]
"""SHA-256 of each content; None for what there is not, "" for what cannot be read"""
PHRASES = {"photo": "the photo has", "hole": "its hole has", "landmarks": "its landmarks have"}


def hole_roles(spec: HoleSpec, places: Sequence[Path], out: Path) -> Roles:
    """The files of a hole, which are no pictures. Raises HoleError if its folder is that of pictures or results."""
    if spec.kind not in ("file", "folder"):
        return {}
    if any(_is_same(place, spec.path) for place in places):
        raise HoleError(f"{spec.path} is given as the hole and as the picture", "Keep holes and pictures apart.")
    if spec.kind == "folder" and _is_same(out, spec.path):
        raise HoleError(f"{spec.path} is given for the holes and for the results", "Keep holes and results apart.")
    return {spec.path: "given as the hole"}


def check_apart(spec: HoleSpec, source: Source) -> None:
    """Raise HoleError if the hole of a picture in a folder of holes would be the picture itself, or a completion."""
    path = find_file(spec, source.name)
    if path is not None and not source.member and _is_same(path, source.path):
        raise HoleError(f"{source.name}: the hole found for it is the picture itself", "Keep holes and pictures apart.")
    if path is not None and spec.kind == "folder" and is_completion(path):
        raise HoleError(
            f"{source.name}: the hole found for it, {path}, is a completion", "Keep holes and results apart."
        )


def digest_photo(source: Source) -> str:
    """The digest of a picture's file."""
    try:
        return digest(source.bytes())
    except ImageError:
        return ""


def file_stamp(source: Source) -> str:
    """A text that changes whenever a picture's file does, without reading it; "" where there is no file.

    The time of the last change of an inode can be set back by no copy, archive or editor.
    """
    try:
        stat = source.path.stat()
    except OSError:
        return ""
    return f"{stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}" if source.data is None else ""


def digest_hole(spec: HoleSpec, name: str, own: bytes | None = None) -> str | None:
    """The digest of a hole's picture, `own` if it came with its photo; None for a hole by name or from the photo."""
    if own is not None:
        return digest(own)
    try:
        path = find_file(spec, name)
        return None if path is None else _digest_once(path, path.stat().st_mtime_ns, path.stat().st_size)
    except (LatentfillError, OSError):
        return ""


def digest_landmarks(landmarks: Landmarks, name: str) -> str | None:
    """The digest of the landmarks given for a photo."""
    try:
        points = landmarks.get(name, ())
    except LatentfillError:
        return ""
    return digest(json.dumps(np.asarray(points, float).tolist()).encode()) if len(points) else None


def describe_changes(was: Contents, now: Contents) -> str:
    """A phrase that names the contents that changed; those that were not kept count as the same."""
    return " and ".join(words for name, words in PHRASES.items() if name in was and was[name] != now[name])


def _is_same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


@lru_cache(maxsize=4)
def _digest_once(path: Path, changed: int, size: int) -> str:
    """Kept, since one hole often serves for many pictures."""
    return digest_file(path)
