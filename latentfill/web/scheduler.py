"""Choose which task computes next.

The queue is bounded and first come, first served; requests that can be searched together are batched. The scheduler
then prefers tasks that have had little device time, so that a long search neither delays others nor starves.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Container, Hashable, Iterator
from threading import Condition
from typing import Any, Protocol, final

from .errors import RequestError, client_gone, queue_full
from .metrics import Metrics

HELD_PIXELS = 200_000_000  # pixels of the photos of all requests: half a gigabyte, and as much again for their results
SECONDS_EACH = 0.5  # seconds assumed for a request before any was measured
LEARNING_RATE = 0.2  # weight of the latest request in the average
YOUNG_SECONDS = 2.0  # seconds of the device; tasks that have had more count as long
MOST_YOUNG, MOST = 3, 8  # tasks side by side: few young ones, so that others gather into batches; and in all
FOR_THE_OLDEST = 4  # one step of this many goes to the task that has waited longest


class Waiting(Protocol):
    """Work in the queue."""

    @property
    def kind(self) -> Hashable:
        """The key of requests that one search can answer together with it; None if it is alone."""

    @property
    def rows(self) -> int:
        """How many latents are searched for it."""

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for its result any more."""


@final
class QueueSlot:
    """The right to wait, which ends when the device begins, and to keep photos until the end of the `with`."""

    def __init__(self, queue: "RequestQueue", *, waits: bool = True) -> None:
        self._queue, self._waits, self._pixels = queue, waits, 0
        self._open = True

    def __enter__(self) -> "QueueSlot":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def weigh(self, pixels: int) -> None:
        """Note how large a photo is. Raises RequestError: 429 if those that are kept are too large already.

        A thread that reads for a client who has left meanwhile is refused, too (499): nobody would free its room.
        """
        queue = self._queue
        with queue.changed:
            if not self._open:
                raise client_gone()
            if queue.pixels and queue.pixels + pixels > HELD_PIXELS:
                raise queue.full()
            self._pixels += pixels
            queue.pixels += pixels

    def start(self) -> None:
        """End the wait, so that another may; more than once does no harm."""
        with self._queue.changed:
            if self._waits:
                self._waits = False
                self._queue.count(-1)

    def close(self) -> None:
        """Make room for another, and its photo."""
        with self._queue.changed:
            self.start()
            self._queue.pixels -= self._pixels
            self._pixels, self._open = 0, False


@final
class RequestQueue:
    """All requests that wait for the device. `changed` is its lock, and notifies the device's thread."""

    def __init__(self, most: int, metrics: Metrics) -> None:
        self.changed = Condition()
        self.closed = False
        self.slots = self.pixels = 0
        self._most, self._metrics = most, metrics
        self._seconds_each = SECONDS_EACH
        self._waiting: deque[tuple[Any, QueueSlot]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def open_slot(self) -> QueueSlot:
        """Room for one more. Raises RequestError if there is none (429), and says when to come again."""
        with self.changed:
            if self.closed:
                raise RequestError(503, "the server is about to stop", "Ask again later.", "stopping")
            if self.slots >= self._most:
                raise self.full()
            self.count(+1)
            return QueueSlot(self)

    def join(self, one: Waiting, slot: QueueSlot) -> int:
        """Stand at the end. Returns how many stand before it."""
        with self.changed:
            self._waiting.append((one, slot))
            self.changed.notify_all()
            return len(self._waiting) - 1

    def return_to_front(self, several: list[Any]) -> None:
        """Return taken requests to the front; they have no slot any more."""
        with self.changed:
            self._waiting.extendleft((one, QueueSlot(self, waits=False)) for one in reversed(several))

    def take(self, most: int, running: Container[Hashable] = ()) -> list[Any]:
        """The first request, and further ones of its kind up to a number of rows. Cancelled ones are dropped. None is
        taken of a kind that is `running`, so that more gather, unless they fill a batch.
        """
        with self.changed:
            taken: list[Waiting] = []
            staying: deque[tuple[Any, QueueSlot]] = deque()
            rows = 0
            gathered: Counter[Hashable] = Counter()
            for one, _ in self._waiting:
                gathered[one.kind] += one.rows
            for one, slot in self._waiting:
                if one.cancelled:
                    slot.start()
                    self._metrics.cancelled.inc()
                    continue
                if taken:
                    joins = one.kind is not None and one.kind == taken[0].kind and rows + one.rows <= most
                else:
                    joins = one.kind not in running or gathered[one.kind] >= most
                if joins:
                    taken.append(one)
                    rows += one.rows
                    slot.start()
                else:
                    staying.append((one, slot))
            self._waiting = staying
            return taken

    def record_duration(self, count: int, seconds: float) -> None:
        """Record how long the device was busy with a number of requests."""
        with self.changed:
            self._seconds_each += LEARNING_RATE * (seconds / count - self._seconds_each)

    def close(self) -> None:
        """Refuse further requests."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def count(self, more: int) -> None:
        """Add to the number of waiting requests; it may be negative."""
        self.slots += more
        self._metrics.waiting.set(self.slots)

    def full(self) -> RequestError:
        """The error for those whom it has no room for."""
        return queue_full(self.slots, self._seconds_each * self.slots)


@final
class ScheduledWork:
    """Work that has begun. `fail` is told its error, `done` how many seconds of the device it took.

    Works of one `kind`, if it is not None, could have been done together.
    """

    def __init__(
        self,
        steps: Iterator[None],
        fail: Callable[[Exception], None],
        done: Callable[[float], None] = lambda seconds: None,
        kind: Hashable = None,
    ) -> None:
        self.steps, self.fail, self.done, self.kind = steps, fail, done, kind
        self.seconds = 0.0  # seconds of the device
        self.last = 0  # the number of its last step

    def step(self) -> bool:
        """Compute one step. Returns whether there may be more."""
        start = time.perf_counter()
        try:
            next(self.steps)
        except StopIteration:
            self.done(self.seconds + time.perf_counter() - start)
            return False
        except Exception as error:
            self.fail(error)
            return False
        self.seconds += time.perf_counter() - start
        return True


@final
class Scheduler:
    """All work that has begun. One thread calls it."""

    def __init__(self) -> None:
        self._number = 0
        self._running: list[ScheduledWork] = []

    def __len__(self) -> int:
        return len(self._running)

    @property
    def has_room(self) -> bool:
        """Whether more may begin."""
        return len(self._young) < MOST_YOUNG and len(self._running) < MOST

    @property
    def kinds(self) -> set[Hashable]:
        """The kinds of the young: more of such had better wait, and go together."""
        return {one.kind for one in self._young} - {None}

    def add(self, one: ScheduledWork) -> None:
        """Begin with it."""
        one.last = self._number
        self._running.append(one)

    def step(self) -> None:
        """Compute one step, if there is work: mostly of who has had least, now and then of who has waited longest."""
        if not self._running:
            return
        self._number += 1
        oldest = self._number % FOR_THE_OLDEST == 0
        chosen = min(self._running, key=lambda one: one.last if oldest else one.seconds)
        chosen.last = self._number
        if not chosen.step():
            self._running.remove(chosen)

    @property
    def _young(self) -> list[ScheduledWork]:
        return [one for one in self._running if one.seconds < YOUNG_SECONDS]
