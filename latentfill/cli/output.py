"""Output: results to standard output, for other programs; all else to standard error."""

import codecs
import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from ..errors import LatentfillError, cure

ANY_NAME = "latentfill.any_name"
LONGEST_TITLE = 80  # letters


def take_any_name(stream: TextIO) -> None:
    """Let names of files be written whatever they are: as the bytes that they have, else escaped.

    Elsewhere than in the C locale Python would break off at a name that is not of the locale's encoding.
    """
    codecs.register_error(ANY_NAME, _escape)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=ANY_NAME)


def open_streams() -> None:
    """Open streams that were closed from the start; otherwise opened files would get their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))  # gets the lowest free number, its own


def print_results(*results: object, file: TextIO | None = None) -> None:
    """Print results, a line each, at once. Raises LatentfillError where they cannot be written."""
    try:
        print(*results, sep="\n", file=file, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        what = f"standard output cannot be written to: {error.strerror or error}"
        raise LatentfillError(what, cure(error)) from error


def is_closed(stream: TextIO) -> bool:
    """True if nobody reads the stream any more."""
    try:
        stream.flush()
        pipe = select.poll()
        pipe.register(stream.fileno(), 0)
        return any(event & select.POLLERR for _, event in pipe.poll(0))  # what was not written may be lost already
    except BrokenPipeError:
        return True
    except (OSError, ValueError, AttributeError):  # disk full, stream closed or without a file, no poll here
        return False


def close() -> None:
    """Discard further output, so that Python reports no error at the end."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # the stream was closed from the start
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def name_process(verb: str, path: Path) -> None:
    """Name this process, for lists of processes, by its verb and its output."""
    from setproctitle import setproctitle

    name = path.name.encode(errors="backslashreplace").decode()
    setproctitle(f"latentfill {verb} {name[:LONGEST_TITLE]}")


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeEncodeError:
        return codecs.lookup_error("backslashreplace")(error)
