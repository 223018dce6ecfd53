"""What a run needs to go on, written so that a kill at any moment leaves the previous one whole."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

SUFFIX = ".pt"


def save(folder: Path, images_seen: int, state: dict[str, Any], keep: int) -> Path:
    """Write one checkpoint under its final name only when it is whole, then drop all but the newest `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{images_seen:010}{SUFFIX}"
    making = path.with_suffix(".making")
    with making.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    making.replace(path)
    for old in listed(folder)[keep:]:
        old.unlink()
    return path


def newest(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, or None. Plain tensors and numbers only: loading runs no code."""
    for path in listed(folder):
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile):
            continue  # half a file, from a disk that was full or a machine that lost power
    return None


def listed(folder: Path) -> list[Path]:
    """All checkpoints, the newest first."""
    return sorted(folder.glob(f"*{SUFFIX}"), reverse=True)
