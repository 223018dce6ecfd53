"""A dry run: a few discarded steps, and an estimate of the training from them."""

import resource
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..options import RunOptions, TrainOptions
from ..process_group import use_process_group
from .checkpoints import list_checkpoints
from .data import Dataset
from .distributed import SINGLE_PROCESS, DistributedContext
from .interfaces import Make, Trainer
from .logs import Progress

STEPS, WARM_UP = 8, 1  # steps that are timed, and steps before them
SHEET = 3 * 64 * 2  # bytes of samples per pixel of an image, before compression: 64 images, averaged and last


def dry_run(
    make: Make,
    data: Dataset | None,
    folder: Path,
    options: TrainOptions,
    run: RunOptions,
    device: torch.device,
    distributed: DistributedContext = SINGLE_PROCESS,
) -> Progress:
    """Estimate what a training would take. The bytes of gradients and activations are what steps added."""
    before = _peak(device)
    last = options.reconstruct_last if options.trains_completer else 0
    trainer = make(device, replace(options, redraw_first=0, reconstruct_last=last))  # of the slowest part: all learn
    images = _real(trainer, data, options, distributed.rows).to(device)
    with use_process_group(distributed.group):
        for _ in range(WARM_UP):
            trainer.step(images)
        began = time.perf_counter()
        for _ in range(STEPS):
            values = trainer.step(images)
    float(next(iter(values.values())).mean())  # this waits for the device
    rate = trainer.images_seen / (WARM_UP + STEPS) * STEPS / (time.perf_counter() - began)
    state, models = trainer.state_dict(), len(trainer.suffixes)
    networks = {name: part for name, part in state.items() if _is_network(part)}
    numbers = {name: sum(t.numel() for t in part.values()) for name, part in networks.items()}
    weights = sum(_bytes(part) for part in networks.values())
    kept = sum(map(_bytes, state.values()))
    peak = max(0, _peak(device) - before)
    begun = max((int(path.stem) for path in list_checkpoints(folder / "checkpoints")), default=0)
    left = max(0, options.images_seen - begun)
    sheets = left // run.sample_every * SHEET * (images.shape[-1] ** 2 if images.numel() else 64**2) // 2
    snapshots = left // run.snapshot_every if run.snapshot_every else 0
    disk = kept * (run.keep_checkpoints + 1) + weights * (models + 1 + snapshots * models) + sheets
    dtype = str(trainer.precision).removeprefix("torch.")
    alone = (
        ", as parts of it are quicker"
        if options.trains_encoder and (options.redraw_first or options.reconstruct_last)
        else ""
    )
    shared = f", shared by {distributed.group.size} processes" if distributed.group.size > 1 else ""
    lines = [
        f"what        {type(trainer).__name__} of {', '.join(f'{name} {n:,}' for name, n in numbers.items())} numbers",
        f"memory      {_mb(weights)} networks, {_mb(kept - weights)} optimisers, {_mb(max(0, peak - kept))} gradients, "
        f"activations and the rest of {STEPS + WARM_UP} steps; {_mb(peak)} in all beyond the program itself",
        f"computes    in {dtype} on {device}, {options.batch_size} images at a time{shared}",
        f"speed       {rate:,.1f} images/s in {STEPS} steps, samples and scores aside",
        f"images      {left:,} to see{f', after {begun:,}' if begun else ''}",
        f"time        {'at most ' if alone else ''}{_time(left / rate)}{alone}",
        f"disk        about {_mb(disk)} in {folder}: {run.keep_checkpoints + 1} checkpoints of {_mb(kept)} at most, "
        f"models, {left // run.sample_every:,} times samples",
    ]
    return Progress(begun, options.images_seen, rate, {}, begun, messages=tuple(lines))


def _real(trainer: Trainer, data: Dataset | None, options: TrainOptions, part: slice) -> Tensor:
    if not data or not trainer.real_images:
        return torch.empty(0, 0, 0, 0)
    return data.batch(0, trainer.real_images, seed=options.seed, flip=options.flip, part=part)


def _is_network(part: Any) -> bool:
    return isinstance(part, Mapping) and all(isinstance(value, Tensor) for value in part.values()) and bool(part)


def _tensors(part: Any) -> Iterator[Tensor]:
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, Mapping | list | tuple):
        for value in part.values() if isinstance(part, Mapping) else part:
            yield from _tensors(value)


def _bytes(part: Any) -> int:
    return sum(prod(t.shape) * t.element_size() for t in _tensors(part))


def _peak(device: torch.device) -> int:
    """The most memory used so far, in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} hours" if seconds >= 5400 else f"{seconds / 60:,.1f} minutes"
