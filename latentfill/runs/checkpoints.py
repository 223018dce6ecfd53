"""Checkpoints to resume from, written so that a kill at any moment leaves the previous one intact."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..errors import RunError, is_out_of_memory

SUFFIX = ".pt"
MAKING = ".making"  # suffix of unfinished files
UNREADABLE = (
    OSError,
    RuntimeError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def save(folder: Path, images_seen: int, state: dict[str, Any], keep: int, besides: int | None = None) -> Path:
    """Write one checkpoint under its final name only when it is whole, then drop all but the newest `keep`.

    One of `besides` images seen stays too, if it is older. Those of more images seen are dropped too: they were broken,
    or this one would not have been made.
    Raises RunError when it cannot be written; the older ones stay.
    """
    path = folder / f"{images_seen:010}{SUFFIX}"
    making = path.with_suffix(MAKING)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with making.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        making.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk by either error
        making.unlink(missing_ok=True)
        if is_out_of_memory(error):
            raise
        raise RunError(
            f"{path} cannot be written: {_reason(error)}",
            "Make room on that disk; the same command goes on from the checkpoint before, which is whole.",
        ) from error
    _sync(folder)
    older = [other for other in list_checkpoints(folder) if other.name < path.name]
    spared = [other for other in older if int(other.stem) == besides]
    for other in set(list_checkpoints(folder)) - {path, *older[: keep - 1], *spared}:
        other.unlink(missing_ok=True)
    return path


def read_newest(
    folder: Path, accepted: Callable[[int], bool] = lambda images_seen: True
) -> tuple[dict[str, Any] | None, tuple[Path, ...]]:
    """The newest checkpoint that can be read, or None where there are none; and the newer ones, which cannot.

    Only those of `accepted` images seen count.

    Plain tensors and numbers only: loading runs no code. Raises RunError when there are some and all are broken.
    """
    broken: list[Path] = []
    for path in filter(lambda path: accepted(int(path.stem)), list_checkpoints(folder)):
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            int(state["images_seen"])
            return state, tuple(broken)
        except UNREADABLE as error:
            if is_out_of_memory(error):  # the checkpoint may be intact
                raise
            broken.append(path)  # an incomplete file, after a full disk or a power failure
    if broken:
        raise RunError(
            f"{folder}: none of the checkpoints can be read ({', '.join(path.name for path in broken)})",
            "Put a whole copy there, or delete them to begin anew.",
        )
    return None, ()


def list_checkpoints(folder: Path) -> list[Path]:
    """All checkpoints, the newest first."""
    return sorted(folder.glob(f"*{SUFFIX}"), reverse=True)


def _reason(error: Exception) -> str:
    system = error if isinstance(error, OSError) else error.__context__
    return (isinstance(system, OSError) and system.strerror) or str(error).splitlines()[0]


def _sync(folder: Path) -> None:
    """Make the new name as lasting as the file, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
