"""What is said where Ray does not start, and where it puts its files."""

import errno

import pytest

from latentfill.cluster.connection import DEEPEST, find_cure, short_folder

SOCKET = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"


@pytest.mark.parametrize(
    ("error", "joined", "cure"),
    [
        (OSError("AF_UNIX path length cannot exceed 107 bytes: /t"), False, "shorter TMPDIR"),
        (RuntimeError("Version mismatch: The cluster was started with:\n Ray: 2.1"), True, "same versions"),
        (ConnectionError("ray client connection timeout"), True, "RAY_ADDRESS"),
        (OSError(errno.EADDRINUSE, "Address already in use"), False, "that port"),
        (ValueError("The configured object store size exceeds /dev/shm"), False, "--shm-size"),
        (OSError(errno.ENOSPC, "No space left on device"), False, "Make room"),
        (PermissionError(errno.EACCES, "Permission denied"), False, "who may write"),
        (MemoryError(), False, "memory"),
        (RuntimeError("Failed to start GCS"), False, "logs"),
    ],
)
def test_each_cause_has_a_cure_of_its_own(error, joined, cure):
    assert cure in find_cure(error, joined=joined)


def test_a_folder_that_is_too_deep_for_sockets_is_not_used():
    assert DEEPEST + len(SOCKET) <= 107
    assert short_folder({"TMPDIR": "/t" * 60}).count("/") == 2 and short_folder({"RAY_TMPDIR": "/t" * 60})
    assert short_folder({"TMPDIR": "/" + "t" * (DEEPEST - 1)}) is None and short_folder({}) is None
    assert short_folder({"TMPDIR": "/" + "t" * DEEPEST}) is not None
