"""Work for the device: searches, each for several requests of one kind, and other work of the networks.

Both are iterators that compute a little at each step. The device's thread runs them, the event loop waits for results.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar, final

from .. import pipeline
from ..completion.complete import Completion
from ..completion.restarts import uses_encoder
from ..errors import LatentfillError
from ..gan.gan import Gan
from ..options import CompleteOptions, PhotoOptions
from ..pipeline import Placed, SearchResult, rows_of
from .metrics import Metrics

T = TypeVar("T")
MOST_STARTS = 32  # most starting latents for each square
MOST_CANDIDATES = 8  # most pictures of a photo's size in one answer
MOST_ROWS = 128  # squares times starts, for one photo of a crowd


@final
@dataclass(frozen=True, eq=False)
class CompletionRequest:
    """A photo, placed for a model, and how it is to be completed."""

    model: str
    gan: Gan
    placed: Placed
    options: CompleteOptions
    photo_options: PhotoOptions

    @property
    def rows(self) -> int:
        """How many latents are searched for it."""
        return len(self.placed.cut.placements) * self.options.starts

    @property
    def kind(self) -> Hashable:
        """The key of requests that one search can answer together; None if no search is needed."""
        incomplete = self.placed.incomplete
        if incomplete is None:
            return None
        operators = tuple(one.operator.name for one in incomplete.observations)
        return self.model, self.options, incomplete.lowres is None, operators

    def check_cost(self, max_steps: int) -> None:
        """Raise LatentfillError if it would keep the device for too long, or fill its memory."""
        options, size = self.options, self.gan.network.size
        needed = count_gradients(options, warm=uses_encoder(self.gan, options))
        if needed > max_steps:
            what = f"{needed:,} steps are more than the {max_steps:,} that this server makes for one picture"
            raise LatentfillError(what, "Ask for fewer.")
        for name, value, most in (
            ("attempts", options.starts, MOST_STARTS),
            ("candidates", options.candidates, MOST_CANDIDATES),
            ("window", options.window, 2 * size + 1),
        ):
            if value > most:
                what = f"{name}: {value:,} are more than the {most} that this server allows"
                raise LatentfillError(what, "Ask for less.")
        if self.rows > MOST_ROWS:
            what = f"{self.rows} searches are needed, more than the {MOST_ROWS} that this server makes at once"
            raise LatentfillError(what, "Ask for fewer attempts, or paint over fewer faces at a time.")


def count_gradients(options: CompleteOptions, *, warm: bool) -> int:
    """How often a search computes the gradient of each latent."""
    steps = options.updates(warm=warm)
    if options.method == "hmc":
        steps *= options.hmc_leapfrog_steps
    return steps + options.tune_steps


@final
@dataclass(frozen=True, eq=False)
class Frame:
    """A step of a search, with the seconds since its first; `rows` are those of one request."""

    completion: Completion
    rows: slice
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """How long the steps to come will take; None before the first."""
        number = self.completion.number
        return self.seconds / number * (self.completion.total - number) if number else None


@final
class SearchTask:
    """One request's place in the queue, in a search, and at its result. Made in the event loop that waits for it.

    Of the frames, kept if they are `watched`, only the newest is there: a slow reader sees fewer, and holds nobody up.
    """

    def __init__(self, request: CompletionRequest, *, watched: bool = False) -> None:
        self.request, self.watched = request, watched
        self.ahead, self.alone = 0, False
        self.future: Future[SearchResult] = Future()
        self._newest: Frame | None = None
        self._loop = asyncio.get_running_loop()
        self._news, self._ended = asyncio.Event(), asyncio.Event()
        self.future.add_done_callback(lambda _: self._notify(self._ended, self._news))

    @property
    def rows(self) -> int:
        """How many latents are searched for it."""
        return self.request.rows

    @property
    def kind(self) -> Hashable:
        """The key of requests that it may be searched with; None if it must be alone."""
        return None if self.alone else self.request.kind

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.cancelled()

    def cancel(self) -> None:
        """Give up: its search stops at the next step, unless others share it."""
        self.future.cancel()

    def publish(self, frame: Frame) -> None:
        """Take a newer frame. Called by the device's thread."""
        if self.watched and not self.cancelled:
            self._newest = frame
            self._notify(self._news)

    async def frames(self, per_second: float) -> AsyncIterator[Frame]:
        """The newest frame, when requested and at most at a given rate, until the search ends."""
        while True:
            await self._news.wait()
            if self._ended.is_set():
                return
            self._news.clear()
            if self._newest is None:
                continue
            frame, self._newest = self._newest, None
            start = self._loop.time()
            yield frame
            # After a frame that took long to draw and send there is a pause, so that streams do not take all the time.
            took = self._loop.time() - start
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), max(1 / per_second - took, took))

    async def result(self) -> SearchResult:
        """The result; a client that stops waiting leaves the search. Raises the LatentfillError of a failed search."""
        return await asyncio.wrap_future(self.future)

    def _notify(self, *events: asyncio.Event) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            for event in events:
                self._loop.call_soon_threadsafe(event.set)


def resolve(future: Future[T], outcome: T | Exception) -> None:
    """Give the result, or the error, to the waiting request."""
    if future.done() or not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def search(tasks: list[SearchTask], prepare: Callable[[], Gan], max_seconds: float, metrics: Metrics) -> Iterator[None]:
    """Search for several requests of one kind side by side, and resolve them; each sees its own rows of the search.

    Tasks that are left are taken from the list. Whoever runs it resolves those that remain after an error.
    """
    if not _drop_left(tasks, metrics):
        return
    batch = [task.request.placed for task in tasks]
    rows = dict(zip(tasks, rows_of(batch), strict=True))
    metrics.batches.observe(rows[tasks[-1]].stop)
    steps = pipeline.search(batch, prepare(), tasks[0].request.options, max_seconds)
    first = None
    while True:
        try:
            completion = next(steps).completion
        except StopIteration as end:
            found: SearchResult = end.value
            break
        now = time.monotonic()
        first = now if first is None else first
        for task in tasks:
            task.publish(Frame(completion, rows[task], now - first))
        yield
        if not _drop_left(tasks, metrics):
            return
    metrics.searches.observe(found.seconds)
    if found.completion is None or found.trust is None:
        raise RuntimeError("a search has found nothing")
    for task in tasks:
        own, trust = found.completion.select(rows[task]), found.trust.select(rows[task])
        resolve(task.future, SearchResult((task.request.placed,), own, trust, found.seconds))


@final
class Job(Generic[T]):
    """Other work of the networks: what an iterable gives, one part at each step, is the result."""

    kind: Hashable = None
    rows = 1

    def __init__(self, make: Callable[[], Iterable[T]]) -> None:
        self.future: Future[list[T]] = Future()
        self._make = make

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.cancelled()

    def run(self) -> Iterator[None]:
        """Compute one part at each step, until the end or until nobody waits any more."""
        parts: list[T] = []
        for part in self._make():
            parts.append(part)
            yield
            if self.cancelled:
                return
        resolve(self.future, parts)


def _drop_left(tasks: list[SearchTask], metrics: Metrics) -> bool:
    """Remove cancelled tasks from the list. Returns whether any remain."""
    staying = [task for task in tasks if not task.cancelled]
    metrics.cancelled.inc(len(tasks) - len(staying))
    tasks[:] = staying
    return bool(tasks)
