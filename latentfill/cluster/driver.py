"""The driver: start or join Ray, hand out the work, report progress, and end well."""

import io
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..batch.complete import write_rejected
from ..batch.inputs import Plan
from ..batch.outputs import digest_model, result_suffixes
from ..errors import LatentfillError
from ..files.input_digests import hole_roles
from ..files.locks import lock_folder
from ..files.naming import FolderResults
from ..gan.gan import Gan
from ..options import EngineOptions
from ..signals import stop
from .blocks import Block, BlockWork, run_blocks
from .complete import Job
from .connection import Fleet, connect, disconnect
from .tables import Manifest, Row, list_inputs

if TYPE_CHECKING:
    from ..options.commands import CompleteCommand

Watch = Callable[[Sequence[Path], int, int, str], None]


def complete(options: "CompleteCommand", gan: Gan, watch: Watch) -> tuple[dict[str, Row], int]:
    """Have every picture completed that is not yet. Returns the rows of the manifest, and how many there should be.

    `watch` is called as it goes on: with files that were written, pictures done, of how many, and a note.

    Raises LatentfillError where nothing can be done, KeyboardInterrupt when stopped: what is done is in the manifest.
    """
    plan = Plan.of(options, gan)  # raises for options that conflict, before anything is started
    lock = lock_folder(options.out)
    try:
        results = (
            Manifest(options.out)
            if options.write == "tar"
            else FolderResults(options.out, result_suffixes(options.format))
        )
        roles = hole_roles(plan.hole, options.images, options.out)
        inputs, left_out = list_inputs(
            options.images, options.out, results, roles, anew=options.overwrite, form=options.format
        )
        print(*(f"{line}\n" for line in left_out), sep="", end="", file=sys.stderr)
        inputs = inputs[: options.max_images]
        if not inputs:
            what = f"no pictures in {', '.join(map(str, options.images))}"
            raise LatentfillError(what, "Give pictures, folders, tars or Parquet files of them.")
        job = Job(options, inputs, digest_model(gan), plan)
        if done := len(inputs) - job.open:
            print(f"{done:,} of {len(inputs):,} are done already (--overwrite makes them anew)", file=sys.stderr)
        print(*(f"{note}\n" for note in job.notes.values()), sep="", end="", file=sys.stderr)
        try:
            if job.open:
                _complete(options, job, watch)
        except KeyboardInterrupt:
            _finish(job)
            raise
        return _finish(job), len(inputs)
    finally:
        lock.close()


def run_on_ray(
    options: EngineOptions,
    cut: Callable[[Fleet], Sequence[Block]],
    make: Callable[[], BlockWork],
    notes: Path,
    *,
    device: str = "cpu",
    threads: int = 0,
    most: int | None = None,
) -> Generator[tuple[str, Any], None, None]:
    """Start or join Ray, process the blocks that `cut` makes for the number of actors, and leave Ray in any case.

    Meanwhile sys.stdout is sys.stderr: Ray prints messages about dead actors there, among the results.
    """
    streams = sys.stdout, sys.stderr
    sys.stdout = sys.stderr
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        fleet = connect(options, device, threads, most)
        for number, handler in before.items():  # Ray replaced the SIGTERM handler by its own, which exits at once
            ours = handler in (None, signal.SIG_DFL, signal.default_int_handler, stop)
            signal.signal(number, _interrupt if ours else handler)
        yield from run_blocks(make, cut(fleet), fleet, notes)
    finally:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        disconnect()
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        sys.stdout, sys.stderr = streams


def _finish(job: Job) -> dict[str, Row]:
    rows = job.finish()
    bad = [(row["path"], row["error"]) for row in rows.values() if row["error"]]
    write_rejected(job.options.out, bad)
    return rows


def _complete(options: "CompleteCommand", job: Job, watch: Watch) -> None:
    done = bad = 0
    folder = options.out / "_run" / "tries"
    blocks = run_on_ray(
        options.where,
        lambda fleet: job.blocks(fleet.workers),
        job.make(),
        folder,
        device=options.device,
        threads=options.threads,
        most=job.open,
    )
    watch((), 0, job.open, "starting Ray")
    with closing(blocks):  # Ray ends before the manifest is assembled
        for _, result in blocks:
            done, bad = done + result.answered, bad + len(result.bad)
            outputs = [options.out / output for output in result.outputs]
            watch(outputs, done + bad, job.open, f"{bad:,} rejected" if bad else "")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Leave, and show nothing of what Ray has to say of actors that end with it."""
    sys.stdout = sys.stderr = io.StringIO()
    stop(number, frame)
