"""Who computes next: those who have had little, so that a long search holds nobody up, and is not forgotten.

The engine: one thread owns the device, others read, cut and write pictures.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import Protocol, TypeVar, final

import torch

from ..batch.workers import cores
from ..completion.complete import watch
from ..completion.search import prepare
from ..device import choose_precision
from ..errors import LatentfillError, is_out_of_memory
from ..gan.gan import Gan
from ..images.incomplete import Incomplete
from ..options import COMPLETE_PRESETS, ServeOptions
from .errors import Refused, short_of_memory
from .metrics import Metrics
from .queue import Line, Seat, Waiting
from .tasks import Found, Job, Question, Search, Ticket

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


log = logging.getLogger("latentfill.web")
WARM_UP = replace(COMPLETE_PRESETS["best"], cold_steps=1, tune_steps=1)
T = TypeVar("T")


@final
class Engine:
    """Answers questions, several at a time. Every method but `close` may be called from any event loop's thread."""

    def __init__(self, options: ServeOptions, gans: Mapping[str, Gan], metrics: Metrics) -> None:
        self._options, self._gans, self._metrics = options, gans, metrics
        self._line = Line(options.queue, metrics)
        self._turns = Turns()
        self._prepared: dict[tuple[str, torch.dtype], Gan] = {}
        self._threads = torch.get_num_threads()
        self._device = Thread(target=self._compute, name="latentfill device", daemon=True)
        # Of their own each, so that questions do not hold up answers, nor frames either of them.
        self._readers, self._writers, self._drawers = (
            ThreadPoolExecutor(count, f"latentfill {name}")
            for name, count in (("reads", max(2, cores())), ("writes", max(2, cores())), ("draws", 1))
        )

    def start(self) -> None:
        """Begin to compute."""
        self._device.start()

    async def close(self) -> None:
        """Finish what runs and what waits, and stop."""
        self._line.close()
        if self._device.ident is not None:
            await asyncio.to_thread(self._device.join)
        for pool in (self._readers, self._writers, self._drawers):
            pool.shutdown()

    def seat(self) -> Seat:
        """Room in the queue, to be held with `with`. Raises Refused: 429 if it is full, 503 at the end."""
        return self._line.seat()

    def weigh(self, seat: Seat, pixels: int) -> None:
        """Tell how large the photo is that waits there. Raises Refused (429) if there is no room for it."""
        self._line.weigh(seat, pixels)

    def ask(self, question: Question, seat: Seat, *, watched: bool = False) -> Ticket:
        """Put a question; the ticket has its frames, if they are `watched`, and what was found. Leave it at the end."""
        ticket = Ticket(question, watched=watched)
        if question.incomplete is None:
            ticket.settle(Found())
        else:
            ticket.ahead = self._line.join(ticket, seat)
        return ticket

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, computed where the device is owned. Raises Refused as `seat` does."""
        (answer,) = await self.run_all(lambda: iter([work()]))
        return answer

    async def run_all(self, work: Callable[[], Iterator[T]], seat: Seat | None = None) -> list[T]:
        """All that an iterator yields, each piece in a turn of its own, so that others have theirs between them.

        Who has a seat already waits on that, and keeps it.
        """
        if seat is None:
            with self.seat() as own:
                return await self.run_all(work, own)
        job = Job(work)
        self._line.join(job, seat)
        return await asyncio.wrap_future(job.answer)

    async def read(self, work: Callable[[], T]) -> T:
        """What `work` returns that needs no device: photos decoded, faces found."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def write(self, work: Callable[[], T]) -> T:
        """The same for answers: what was found put back into photos, and files encoded."""
        return await asyncio.get_running_loop().run_in_executor(self._writers, work)

    async def draw(self, work: Callable[[], T]) -> T:
        """The same for what is only to be looked at, and may come late."""
        return await asyncio.get_running_loop().run_in_executor(self._drawers, work)

    def prepared(self, name: str, precision: str = "fp32") -> Gan:
        """A model as a search wants it, made once. For the device's thread."""
        gan = self._gans[name]
        key = name, choose_precision(precision, gan.device)
        if key not in self._prepared:
            self._prepared[key] = prepare(gan, key[1])
        return self._prepared[key]

    def _compute(self) -> None:
        """The device's thread: begin with who waits if there is room, then give someone a turn."""
        torch.set_num_threads(self._threads)
        self._warm_up()
        while True:
            with self._line.changed:
                while not self._line and not self._turns and not self._line.closed:
                    self._line.changed.wait()
                if not self._line and not self._turns:
                    return
            if self._line and self._turns.has_room:
                self._begin(self._line.take(self._options.batch, self._turns.kinds))
            self._turns.take()

    def _warm_up(self) -> None:
        """A short search by the first model: what torch does once is done before anyone waits for it."""
        name, gan = next(iter(self._gans.items()))
        side, channels = gan.network.size, gan.network.channels
        known = torch.ones(1, 1, side, side)
        known[..., side // 4 : -side // 4, side // 4 : -side // 4] = 0
        blank = Incomplete(torch.zeros(1, channels, side, side), known).to(gan.device)
        try:
            for _ in watch(self.prepared(name, WARM_UP.precision), blank, WARM_UP):
                pass
        except Exception:  # whoever asks will be told
            log.exception("the first search failed")

    def _begin(self, taken: list[Waiting]) -> None:
        """A search of those who were taken from the line, or the work that stood first."""
        tickets = [one for one in taken if isinstance(one, Ticket)]
        for one in taken:
            if isinstance(one, Job):
                self._turns.add(Turn(one, one.fail))
        if not tickets:
            return
        question = tickets[0].question
        make = partial(self.prepared, question.model, question.options.precision)
        search = Search(tickets, make, self._options.max_seconds, self._metrics)
        done = partial(self._line.learn, len(tickets))
        self._turns.add(Turn(search, partial(self._failed, search), done, tickets[0].kind))

    def _failed(self, search: Search, error: Exception) -> None:
        """What the client caused is told to all; of what nobody expected each is first tried alone."""
        if isinstance(error, LatentfillError):
            search.fail(error)
            return
        log.error("a search of %d failed", len(search.tickets), exc_info=error)
        if len(search.tickets) == 1:
            unknown = Refused(500, "the search failed", "The server's log says more; please report it.", "failed")
            search.fail(short_of_memory() if is_out_of_memory(error) else unknown)
            return
        for ticket in search.tickets:
            ticket.alone = True
        self._line.return_to(search.tickets)
