"""The queue: bounded, first come first served, and those who can be searched together go together."""

from collections import Counter, deque
from collections.abc import Container, Hashable
from threading import Condition
from typing import Any, final

from .errors import Refused, busy
from .metrics import Metrics
from .tasks import Job, Ticket

HELD_PIXELS = 200_000_000  # of the photos of all requests: half a gigabyte, and as much again for what is made of them
SECONDS_EACH = 0.5  # that a request is taken to need, before there is experience
LEARNING = 0.2  # how much the last one counts in it

Waiting = Ticket | Job[Any]


@final
class Seat:
    """The right to wait, which ends when the device begins, and to keep a photo until the end of the `with`."""

    def __init__(self, line: "Line", *, waits: bool = True) -> None:
        self.line, self.waits, self.pixels = line, waits, 0
        self.kept = True  # until it is freed

    def __enter__(self) -> "Seat":
        return self

    def __exit__(self, *error: object) -> None:
        self.line.free(self)


@final
class Line:
    """Who waits for the device. `changed` is its lock, and tells the device's thread of news."""

    def __init__(self, most: int, metrics: Metrics) -> None:
        self.changed = Condition()
        self.closed = False
        self._most, self._metrics = most, metrics
        self._seats = self._pixels = 0
        self._seconds_each = SECONDS_EACH
        self._standing: deque[tuple[Waiting, Seat]] = deque()

    def __len__(self) -> int:
        return len(self._standing)

    def seat(self) -> Seat:
        """Room for one more. Raises Refused if there is none (429), and says when to come again."""
        with self.changed:
            if self.closed:
                raise Refused(503, "the server is about to stop", "Ask again later.", "stopping")
            if self._seats >= self._most:
                raise self._busy()
            self._count(+1)
            return Seat(self)

    def weigh(self, seat: Seat, pixels: int) -> None:
        """Note how large a photo is. Raises Refused: 429 if those that are kept are too large already.

        A thread that reads for a client who has left meanwhile is refused, too (499): nobody would free its room.
        """
        with self.changed:
            if not seat.kept:
                raise Refused(499, "the client has left", "Ask again.", "left")
            if self._pixels and self._pixels + pixels > HELD_PIXELS:
                raise self._busy()
            seat.pixels += pixels
            self._pixels += pixels

    def begin(self, seat: Seat) -> None:
        """Make room for another to wait; more than once does no harm."""
        with self.changed:
            if seat.waits:
                seat.waits = False
                self._count(-1)

    def free(self, seat: Seat) -> None:
        """Make room for another, and its photo."""
        with self.changed:
            self.begin(seat)
            self._pixels -= seat.pixels
            seat.pixels, seat.kept = 0, False

    def join(self, one: Waiting, seat: Seat) -> int:
        """Stand at the end. Returns how many stand before it."""
        with self.changed:
            self._standing.append((one, seat))
            self.changed.notify_all()
            return len(self._standing) - 1

    def return_to(self, tickets: list[Ticket]) -> None:
        """Put tickets at the front again; whoever asked has no seat to lose any more."""
        with self.changed:
            for ticket in reversed(tickets):
                self._standing.appendleft((ticket, Seat(self, waits=False)))

    def take(self, most: int, running: Container[Hashable] = ()) -> list[Waiting]:
        """The first, and all of its kind as far as their rows are at most so many. Those who have left are dropped.

        Of a kind that is `running` nobody is taken, so that more gather, unless they are as many as may go together.
        """
        with self.changed:
            taken: list[Waiting] = []
            staying: deque[tuple[Waiting, Seat]] = deque()
            rows = 0
            gathered: Counter[Hashable] = Counter()
            for one, _ in self._standing:
                gathered[one.kind] += one.rows
            for one, seat in self._standing:
                if one.left:
                    self.begin(seat)
                    self._metrics.cancelled.inc()
                    continue
                if taken:
                    joins = one.kind is not None and one.kind == taken[0].kind and rows + one.rows <= most
                else:
                    joins = one.kind not in running or gathered[one.kind] >= most
                if joins:
                    taken.append(one)
                    rows += one.rows
                    self.begin(seat)
                else:
                    staying.append((one, seat))
            self._standing = staying
            return taken

    def learn(self, count: int, seconds: float) -> None:
        """For how long the device was busy with the last so many."""
        with self.changed:
            self._seconds_each += LEARNING * (seconds / count - self._seconds_each)

    def close(self) -> None:
        """Let nobody in any more."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def _count(self, more: int) -> None:
        self._seats += more
        self._metrics.waiting.set(self._seats)

    def _busy(self) -> Refused:
        return busy(self._seats, self._seconds_each * self._seats)
