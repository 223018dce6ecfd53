"""`evaluate` on Ray: the same batches as in one process, completed by actors and cached in the same files."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, final

from ..errors import LatentfillError
from ..evaluation.methods import Resources, choose
from ..evaluation.result_cache import ResultStore, TimedBatch, run_method, warm_up
from ..files.locks import lock_folder
from .blocks import Block
from .driver import run_on_ray

if TYPE_CHECKING:
    from ..evaluation.benchmark import Trial
    from ..options.commands import EvaluateCommand


@final
class Evaluator:
    """The work of an actor: it has the methods, and warms each up before the first batch that it times."""

    def __init__(self, load: Callable[[], Resources], names: Sequence[str]) -> None:
        self._methods, lacking = choose(names, load())
        for error in lacking.values():
            raise error
        self._warm: set[str] = set()

    def __call__(self, items: Sequence[tuple[str, Any, Any]]) -> list[TimedBatch]:
        return [self._complete(*item) for item in items]

    def make_failure(self, item: tuple[str, Any, Any], reason: str) -> TimedBatch:
        raise LatentfillError(
            f"{item[0]} cannot complete {len(item[1])} pictures: {reason}",
            "Leave the method out, or give a smaller --batch-size.",
        )

    def commit(self, name: str, made: list[TimedBatch]) -> TimedBatch:
        return made[0]

    def _complete(self, name: str, shown: Any, holes: Any) -> TimedBatch:
        if name not in self._warm:
            warm_up(self._methods[name], shown, holes)
            self._warm.add(name)
        return run_method(self._methods[name], shown, holes)


def complete(
    options: "EvaluateCommand", trial: "Trial", load: Callable[[], Resources]
) -> Iterator[tuple[int, int, str]]:
    """Do as `trial.complete` does, on Ray; `load` is pickled, and called in each actor.

    Times are those of an actor with its share of the threads.
    """
    lock = lock_folder(options.out)
    try:
        places: dict[str, tuple[ResultStore, list[int], str]] = {}
        blocks: list[Block] = []
        total = done = 0
        for hole, method, store in trial.stores():
            total += len(store)
            done += len(store)
            for rows in store.missing(trial.batch_size):
                name = f"{len(blocks):09}"
                blocks.append(Block(name, ((method, *store.inputs(rows)),)))
                places[name] = store, rows, f"{hole}: {method}"
                done -= len(rows)
        yield done, total, ""
        if not blocks:
            return
        make = partial(Evaluator, load, list(trial.methods))
        back = run_on_ray(
            options.where,
            lambda fleet: blocks,
            make,
            options.out / "_run" / "tries",
            device=options.device,
            threads=options.threads,
            most=len(blocks),
        )
        try:
            for name, made in back:
                store, rows, note = places[name]
                store.save(rows, made)
                done += len(rows)
                yield done, total, note
        finally:
            back.close()
    finally:
        lock.close()
