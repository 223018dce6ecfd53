"""Who computes next: those who have had little, so that a long search holds nobody up, and is not forgotten."""

import time
from collections.abc import Callable, Hashable
from typing import Protocol, final

YOUNG_SECONDS = 2.0  # of the device; what has had more counts as long
MOST_YOUNG, MOST = 3, 8  # searches side by side: few, so that others gather and go together; and all with the long ones
FOR_THE_OLDEST = 4  # every so many turns are for who has waited longest


class Task(Protocol):
    """Something that computes a little at each turn."""

    def step(self) -> bool:
        """Take one turn. Returns whether there is more to do."""


def _nothing(seconds: float) -> None:
    pass


@final
class Turn:
    """A task among others; whom to tell that it failed, and, with the seconds that it took, that it is done.

    Tasks of one `kind`, if it is not None, could have been done together.
    """

    def __init__(
        self,
        task: Task,
        failed: Callable[[Exception], None],
        done: Callable[[float], None] = _nothing,
        kind: Hashable = None,
    ) -> None:
        self.task, self.failed, self.done, self.kind = task, failed, done, kind
        self.seconds = 0.0  # of the device
        self.last = 0  # number of its last turn

    def take(self) -> bool:
        """One turn. Returns whether there is more to do."""
        begun = time.perf_counter()
        try:
            more = self.task.step()
        except Exception as error:
            self.failed(error)
            return False
        self.seconds += time.perf_counter() - begun
        if not more:
            self.done(self.seconds)
        return more


@final
class Turns:
    """The tasks that take turns. A thread of its own calls it."""

    def __init__(self) -> None:
        self._number = 0
        self._all: list[Turn] = []

    def __len__(self) -> int:
        return len(self._all)

    @property
    def has_room(self) -> bool:
        """Whether one more may begin."""
        return len(self._young) < MOST_YOUNG and len(self._all) < MOST

    @property
    def kinds(self) -> set[Hashable]:
        """Of the young ones: more of such had better wait, and go together."""
        return {one.kind for one in self._young} - {None}

    def add(self, one: Turn) -> None:
        """From now on it has its turns."""
        one.last = self._number
        self._all.append(one)

    def take(self) -> None:
        """One turn, if anyone is there: mostly of who has had least, and now and then of who has waited longest."""
        if not self._all:
            return
        self._number += 1
        oldest = self._number % FOR_THE_OLDEST == 0
        chosen = min(self._all, key=lambda one: one.last if oldest else one.seconds)
        chosen.last = self._number
        if not chosen.take():
            self._all.remove(chosen)

    @property
    def _young(self) -> list[Turn]:
        return [one for one in self._all if one.seconds < YOUNG_SECONDS]
