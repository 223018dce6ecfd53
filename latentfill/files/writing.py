"""Files are written completely or not at all; unfinished files of killed processes are removed later."""

import csv
import io
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import ImageError, cure

RUN = "_run"  # the folder in which verbs keep drawings and notes beside their results
RECORD = ".latentfill"  # the file that lists the files that they wrote into its folder
ABANDONED_AFTER_SECONDS = 3600.0  # no file takes so long
MAKING = re.compile(r"\.[0-9a-f]{16}\.making")


def write_file(
    path: Path, fill: Callable[[BinaryIO], object], before: Callable[[Path], object] = lambda making: None
) -> None:
    """Make a file of what `fill` writes to it: whole or not at all, its folder as needed, else raise ImageError.

    `before` is called with the whole file, which then moves into its place.
    """
    making = path.with_name(f".{secrets.token_hex(8)}.making")  # hidden, so that listings do not take it for a picture
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with making.open("xb") as file:
            fill(file)
        before(making)
        os.replace(making, path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        mend = cure(error) if isinstance(error, OSError) else "Choose another place, or another kind."
        raise ImageError(f"{path}: cannot be written ({reason})", mend) from error
    finally:
        if making.exists():
            making.unlink()


def write_csv(path: Path, rows: Iterable[Sequence[object]], save: Callable[..., None] = write_file) -> None:
    """Make a CSV file, whole or not at all. Of names of files, bytes that are no text are escaped."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    save(path, lambda file: file.write(text.getvalue().encode(errors="backslashreplace")))


def remove_partial(folder: Path) -> None:
    """Remove what killed processes had half made in a folder of results, but nothing that may still be made."""
    for left in (*folder.glob(".*.making"), *(folder / RUN).rglob(".*.making")):
        with suppress(OSError):
            if MAKING.fullmatch(left.name) and time.time() - left.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                left.unlink()
