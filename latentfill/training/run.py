"""A run is a folder: its options, its losses, its samples, its checkpoints. The same command continues it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import torch

from ..errors import RunError, explain
from ..gan.device import choose_device
from ..options import RunOptions, TrainOptions
from ..types import Images
from .dataset import Dataset
from .folder import Subject, check_same, claim
from .record import Progress
from .watching.learner import ALONE, Caller, Make
from .watching.learner import Learner as Learner
from .watching.loop import Loop
from .watching.rehearsal import rehearse


def follow(
    learner: Make,
    data: Dataset | None,
    folder: Path,
    subject: Subject,
    options: TrainOptions,
    run: RunOptions,
    caller: Caller = ALONE,
    held_out: Images | None = None,
) -> Iterator[Progress]:
    """Train until `options.images_seen`, yielding after every batch; go on from the newest checkpoint if there is one.

    Closing the iterator saves, once. So does an error, unless it tore a step apart: no uninterrupted run would have
    had such a state, and the last checkpoint stays the place to go on from. A run that has seen enough yields nothing.
    The watchdog may go back to an earlier checkpoint (see `watching`). A dry run yields once, and writes nothing.

    Raises RunError when the folder belongs to something else or to another process, when it cannot be written to, and
    when training breaks down and nothing helps: what is no longer a number is never saved.
    """
    team = caller.team
    device = team.device or choose_device(run.device)
    team.check_batch(options.batch_size)
    team.check_same("options", subject, options, run.dry_run)
    team.check_same("pictures", data.names if data else ())
    if run.threads:
        torch.set_num_threads(run.threads)
    if run.dry_run:
        check_same(folder, subject, options)
        yield rehearse(learner, data, folder, options, run, device, team)
        return
    locks: list[TextIO] = []

    def enter() -> None:
        locks.append(claim(folder))
        check_same(folder, subject, options)

    try:
        team.led(enter)
        yield from Loop(learner, data, folder, subject, options, run, caller, held_out, device).batches()
    except OSError as error:
        raise explain(error, folder, RunError) from error
    finally:
        for lock in locks:
            lock.close()


def in_images(options: TrainOptions, pictures: int) -> TrainOptions:
    """The same options with epochs turned into images seen, so many for all pictures once."""
    return replace(options, images_seen=max(1, round(options.epochs * pictures))) if options.epochs else options
