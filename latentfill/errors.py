"""Errors that a user can cause and correct. The command line prints them in two lines and exits with 2."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EDQUOT, EEXIST, EISDIR, EMFILE, ENAMETOOLONG, ENFILE, ENOMEM, ENOSPC, ENOTDIR, EPERM, EROFS

FULL = (ENOSPC, EDQUOT)
WRITING = (*FULL, EROFS, EEXIST, ENOTDIR)  # errors that reading never raises
CURES = {
    ENOSPC: "Make room on that disk; the same command goes on.",
    EDQUOT: "Your share of that disk is used up: make room, and the same command goes on.",
    EACCES: "Change who may write and read there, or choose another place.",
    EPERM: "Change who may write and read there, or choose another place.",
    EROFS: "That disk can only be read: choose another place.",
    EEXIST: "Something else of that name is in the way: choose another place.",
    ENOTDIR: "A file is where a folder should be: choose another place.",
    EISDIR: "A folder is where a file should be: choose another place.",
    ENAMETOOLONG: "Give it a shorter name.",
    EMFILE: "Allow more open files (ulimit -n).",
    ENFILE: "This machine has too many open files: end other programs.",
}
# Messages of torch, CUDA, OpenCV, dlib and Python's threads; most of these errors have no class of their own.
SHORT_OF_MEMORY = re.compile(
    r"(can't|cannot|unable to|failed to|could not) allocate|(out of|not enough|insufficient) memory"
    r"|bad[_ ]alloc(ation)?\b|alloc_failed|can't start new thread",
    re.IGNORECASE,
)


class LatentfillError(Exception):
    """An error that the user can correct: what is wrong, and the cure."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(f"{what}\n{cure}")
        self.what = what
        self.cure = cure

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.what, self.cure)  # errors are sent to other processes


class ImageError(LatentfillError):
    """A picture that cannot be used."""


class HoleError(LatentfillError):
    """A hole that does not fit, or that cannot be understood."""


class DataError(LatentfillError):
    """A collection of pictures that cannot be trained on."""


class ModelError(LatentfillError):
    """A model file that cannot be used."""


class RunError(LatentfillError):
    """A run folder that cannot be started or continued."""


class ExtraError(LatentfillError):
    """A library that an extra installs is missing: no picture is to blame, and no other will do better."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """True if memory that could not be had, the machine's or a GPU's, made this happen; threads need some too."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == ENOMEM):
            return True
        if not isinstance(error, LatentfillError | OSError) and SHORT_OF_MEMORY.search(str(error)):
            return True
        error = error.__cause__
    return False


def out_of_memory(name: str) -> ImageError:
    """The error for a photo that memory does not hold, even alone."""
    cure = "Save it smaller, give a smaller --attempts or --candidates, or take a machine with more memory."
    error = ImageError(f"{name}: there is not enough memory for it", cure)
    error.__cause__ = MemoryError()
    return error


def is_full(error: BaseException | None) -> bool:
    """True if it is a disk without room that made this happen."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__
    return False


@contextmanager
def name_place(place: object) -> Iterator[None]:
    """Let errors of the system that name no file name this one: what is written goes there."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(place)
        raise


def explain(error: OSError, place: object, kind: type[LatentfillError] = LatentfillError) -> LatentfillError:
    """Say what the system refused, for which file (`place` if the error names none), and the cure."""
    where = error.filename2 or error.filename or place
    where = where.decode(errors="surrogateescape") if isinstance(where, bytes) else where
    what = "cannot be written to" if error.errno in WRITING else "cannot be used"
    return kind(f"{where} {what}: {error.strerror or error}", cure(error))


def cure(error: OSError) -> str:
    """The cure for an error of the system."""
    return CURES.get(error.errno or 0, "See that it is there and whole, or choose another place.")
