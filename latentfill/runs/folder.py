"""The folder of a run: which process works in it, and with which options it was begun."""

import json
import re
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, final

import torch

from ..errors import LatentfillError, RunError, explain
from ..files import provenance
from ..files.locks import LOCK, in_training, try_lock
from ..options import Kind, NetworkOptions, RunOptions, TrainOptions, update_names
from ..version import __version__
from .checkpoints import MAKING, list_checkpoints
from .data import Dataset

HISTORY = "history.jsonl"
OTHER_PICTURES = "the pictures are not those of the last start; the training goes on with these"
RESULTS = (
    HISTORY,
    "model.safetensors",
    "model-raw.safetensors",
    "best.safetensors",
    "options.json",
    "metrics.csv",
    "samples",
    "checkpoints",
    "tensorboard",
    "warnings.jsonl",
)
HALF_MADE = re.compile(r"(\d{10}|options\.json|metrics\.csv|\.[\w.-]+)" + re.escape(MAKING))
FIXED = ("seed", "batch_size")  # training options that are fixed by the first batch
# Options that every training uses; the others are for trainings with a game.
SHARED_OPTIONS = {
    *("images_seen", "epochs", "batch_size", "learning_rate", "beta1", "beta2"),
    *("annealed", "decay", "average_half_life", "flip", "precision", "seed"),
}


@final
@dataclass(frozen=True)
class Subject:
    """The subject of a run: its kind, and in groups the options that cannot be changed once it has begun."""

    kind: Kind
    options: Mapping[str, Mapping[str, Any]]


def claim(folder: Path) -> TextIO:
    """Take the folder for this process, until the file returned is closed, and sweep what killed ones left behind.

    Raises RunError when it cannot be written to, when another process trains there, or when it holds files of the
    names that a training writes, and none was begun there.
    """
    try:
        lock = try_lock(folder / LOCK)
    except OSError as error:
        raise explain(error, folder, RunError) from error
    if lock is None:
        raise in_training(folder)
    if not provenance.is_training(folder):
        if there := [name for name in RESULTS if (folder / name).exists()]:
            lock.close()
            raise RunError(f"{folder} holds {there[0]} already, and no training", "Give another --run.")
        provenance.mark_training(folder)
        return lock
    for left in (path for place in (".", "checkpoints", "samples") for path in (folder / place).glob(f"*{MAKING}")):
        if HALF_MADE.fullmatch(left.name):
            left.unlink(missing_ok=True)
    return lock


def check_unused(options: TrainOptions, who: str, cure: str, *, besides: Set[str] = frozenset()) -> None:
    """Raise LatentfillError for options that would change nothing, rather than pass over them.

    `who` is trained by those of SERVED and `besides`.
    """
    asked = [field.name for field in fields(options) if getattr(options, field.name) != field.default]
    if unserved := [f"--{name.replace('_', '-')}" for name in asked if name not in SHARED_OPTIONS | besides]:
        raise LatentfillError(f"{who} trained without {', '.join(unserved)}", cure)


def count_held_out(folder: Path, wanted: int) -> int:
    """The number of pictures held out when the run began, else `wanted`: training pictures cannot be held out later."""
    path = folder / "options.json"
    if not list_checkpoints(folder / "checkpoints") or not path.exists():
        return wanted
    try:
        return int(json.loads(path.read_text()).get("data", {}).get("held_out", 0))
    except (ValueError, TypeError, AttributeError):
        return wanted  # `check_same` says what is wrong with it


def check_same(folder: Path, subject: Subject, options: TrainOptions) -> None:
    """Raise RunError when the checkpoints in the folder are of something else, or of another stream of images."""
    path = folder / "options.json"
    if not list_checkpoints(folder / "checkpoints") or not path.exists():
        return
    now = {**subject.options, "train": {name: getattr(options, name) for name in FIXED}}
    try:
        was = json.loads(path.read_text())
        pairs = [("kind", was.get("kind", "gan"), subject.kind)]  # the first runs did not record it
        if was.get("kind", "gan") == subject.kind:
            # Options that are not recorded could not be chosen yet.
            told = {**was, "network": {**asdict(NetworkOptions()), **update_names(was.get("network", {}))}}
            told.setdefault("labels", {})
            told.setdefault("data", {"held_out": 0})
            pairs = [
                (name, told[part].get(name), value) for part, fixed in now.items() for name, value in fixed.items()
            ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} cannot be read: {error!r}", "Delete it, if the options are those of before.") from error
    changed = [f"{name} {before!r}, now {value!r}" for name, before, value in pairs if before != value]
    if changed:
        raise RunError(f"{folder} was begun with {'; '.join(changed)}", "Give the same options, or another --run.")


def write_options(
    folder: Path,
    subject: Subject,
    options: TrainOptions,
    run: RunOptions,
    facts: Mapping[str, Any],
    data: Dataset | None = None,
) -> list[str]:
    """options.json holds the options in force; history.jsonl has a line for every start, with facts about it.

    Returns what a user should know: that the pictures are others than at the start before.
    """
    digest, before = data.digest if data else None, _last_digest(folder)
    now = {"kind": subject.kind, **subject.options, "train": asdict(options), "run": asdict(run)}
    making = folder / f"options.json{MAKING}"
    making.write_text(json.dumps(now, indent=2) + "\n")
    making.replace(folder / "options.json")
    with (folder / HISTORY).open("a") as file:
        file.write(json.dumps(origin() | dict(facts) | {"pictures_sha256": digest} | now) + "\n")
    return [OTHER_PICTURES] if before not in (None, digest) else []


def _last_digest(folder: Path) -> str | None:
    """The digest of the pictures at the last start, if it was kept."""
    try:
        last = json.loads((folder / HISTORY).read_text().splitlines()[-1])
        return last.get("pictures_sha256") or None
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def origin() -> dict[str, str]:
    """The time and the versions with which something was made."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "latentfill": __version__,
        "torch": str(torch.__version__),
    }
