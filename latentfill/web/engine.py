"""The engine: one thread owns the device, others read, cut and write pictures. Also the objects that routes receive."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from threading import Thread
from typing import Annotated, Any, TypeVar, final

import torch
from fastapi import Depends
from starlette.requests import Request

from ..batch.workers import cores
from ..completion.complete import watch
from ..device import choose_precision
from ..errors import LatentfillError, is_out_of_memory
from ..gan.fused import fuse
from ..gan.gan import Gan
from ..images.incomplete import Incomplete
from ..options import COMPLETE_PRESETS, ServeOptions
from ..pipeline import SearchResult
from .device_tasks import CompletionRequest, Job, SearchTask, resolve, search
from .errors import RequestError, out_of_memory
from .metrics import Metrics
from .scheduler import QueueSlot, RequestQueue, ScheduledWork, Scheduler

log = logging.getLogger("latentfill.web")
WARM_UP = replace(COMPLETE_PRESETS["best"], cold_steps=1, tune_steps=1)
T = TypeVar("T")


@final
class Engine:
    """Answers several requests at a time. Every method but `close` may be called from any event loop's thread."""

    def __init__(self, options: ServeOptions, gans: Mapping[str, Gan], metrics: Metrics) -> None:
        self._options, self._gans, self._metrics = options, gans, metrics
        self._queue = RequestQueue(options.queue, metrics)
        self._scheduler = Scheduler()
        self._prepared: dict[tuple[str, torch.dtype], Gan] = {}
        self._threads = torch.get_num_threads()
        self._device = Thread(target=self._compute, name="latentfill device", daemon=True)
        # Separate pools, so that requests do not delay answers, and neither is delayed by frames.
        self._readers, self._writers, self._drawers = (
            ThreadPoolExecutor(count, f"latentfill {name}")
            for name, count in (("reads", max(2, cores())), ("writes", max(2, cores())), ("draws", 1))
        )

    def start(self) -> None:
        """Begin to compute."""
        self._device.start()

    async def close(self) -> None:
        """Finish what runs and what waits, and stop."""
        self._queue.close()
        if self._device.ident is not None:
            await asyncio.to_thread(self._device.join)
        for pool in (self._readers, self._writers, self._drawers):
            pool.shutdown()

    def open_slot(self) -> QueueSlot:
        """Room in the queue, to be held with `with`. Raises RequestError: 429 if it is full, 503 at the end."""
        return self._queue.open_slot()

    def submit(self, request: CompletionRequest, slot: QueueSlot, *, watched: bool = False) -> SearchTask:
        """Let a request wait for its search; the task has its frames, if they are `watched`, and its result."""
        task = SearchTask(request, watched=watched)
        if request.placed.incomplete is None:
            resolve(task.future, SearchResult((request.placed,)))
        else:
            task.ahead = self._queue.join(task, slot)
        return task

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, computed where the device is owned. Raises RequestError as `open_slot` does."""
        (result,) = await self.run_all(lambda: (work() for _ in range(1)))
        return result

    async def run_all(self, work: Callable[[], Iterable[T]], slot: QueueSlot | None = None) -> list[T]:
        """All parts that an iterable computes, one at a step, so that others have theirs between them.

        Who has a slot already waits in that, and keeps it.
        """
        if slot is None:
            with self.open_slot() as own:
                return await self.run_all(work, own)
        job = Job(work)
        self._queue.join(job, slot)
        return await asyncio.wrap_future(job.future)

    async def read(self, work: Callable[[], T]) -> T:
        """The result of `work` that needs no device: photos decoded, faces found."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def write(self, work: Callable[[], T]) -> T:
        """The same for answers: what was found put back into photos, and files encoded."""
        return await asyncio.get_running_loop().run_in_executor(self._writers, work)

    async def draw(self, work: Callable[[], T]) -> T:
        """The same for frames, which are only viewed and may come late."""
        return await asyncio.get_running_loop().run_in_executor(self._drawers, work)

    def prepare_model(self, name: str, precision: str = "fp32") -> Gan:
        """A model made ready for searches, once. For the device's thread."""
        gan = self._gans[name]
        key = name, choose_precision(precision, gan.device)
        if key not in self._prepared:
            self._prepared[key] = fuse(gan, key[1])
        return self._prepared[key]

    def _compute(self) -> None:
        """The device's thread: begin with who waits if there is room, then compute one step of someone's work."""
        torch.set_num_threads(self._threads)
        self._warm_up()
        queue, scheduler = self._queue, self._scheduler
        while True:
            with queue.changed:
                while not queue and not scheduler and not queue.closed:
                    queue.changed.wait()
                if not queue and not scheduler:
                    return
            if queue and scheduler.has_room:
                self._begin(queue.take(self._options.batch, scheduler.kinds))
            scheduler.step()

    def _warm_up(self) -> None:
        """A short search by the first model: what torch does once is done before anyone waits for it."""
        name, gan = next(iter(self._gans.items()))
        side, channels = gan.network.size, gan.network.channels
        known = torch.ones(1, 1, side, side)
        known[..., side // 4 : -side // 4, side // 4 : -side // 4] = 0
        blank = Incomplete(torch.zeros(1, channels, side, side), known).to(gan.device)
        try:
            for _ in watch(self.prepare_model(name, WARM_UP.precision), blank, WARM_UP):
                pass
        except Exception:  # the next requests will report it
            log.exception("the first search failed")

    def _begin(self, taken: list[SearchTask | Job[Any]]) -> None:
        """Begin with those taken from the queue: the job that stood first, or one search for all."""
        tasks = [one for one in taken if isinstance(one, SearchTask)]
        for one in taken:
            if isinstance(one, Job):
                self._scheduler.add(ScheduledWork(one.run(), partial(resolve, one.future)))
        if not tasks:
            return
        request, count = tasks[0].request, len(tasks)
        prepare = partial(self.prepare_model, request.model, request.options.precision)
        steps = search(tasks, prepare, self._options.max_seconds, self._metrics)
        self._scheduler.add(
            ScheduledWork(steps, partial(self._fail, tasks), partial(self._queue.record_duration, count), tasks[0].kind)
        )

    def _fail(self, tasks: list[SearchTask], error: Exception) -> None:
        """Tell all of a search what a client caused; after an error that nobody expected, first try each alone."""
        if not isinstance(error, LatentfillError):
            log.error("a search of %d failed", len(tasks), exc_info=error)
            if len(tasks) > 1:
                for task in tasks:
                    task.alone = True
                self._queue.return_to_front(tasks)
                return
            unknown = RequestError(500, "the search failed", "The server's log says more; please report it.", "failed")
            error = out_of_memory() if is_out_of_memory(error) else unknown
        for task in tasks:
            resolve(task.future, error)


@final
@dataclass(frozen=True)
class State:
    """One process of the server. The first of `gans` is used where none is named; `cards` are Markdown."""

    options: ServeOptions
    gans: Mapping[str, Gan]
    metrics: Metrics
    engine: Engine
    cards: Mapping[str, str]

    @property
    def default(self) -> str:
        """The name of the first model."""
        return next(iter(self.gans))

    def gan(self, name: str | None) -> Gan:
        """A model by its name on the server's list, never by a path. Raises RequestError (404) for any other."""
        found = self.gans.get(self.default if name is None else name)
        if found is None:
            raise RequestError(404, f"there is no model {str(name)[:80]!r}", f"It is one of: {', '.join(self.gans)}.")
        return found


def _of_request(request: Request) -> State:
    state: State = request.app.state.state
    return state


ServerState = Annotated[State, Depends(_of_request)]
