"""What comes through a pipe: `-`, /dev/stdin, and the places that a shell makes of <(...). It can be read once."""

import sys
from pathlib import Path

from ..errors import DataError
from ..images.archives import reason_of
from ..images.photos import put
from .records import digest

PIPE = Path("-")
PIPES = (PIPE, Path("/dev/stdin"), Path("/dev/fd/0"))


def is_pipe(place: Path) -> bool:
    """Whether a place is one that can be read once alone."""
    try:
        return place in PIPES or place.parent == Path("/dev/fd") or place.is_fifo() or place.is_char_device()
    except OSError:  # too long a name, for one
        return False


def read_pipe(place: Path) -> bytes:
    """All that comes from there. Raises DataError if nothing can."""
    if place in PIPES and sys.stdin.isatty():
        raise DataError(f"{place}: nothing comes through standard input", f"Write latentfill ... {place} < FILE.")
    try:
        return sys.stdin.buffer.read() if place in PIPES else place.read_bytes()
    except OSError as error:
        raise DataError(f"{place}: {reason_of(error)}", "Give files, folders, or a pipe.") from error


def keep_pipe(place: str, run: Path, what: str) -> str:
    """The path of a file with what comes through a pipe, kept in `run`: every process reads it, and no pipe twice.

    Any other place is as it was.
    """
    if not is_pipe(Path(place)):
        return place
    data = read_pipe(Path(place))
    path = run / f"{what}-{digest(data)[:16]}.png"
    put(path, lambda file: file.write(data))
    return str(path)
