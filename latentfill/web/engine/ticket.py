"""What a request holds while it is answered: the device's thread writes there, the event loop reads."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass
from typing import final

from ...completion.completion import Completion
from ...errors import LatentfillError
from ...trust.judge import Trust
from .question import Question


@final
@dataclass(frozen=True, eq=False)
class Frame:
    """Where a search stands so many seconds after its first step. Others share the completion; some rows are meant."""

    completion: Completion
    rows: slice
    seconds: float

    @property
    def own(self) -> Completion:
        """Those rows alone."""
        return self.completion.select(self.rows)

    @property
    def seconds_left(self) -> float | None:
        """What the steps to come will take; None before the first."""
        number = self.completion.number
        return self.seconds / number * (self.completion.total - number) if number else None


@final
@dataclass(frozen=True, eq=False)
class Found:
    """What a search has found for one question, after so many seconds. Nothing, where no model was asked."""

    completion: Completion | None = None
    trust: Trust | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@final
class Ticket:
    """One question's place: in the queue, in a search, and at its answer. Made in the event loop that waits for it.

    Of the frames only the newest is kept: who reads slowly sees fewer of them, and holds nobody up. `watched` is
    whether anyone wants to see them.
    """

    def __init__(self, question: Question, *, watched: bool = False) -> None:
        self.question, self.watched = question, watched
        self.ahead, self.alone = 0, False
        self._left = False
        self._newest: Frame | None = None
        self._outcome: Found | LatentfillError | None = None
        self._loop = asyncio.get_running_loop()
        self._news, self._settled = asyncio.Event(), asyncio.Event()

    @property
    def rows(self) -> int:
        return self.question.rows

    @property
    def squares(self) -> int:
        """Of the photo that a model is asked about."""
        return len(self.question.cut.placements)

    @property
    def kind(self) -> Hashable:
        """What it shares with those that it may be searched with; None if it is to be alone."""
        return None if self.alone else self.question.kind

    @property
    def left(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._left

    def __enter__(self) -> "Ticket":
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Give up: its search stops at the next step, unless others share it."""
        self._left = True

    def show(self, frame: Frame) -> None:
        """A newer frame. Called by the device's thread."""
        if self.watched and not self._left:
            self._newest = frame
            self._tell(self._news.set)

    def settle(self, outcome: Found | LatentfillError) -> None:
        """The end, good or bad. Called by the device's thread."""
        self._outcome = outcome
        self._tell(self._settled.set)

    async def frames(self, per_second: float) -> AsyncIterator[Frame]:
        """The newest frame, as often as it is asked for and at most so many a second, until the end is there."""
        while not self._settled.is_set():
            await self._until(self._news)
            self._news.clear()
            frame, self._newest = self._newest, None
            if frame is None:
                continue
            begun = self._loop.time()
            yield frame
            # A frame that took long to draw and send is followed by a rest: those who stream must not take all.
            rest = max(begun + 1 / per_second, 2 * self._loop.time() - begun) - self._loop.time()
            await self._until(None, rest)

    async def found(self) -> Found:
        """What was found. Raises the LatentfillError of a search that failed."""
        await self._settled.wait()
        if isinstance(self._outcome, LatentfillError):
            raise self._outcome
        if self._outcome is None:
            raise RuntimeError("a ticket is settled without an outcome")
        return self._outcome

    async def _until(self, event: asyncio.Event | None, seconds: float | None = None) -> None:
        """Wait for the end, for an event or for some seconds, whatever is first."""
        waits = [asyncio.ensure_future(one.wait()) for one in (self._settled, event) if one is not None]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    def _tell(self, what: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:  # the loop has ended, and with it whoever waited
            self._left = True
