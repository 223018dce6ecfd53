"""Blocks of work spread over the actors of Ray Data: each comes back done, whatever is killed in between."""

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
from .fleet import Fleet

TRIES = 3  # of a block as a whole; then one item at a time, to find out which of them kills its worker
PIECES = 4_096  # of Ray's own, at most: it keeps a list of them
NO_MEMORY = "there is not enough memory for it"
KILLED = "its worker was killed each time, perhaps for want of memory"
BACK = "answer"


class Work(Protocol):
    """What an actor does with the items of a block. It is made once, in the actor."""

    def __call__(self, items: Sequence[Any]) -> list[Any]: ...

    def failed(self, item: Any, reason: str) -> Any:
        """What is had of an item that cannot be done."""

    def commit(self, name: str, made: list[Any]) -> Any:
        """Keep what was made of a whole block, all at once. What it returns comes back."""


@final
@dataclass(frozen=True)
class Block:
    """Items that are done together, under a name of their own."""

    name: str
    items: tuple[Any, ...]


@final
@dataclass(frozen=True)
class _Home:
    """Where an actor works, with how many threads, and where it notes what it has begun."""

    folder: str
    threads: int
    notes: Path


def spread(make: Callable[[], Work], blocks: Sequence[Block], fleet: Fleet, notes: Path) -> Iterator[tuple[str, Any]]:
    """The name of every block and what its commit returned, as it is done.

    `make` and the items are pickled. `notes` is a folder that all machines see; it is emptied at the beginning and at
    the end. An actor that dies is started anew and does its block again; a block that kills it again and again is done
    one item at a time. Raises LatentfillError as an actor raises it, RuntimeError with the trace for what is no
    matter of one item.
    """
    import pyarrow
    import ray

    if not blocks:
        return
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir(parents=True)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    rows = pyarrow.table({"block": pyarrow.array([pickle.dumps(block) for block in blocks], pyarrow.large_binary())})
    dataset = ray.data.from_arrow(_cut(rows, min(len(blocks), max(PIECES, fleet.workers)))).map_batches(
        LatentfillWorker,
        fn_constructor_args=(pickle.dumps(make), _Home(os.getcwd(), fleet.threads, notes)),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=fleet.workers, max_tasks_in_flight_per_actor=2),
        num_cpus=fleet.cpus,
        num_gpus=fleet.gpus,
    )
    try:
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for packed in batch[BACK]:
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


def _cut(table: Any, pieces: int) -> list[Any]:
    """A table in so many tables of about equal length."""
    edges = [i * len(table) // pieces for i in range(pieces + 1)]
    return [table.slice(first, last - first) for first, last in pairwise(edges)]


@final
class LatentfillWorker:
    """An actor; its process is called after it. Whatever happens is a row that comes back: exceptions would end all."""

    def __init__(self, make: bytes, home: _Home) -> None:
        import torch

        self._notes, self._work = home.notes, None
        self._refusal: tuple[str, Any] | None = None
        with suppress(OSError):  # where the driver is, so that names of files mean the same
            os.chdir(home.folder)
        torch.set_num_threads(home.threads)
        try:
            self._work = pickle.loads(make)()
        except LatentfillError as error:
            self._refusal = ("refused", (error.what, error.cure))
        except Exception:
            self._refusal = ("broken", traceback.format_exc())

    def __call__(self, batch: Any) -> Any:
        import pyarrow

        back = [pickle.dumps(self._answer(pickle.loads(row.as_py()))) for row in batch["block"]]
        return pyarrow.table({BACK: pyarrow.array(back, pyarrow.large_binary())})

    def _answer(self, block: Block) -> tuple[str, str, Any]:
        if self._refusal is not None:
            return block.name, *self._refusal
        try:
            return block.name, "done", do(self._work, block, Diary(self._notes / f"{block.name}.tries"))
        except OSError as error:
            return block.name, "refused", _unwritable(error)
        except LatentfillError as error:
            full = is_full(error)
            return block.name, "refused", _unwritable(error.__cause__) if full else (error.what, error.cure)
        except Exception:
            return block.name, "broken", traceback.format_exc()


@final
class Diary:
    """What was begun of a block, a line each, so that whoever comes after a killed worker knows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = path.read_text().splitlines() if path.exists() else []

    @property
    def tries(self) -> int:
        """How often the whole block was begun."""
        return self._lines.count("all")

    @property
    def culprits(self) -> set[int]:
        """Items at which, alone, a worker was killed."""
        return {int(line) for line, after in pairwise([*self._lines, "one"]) if line.isdecimal() and after == "one"}

    def note(self, line: Hashable) -> None:
        with self._path.open("a") as file:
            file.write(f"{line}\n")

    def close(self) -> None:
        self._path.unlink(missing_ok=True)


def do(work: Any, block: Block, diary: Diary) -> Any:
    """A block, all at once; or one item at a time, where that has failed. An item that fails alone is told so."""
    alone = diary.tries >= TRIES
    made: list[Any] = []
    if not alone:
        diary.note("all")
        try:
            made = work(block.items)
        except Exception as error:
            if _is_everybodys(error):
                raise
            alone = True
    if alone:
        diary.note("one")
        killed = diary.culprits
        made = [
            work.failed(item, KILLED) if i in killed else _alone(work, item, i, diary)
            for i, item in enumerate(block.items)
        ]
    back = work.commit(block.name, made)
    diary.close()
    return back


def _alone(work: Any, item: Any, number: int, diary: Diary) -> Any:
    diary.note(number)
    try:
        made = work((item,))[0]
    except Exception as error:  # of a library, about this one
        if _is_everybodys(error):
            raise
        made = work.failed(item, NO_MEMORY if is_out_of_memory(error) else f"{type(error).__name__}: {error}")
    diary.note("done")
    return made


def _is_everybodys(error: Exception) -> bool:
    """Whether other items would meet it too: a disk without room, a library or a model that is not there."""
    return is_full(error) or isinstance(error, ExtraError | LatentfillError | ImportError)


def _unwritable(error: BaseException | None) -> tuple[str, str]:
    explained = explain(error, "a folder of the worker") if isinstance(error, OSError) else LatentfillError("", "")
    return explained.what, explained.cure
