"""Devices to compute on, precisions to compute in, and threads."""

import platform
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

from .errors import LatentfillError, is_out_of_memory

T = TypeVar("T")
R = TypeVar("R")


def map_in_threads(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The function's results, in the order of the items, computed on as many threads as torch has."""
    pool = ThreadPoolExecutor(torch.get_num_threads())
    results = pool.map(function, items)
    pool.shutdown(wait=False)  # when all is done
    return results


def choose_device(name: str) -> torch.device:
    """`cpu`, `cuda`, `cuda:1`, `mps`; `auto` is the first GPU, or the CPU where there is none."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # some devices only pretend to compute
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0]
        cure = "Try --device auto or --device cpu."
        raise LatentfillError(f"device {name!r} cannot be used: {reason}", cure) from error
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """`fp32`, `bf16`, or `auto`: bf16 where it is the faster one."""
    if name == "auto":
        return torch.bfloat16 if bf16_pays(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]


def has_bf16(device: torch.device) -> bool:
    """True where bf16 products are done in hardware: AVX512-BF16, AMX, or a GPU of 2020 or later."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def bf16_pays(device: torch.device) -> bool:
    """True where bf16 is faster than float32: with matrix units, and with AMD's AVX512-BF16.

    Intel's makes half as many products of pairs at a time, so that nothing is gained but the conversions are paid
    for: without AMX (virtual machines often hide it) bf16 took a fifth longer (docs/decisions.md).
    """
    if device.type != "cpu" or not has_bf16(device):
        return has_bf16(device)
    return bool(torch.cpu._is_amx_tile_supported()) or not is_intel()


def is_intel(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """True for a processor of Intel's, as the system describes it."""
    try:
        text = cpuinfo.read_text(errors="replace")
    except OSError:
        text = platform.processor()  # Windows names the maker there
    return "GenuineIntel" in text
