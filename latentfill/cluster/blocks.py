"""Blocks of work distributed over actors of Ray Data: each is completed, even if actors are killed."""

import os
import pickle
import shutil
import traceback
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, final

from ..errors import ExtraError, LatentfillError, explain, is_full, is_out_of_memory
from .connection import Fleet

TRIES = 3  # tries of a block as a whole; then one item at a time, to find the item that kills its worker
MOST_PARTITIONS = 4_096  # at most so many of Ray's partitions, because it keeps a list of them
NO_MEMORY = "there is not enough memory for it"
KILLED = "its worker was killed each time, perhaps for want of memory"
RESULT = "answer"


class BlockWork(Protocol):
    """The work of an actor on the items of a block. It is made once, in the actor."""

    def __call__(self, items: Sequence[Any]) -> list[Any]: ...

    def make_failure(self, item: Any, reason: str) -> Any:
        """The result of an item that cannot be done."""

    def commit(self, name: str, made: list[Any]) -> Any:
        """Save the results of a whole block at once. The return value goes back to the caller."""


@final
@dataclass(frozen=True)
class Block:
    """Items that are done together, under a name of their own."""

    name: str
    items: tuple[Any, ...]


def run_blocks(
    make: Callable[[], BlockWork], blocks: Sequence[Block], fleet: Fleet, notes: Path
) -> Iterator[tuple[str, Any]]:
    """Process all blocks, and yield the name of each and the result of its commit, as each is done.

    `make` and the items are pickled. `notes` is a folder that all machines see; it is emptied at the beginning and at
    the end. An actor that dies is started anew and does its block again; a block that kills it again and again is done
    one item at a time. Raises LatentfillError as an actor raises it, RuntimeError with the trace for what is no
    matter of one item.
    """
    import ray

    if not blocks:
        return
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir(parents=True)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    dataset = ray.data.from_items(  # not from_arrow, which starts processes to inspect each part
        [{"block": pickle.dumps(block)} for block in blocks],
        override_num_blocks=min(len(blocks), max(MOST_PARTITIONS, fleet.workers)),
    ).map_batches(
        LatentfillWorker,
        fn_constructor_args=(pickle.dumps(make), os.getcwd(), fleet.threads, notes),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=fleet.workers, max_tasks_in_flight_per_actor=2),
        num_cpus=fleet.cpus,
        num_gpus=fleet.gpus,
    )
    try:
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for packed in batch[RESULT]:
                name, kind, value = pickle.loads(packed.as_py())
                if kind == "refused":
                    raise LatentfillError(*value)
                if kind == "broken":
                    raise RuntimeError(f"a worker failed:\n{value}")
                yield name, value
    except ray.exceptions.RayError as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise LatentfillError(f"the cluster gave up: {first}", "See `ray status`. The same command goes on.") from error
    finally:
        shutil.rmtree(notes, ignore_errors=True)


@final
class LatentfillWorker:
    """An actor; its process is named after it. Errors are rows that come back: exceptions would end all."""

    def __init__(self, make: bytes, folder: str, threads: int, notes: Path) -> None:
        import torch

        self._notes, self._work = notes, None
        self._refusal: tuple[str, Any] | None = None
        with suppress(OSError):  # the driver's working folder, so that file names mean the same
            os.chdir(folder)
        torch.set_num_threads(threads)
        try:
            self._work = pickle.loads(make)()
        except LatentfillError as error:
            self._refusal = ("refused", (error.what, error.cure))
        except Exception:
            self._refusal = ("broken", traceback.format_exc())

    def __call__(self, batch: Any) -> Any:
        import pyarrow

        back = [pickle.dumps(self._run(pickle.loads(row.as_py()))) for row in batch["block"]]
        return pyarrow.table({RESULT: pyarrow.array(back, pyarrow.large_binary())})

    def _run(self, block: Block) -> tuple[str, str, Any]:
        if self._refusal is not None:
            return block.name, *self._refusal
        try:
            return block.name, "done", run_block(self._work, block, AttemptLog(self._notes / f"{block.name}.tries"))
        except OSError as error:
            return block.name, "refused", _explain_unwritable(error)
        except LatentfillError as error:
            full = is_full(error)
            return block.name, "refused", _explain_unwritable(error.__cause__) if full else (error.what, error.cure)
        except Exception:
            return block.name, "broken", traceback.format_exc()


@final
class AttemptLog:
    """A log of the begun parts of a block, one a line, for the successor of a killed worker."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = path.read_text().splitlines() if path.exists() else []

    @property
    def tries(self) -> int:
        """The number of times that the whole block was begun."""
        return self._lines.count("all")

    @property
    def fatal_items(self) -> set[int]:
        """Items at which, alone, a worker was killed."""
        return {int(line) for line, after in pairwise([*self._lines, "one"]) if line.isdecimal() and after == "one"}

    def note(self, line: Hashable) -> None:
        with self._path.open("a") as file:
            file.write(f"{line}\n")

    def close(self) -> None:
        self._path.unlink(missing_ok=True)


def run_block(work: Any, block: Block, diary: AttemptLog) -> Any:
    """Do a block all at once or, where that has failed, one item at a time; an item that fails alone has a failure."""
    alone = diary.tries >= TRIES
    made: list[Any] = []
    if not alone:
        diary.note("all")
        try:
            made = work(block.items)
        except Exception as error:
            if _concerns_all(error):
                raise
            alone = True
    if alone:
        diary.note("one")
        killed = diary.fatal_items
        made = [
            work.make_failure(item, KILLED) if i in killed else _run_alone(work, item, i, diary)
            for i, item in enumerate(block.items)
        ]
    back = work.commit(block.name, made)
    diary.close()
    return back


def _run_alone(work: Any, item: Any, number: int, diary: AttemptLog) -> Any:
    diary.note(number)
    try:
        made = work((item,))[0]
    except Exception as error:  # any error of a library for this item
        if _concerns_all(error):
            raise
        made = work.make_failure(item, NO_MEMORY if is_out_of_memory(error) else f"{type(error).__name__}: {error}")
    diary.note("done")
    return made


def _concerns_all(error: Exception) -> bool:
    """Tell whether other items would meet it too: a full disk, a library or a model that is not there."""
    return is_full(error) or isinstance(error, ExtraError | LatentfillError | ImportError)


def _explain_unwritable(error: BaseException | None) -> tuple[str, str]:
    explained = explain(error, "a folder of the worker") if isinstance(error, OSError) else LatentfillError("", "")
    return explained.what, explained.cure
