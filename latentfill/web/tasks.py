"""What one request asks of a model, and how much that is.

What a request holds while it is answered: the device's thread writes there, the event loop reads.

What takes turns on the device: a search that answers several questions, and other work of the networks.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, TypeVar, final

from ..completion.complete import Completion, watch
from ..completion.restarts import uses_encoder
from ..errors import LatentfillError
from ..gan.gan import Gan
from ..images.incomplete import Incomplete, concatenate
from ..options import CompleteOptions, PhotoOptions
from ..photo.crop import Cut
from ..uncertainty.predict import Uncertainty, predict_error
from .metrics import Metrics

MOST_STARTS = 32  # latents to start from for each square
MOST_CANDIDATES = 8  # pictures of a photo's size that one answer may hold
MOST_ROWS = 128  # squares times starts: what one photo of a crowd may hold


@final
@dataclass(frozen=True, eq=False)
class Question:
    """A photo that was cut for a model. `incomplete` is what the model is asked; None if there is nothing to ask."""

    model: str
    gan: Gan
    cut: Cut
    incomplete: Incomplete | None
    options: CompleteOptions
    photo_options: PhotoOptions

    @property
    def rows(self) -> int:
        """How many latents are searched for it."""
        return len(self.incomplete) * self.options.starts if self.incomplete is not None else 0

    @property
    def kind(self) -> Hashable:
        """What questions have in common that one search can answer; None for one that gains nothing by company."""
        if self.incomplete is None:
            return None
        seen = tuple(one.operator.name for one in self.incomplete.observations)
        return self.model, self.options, self.incomplete.lowres is None, seen


def check(question: Question, max_steps: int) -> None:
    """Raise LatentfillError for a question that would keep the device for too long, or fill its memory."""
    options, size = question.options, question.gan.network.size
    needed = gradients(options, warm=uses_encoder(question.gan, options))
    if needed > max_steps:
        what = f"{needed:,} steps are more than the {max_steps:,} that this server makes for one picture"
        raise LatentfillError(what, "Ask for fewer.")
    for name, value, most in (
        ("attempts", options.starts, MOST_STARTS),
        ("candidates", options.candidates, MOST_CANDIDATES),
        ("window", options.window, 2 * size + 1),
    ):
        if value > most:
            raise LatentfillError(
                f"{name}: {value:,} are more than the {most} that this server allows", "Ask for less."
            )
    if question.rows > MOST_ROWS:
        what = f"{question.rows} searches are needed, more than the {MOST_ROWS} that this server makes at once"
        raise LatentfillError(what, "Ask for fewer attempts, or paint over fewer faces at a time.")


def gradients(options: CompleteOptions, *, warm: bool) -> int:
    """How often the networks are asked for a slope, for each latent."""
    steps = options.updates(warm=warm)
    if options.method == "hmc":
        steps *= options.hmc_leapfrog_steps
    return steps + options.tune_steps


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
    trust: Uncertainty | None = None
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
        trust = predict_error(gan, incomplete, last, self._options)
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
