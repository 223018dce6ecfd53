"""`align` on Ray: photos are distributed in blocks, and the caller keeps the records."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import final

from ..batch.align import Cropper, Share, Task
from ..batch.align_records import Row
from ..batch.workers import KilledTask
from ..options import EngineOptions
from .blocks import Block
from .driver import run_on_ray

IN_A_BLOCK = 32  # photos: seconds of work, which are lost if a worker dies


@final
class Aligner:
    """The work of an actor: cut photos out as the plain loop does."""

    def __init__(self, cropper: Cropper) -> None:
        self._cropper = cropper

    def __call__(self, items: Sequence[tuple[int, Task]]) -> list[tuple[int, Row | KilledTask]]:
        return [(number, self._cropper(task)) for number, task in items]

    def make_failure(self, item: tuple[int, Task], reason: str) -> tuple[int, Row | KilledTask]:
        return item[0], KilledTask(reason)

    def commit(self, name: str, made: list[tuple[int, Row | KilledTask]]) -> list[tuple[int, Row | KilledTask]]:
        return made


def share_on_ray(options: EngineOptions, notes: Path, *, most: int | None = None) -> Share:
    """A replacement of `batch.workers.run_in_pool` that uses Ray."""

    def share(
        cropper: Cropper, tasks: Iterable[Task], workers: int, preload: str = ""
    ) -> Iterator[tuple[Task, Row | KilledTask]]:
        todo = list(tasks)
        size = max(1, min(IN_A_BLOCK, len(todo) // max(1, 4 * workers)))
        blocks = [
            Block(f"{first:09}", tuple(enumerate(todo[first : first + size], first)))
            for first in range(0, len(todo), size)
        ]
        if not blocks:
            return
        back = run_on_ray(options, lambda fleet: blocks, partial(Aligner, cropper), notes, most=most)
        try:
            for _, made in back:
                for number, row in made:
                    yield todo[number], row
        finally:
            back.close()

    return share
