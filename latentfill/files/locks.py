"""A file that one process at a time may hold. The system releases it when that process ends, however it ends."""

import os
import socket
from pathlib import Path
from typing import TextIO

from ..errors import LatentfillError, RunError
from .provenance import claim_run

HOLDER, LOCK = "process ", ".lock"

try:
    import fcntl
except ImportError:  # some systems lack it; there nobody is kept out
    fcntl = None  # type: ignore[assignment]


def try_lock(path: Path) -> TextIO | None:
    """Open and lock a file until it is closed, and write into it who holds it; None if somebody else does.

    A file that holds something else is locked, and stays as it is.

    Unlike a file that merely exists, a lock cannot outlive a process that was killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+", encoding="utf-8", errors="replace")
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        pass  # a network disk without locks
    file.seek(0)
    if file.read(len(HOLDER)) in ("", HOLDER):
        file.truncate(0)
        file.write(f"{HOLDER}{os.getpid()} on {socket.gethostname()}\n")
        file.flush()
    return file


def lock_folder(out: Path) -> TextIO:
    """The sole right to write to a folder of results, until it is closed. Raises LatentfillError if another has it."""
    path = claim_run(out) / LOCK
    if lock := try_lock(path):
        return lock
    raise LatentfillError(f"{lock_holder(path)} is writing to {out}", "Wait for it, stop it, or give another folder.")


def check_not_training(folder: Path) -> None:
    """Raise RunError if another process trains in the folder of a run now; nothing is locked or written."""
    try:
        with (folder / LOCK).open("rb") as file:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise in_training(folder) from None
    except OSError:
        pass  # not locked, or a network disk without locks


def in_training(folder: Path) -> RunError:
    """The error for a run in which another process trains."""
    what = f"{lock_holder(folder / LOCK)} is training in {folder}"
    return RunError(what, "Wait for it, stop it, or give another --run.")


def lock_holder(path: Path) -> str:
    """The process that wrote itself into a lock file."""
    found = path.read_text(encoding="utf-8", errors="replace").strip()
    return found if found.startswith(HOLDER) else "another process"
