"""`latentfill complete --engine ray` as a process that can be killed, and what it leaves."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pyarrow import parquet

TITLE = b"(LatentfillWorker)"  # what Ray calls the process of an actor ends so


def start(words: Sequence[object], log: Path) -> "subprocess.Popen[bytes]":
    """A driver; what it says goes to the end of a log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        command = [sys.executable, "-m", "latentfill", *map(str, words)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)


def workers() -> list[int]:
    """The processes of actors on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if TITLE in path.read_bytes() and path.stat().st_uid == os.getuid():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return sorted(found)


def parts(out: Path) -> int:
    """Blocks that are done."""
    return sum(1 for _ in (out / "_run" / "parts").glob("*.arrow"))


def faulty(out: Path, names: set[str]) -> str:
    """What is wrong with a manifest, or nothing: one row for each input, none with an error, each answer whole."""
    rows = parquet.read_table(out / "_run" / "manifest.parquet").to_pylist()
    paths = [row["path"] for row in rows]
    told = []
    if len(set(paths)) < len(paths):
        told.append(f"{len(paths) - len(set(paths))} doubled")
    if missing := names - set(paths):
        told.append(f"{len(missing)} missing")
    if more := set(paths) - names:
        told.append(f"{len(more)} too many")
    if bad := [row for row in rows if row["error"]]:
        told.append(f"{len(bad)} errors, such as {bad[0]['error']}")
    sizes: dict[str, int] = {}
    for row in rows:
        if not row["error"] and row["output"] not in sizes:
            path = out / row["output"]
            sizes[row["output"]] = path.stat().st_size if path.exists() else -1
    if torn := [row for row in rows if not row["error"] and sizes[row["output"]] != row["output_bytes"]]:
        told.append(f"{len(torn)} answers not whole")
    return ", ".join(told)
