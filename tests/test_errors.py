import errno
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentfill.errors import (
    CURES,
    ImageError,
    LatentfillError,
    RunError,
    explain,
    is_full,
    is_out_of_memory,
    name_place,
)

SHORT = [
    MemoryError(),
    np._core._exceptions._ArrayMemoryError((10**9,), np.dtype(np.uint8)),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    RuntimeError("can't start new thread"),
    RuntimeError("std::bad_alloc"),
    type("error", (Exception,), {})("OpenCV(4.10.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]
OTHERS = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    OSError(errno.ENOSPC, "No space"),
    ValueError(),
    None,
]


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("error", SHORT, ids=str)
def test_want_of_memory_is_known_in_everybodys_words_and_through_ours(error):
    assert is_out_of_memory(error) and is_out_of_memory(
        caused(ImageError("a.png: too much", "Save it smaller."), error)
    )


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_what_is_no_want_of_memory_is_not_taken_for_it(error):
    assert not is_out_of_memory(error)
    assert not is_out_of_memory(LatentfillError("out of memory is a picture's name", "Write another."))


def test_a_full_disk_is_known_by_its_cause():
    assert is_full(caused(ImageError("a", "b"), OSError(errno.EDQUOT, ""))) and not is_full(PermissionError())


@given(number=st.sampled_from(sorted(errno.errorcode)), name=st.binary(min_size=1, max_size=30).map(os.fsdecode))
@settings(max_examples=60, deadline=None)
def test_every_error_of_the_system_names_its_file_and_a_cure(number, name):
    named = explain(OSError(number, os.strerror(number), name), "elsewhere", RunError)
    assert isinstance(named, RunError) and named.what.startswith(f"{name} cannot be ") and named.cure.endswith(".")
    assert explain(OSError(number, os.strerror(number), os.fsencode(name)), "elsewhere").what == named.what
    with pytest.raises(OSError) as caught, name_place("out"):
        raise OSError(number, os.strerror(number))
    assert explain(caught.value, "nobody").what.startswith("out cannot be ")


def test_cures_differ_where_what_is_wrong_does():
    assert CURES[errno.ENOSPC] != CURES[errno.EDQUOT] != CURES[errno.EROFS] != CURES[errno.EACCES]
    assert "room" in CURES[errno.ENOSPC] and "shorter" in CURES[errno.ENAMETOOLONG]
