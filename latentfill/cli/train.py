"""latentfill train: from a folder of pictures to a model file."""

import os
from functools import partial
from typing import TYPE_CHECKING

from ..errors import LatentfillError
from ..files.locks import check_not_training
from ..options.commands import TrainCommand as Options

if TYPE_CHECKING:
    from ..runs.distributed import DistributedContext
    from .run_training import ShouldStop

ADDED = "completer", "upsampler"  # kinds that become a part of a finished model


def run(options: Options) -> int:
    """Train until done or stopped. Returns 0, also when stopped: nothing is lost."""
    if options.kind in ADDED and not options.begin:
        raise LatentfillError(f"--kind {options.kind} adds to a finished model", "Give that with --begin.")
    if options.begin and options.kind not in ("gan", "vae", *ADDED):
        raise LatentfillError(f"--kind {options.kind} does not take --begin", "Leave it out.")
    if options.where.engine == "ray":
        from ..cluster.train import train
        from .configuration import command

        return train(options, partial(work, command.get()))
    if options.where.workers:
        raise LatentfillError(
            "--workers is for --engine ray; other processes are started by torchrun",
            f"Or write torchrun --standalone --nproc-per-node {options.where.workers} -m -- latentfill train ...",
        )
    if not options.record.dry_run and os.environ.get("WORLD_SIZE", "1") == "1":
        check_not_training(options.run)  # before torch is loaded
    from .run_training import train_in_process

    return train_in_process(options)


def work(as_given: str, options: Options, distributed: "DistributedContext", should_stop: "ShouldStop") -> None:
    """Train as one of the workers of a cluster, until done or until one of them wishes to stop."""
    from .configuration import command
    from .run_training import STEPS, show_progress

    command.set(as_given)
    show_progress(options, distributed, STEPS[options.kind](options, distributed, should_stop))
