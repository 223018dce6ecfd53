"""A file that one process at a time may hold. The system lets go of it when that process ends, however it ends."""

import os
import socket
from pathlib import Path
from typing import TextIO

from ..errors import LatentfillError
from .records import claim_run

HOLDER = "process "

try:
    import fcntl
except ImportError:  # not on every system; there nobody is kept out
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
    path = claim_run(out) / ".lock"
    if lock := try_lock(path):
        return lock
    raise LatentfillError(f"{lock_holder(path)} is writing to {out}", "Wait for it, stop it, or give another folder.")


def lock_holder(path: Path) -> str:
    """The process that wrote itself into a lock file."""
    found = path.read_text(encoding="utf-8", errors="replace").strip()
    return found if found.startswith(HOLDER) else "another process"
