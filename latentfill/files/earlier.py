"""Results of earlier versions, which kept no records: they are known by what else was kept beside them."""

import json
import re
from functools import lru_cache
from pathlib import Path

from ..writing import RECORD, RUN

ANSWER = ("image", "options", "hole", "seconds")  # what the metadata of an answer held before it was sealed
KEPT = (".lock", "photos.jsonl", "asked.json", "judged")  # in `_run`
BATCH = re.compile(r"\d{6,}-\d{6,}(-\d+)?")  # and folders of what was completed at once
HISTORY = "history.jsonl"  # in the folder of a training
OF_TRAININGS = ("rejected.csv", "report.html", "losses.pdf", "losses.svg", "losses.png")
OF_TRIALS = ("report.json", "report.csv", "report.md", "report.html", "contact.png")
SHARD = re.compile(r"shards/\d{9}-[0-9a-f]{12}(-\d+)?\.tar")
OF_CROPS = ("rejected.csv", "alignment.json")


def is_earlier_run(folder: Path) -> bool:
    """Whether a folder called `_run` is one that `complete`, `align` or `evaluate` kept; an empty one is."""
    try:
        names = {path.name for path in folder.iterdir()}
        if not names or not names.isdisjoint(KEPT):
            return True
        table = (folder / "rejected.csv").read_bytes() if "rejected.csv" in names else b""
    except OSError:
        return False
    return table.startswith(b"path,reason") or any(map(BATCH.fullmatch, names)) or any(folder.glob("*/*/*.npz"))


def has_history(folder: Path) -> bool:
    """Whether a training was begun in a folder."""
    try:
        with (folder / HISTORY).open("rb") as file:
            return b'"latentfill"' in file.read(200)
    except OSError:
        return False


def is_earlier_result(path: Path) -> bool:
    """Whether a verb wrote the file of this name into its folder; of `sample`, `figures` and `export` nothing tells."""
    if path.name in OF_TRAININGS and has_history(path.parent):
        return True
    for folder in path.parents:
        run = folder / RUN
        if any((run / kept).exists() for kept in ("photos.jsonl", "judged", "asked.json")):
            return not (run / RECORD).exists() and _is_named(path.relative_to(folder), run)
    return False


def _is_named(name: Path, run: Path) -> bool:
    if (run / "judged").exists() and name.as_posix() in OF_TRIALS:
        return True
    if (run / "asked.json").exists() and SHARD.fullmatch(name.as_posix()):
        return True
    if not (run / "photos.jsonl").exists():
        return False
    return (name.name in OF_CROPS and len(name.parts) <= 2) or name.with_suffix("").as_posix() in _crops(run)


@lru_cache(maxsize=4)
def _crops(run: Path) -> frozenset[str]:
    """The crops that the ledger of `align` names, as it is when that is first asked."""
    found = set()
    for line in (run / "photos.jsonl").read_bytes().splitlines():
        try:
            row = json.loads(line)
            found |= {row["stem"], *(f"{row['stem']}-{i}" for i in range(2, row["crops"] + 1))}
        except (ValueError, TypeError, KeyError):
            continue
    return frozenset(found)
