"""What takes turns on the device: a search that answers several questions, and other work of the networks."""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from itertools import accumulate
from typing import Generic, TypeVar, final

from ...completion.completion import Completion, watch
from ...errors import LatentfillError
from ...gan.gan import Gan
from ...images.incomplete import Incomplete, concatenate
from ...trust.judge import judge
from ..metrics import Metrics
from .ticket import Found, Frame, Ticket

T = TypeVar("T")


@final
class Search:
    """One `watch` for several questions of one kind, each of which sees its own rows of it."""

    def __init__(
        self, tickets: Sequence[Ticket], prepare: Callable[[], Gan], max_seconds: float, metrics: Metrics
    ) -> None:
        self.tickets, self._prepare, self._max_seconds, self._metrics = list(tickets), prepare, max_seconds, metrics
        ends = list(accumulate(ticket.squares for ticket in tickets))
        self._rows = {one: slice(end - one.squares, end) for one, end in zip(tickets, ends, strict=True)}
        self._options = tickets[0].question.options
        self._posed: tuple[Gan, Incomplete] | None = None
        self._steps: Iterator[Completion] = iter(())
        self._last: Completion | None = None
        self._begun = self._first = time.monotonic()
        metrics.batches.observe(ends[-1])

    def step(self) -> bool:
        """One step of the search, or at its end the judgement. Those who have left are dropped."""
        self._drop()
        if not self.tickets:
            self._close()
            return False
        gan, incomplete = self._posed or self._pose()
        late = self._last is not None and time.monotonic() - self._begun > self._max_seconds
        completion = None if late else next(self._steps, None)
        if completion is None:
            self._close()
            self._finish(gan, incomplete, late=late)
            return False
        now = time.monotonic()
        self._first = now if self._last is None else self._first
        self._last = completion
        for ticket in self.tickets:
            ticket.show(Frame(completion, self._rows[ticket], now - self._first))
        return True

    def fail(self, error: LatentfillError) -> None:
        """Tell all who wait."""
        self._close()
        for ticket in self.tickets:
            ticket.settle(error)

    def _drop(self) -> None:
        gone = [ticket for ticket in self.tickets if ticket.left]
        self.tickets = [ticket for ticket in self.tickets if not ticket.left]
        self._metrics.cancelled.inc(len(gone))

    def _close(self) -> None:
        close = getattr(self._steps, "close", None)
        if close is not None:
            close()

    def _pose(self) -> tuple[Gan, Incomplete]:
        asked = [ticket.question.incomplete for ticket in self.tickets]
        self._posed = self._prepare(), concatenate([one for one in asked if one is not None])
        self._steps = watch(*self._posed, self._options)
        return self._posed

    def _finish(self, gan: Gan, incomplete: Incomplete, *, late: bool) -> None:
        last = self._last
        if last is None:
            raise ValueError("the search has not begun")
        trust = judge(gan, incomplete, last, self._options)
        seconds = time.monotonic() - self._begun
        notes = (f"stopped after {seconds:.0f} s, at step {last.number} of {last.total}",) if late else ()
        self._metrics.searches.observe(seconds)
        for ticket in self.tickets:
            rows = self._rows[ticket]
            ticket.settle(Found(last.select(rows), trust.select(rows), seconds, notes))


@final
class Job(Generic[T]):
    """Other work of the networks: what an iterator yields, one piece at each turn, is the answer."""

    kind: Hashable = None
    rows = 1
    alone = True

    def __init__(self, make: Callable[[], Iterator[T]]) -> None:
        self.answer: Future[list[T]] = Future()
        self._make, self._done = make, list[T]()
        self._pieces: Iterator[T] | None = None

    @property
    def left(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.answer.cancelled()

    def step(self) -> bool:
        """One piece more."""
        if self.left:
            self._close()
            return False
        try:
            self._pieces = self._pieces or self._make()
            self._done.append(next(self._pieces))
        except StopIteration:
            if self.answer.set_running_or_notify_cancel():
                self.answer.set_result(self._done)
            return False
        return True

    def fail(self, error: Exception) -> None:
        """Tell who waits."""
        self._close()
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)

    def _close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
