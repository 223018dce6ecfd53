import pytest

from latentfill.web import scheduler as turns
from latentfill.web.scheduler import MOST, MOST_YOUNG, Turn, Turns


class Clock:
    """A clock that only tasks move."""

    now = 0.0

    def __call__(self):
        return self.now


class Work:
    def __init__(self, clock, steps, seconds=0.1):
        self.clock, self.left, self.seconds, self.turns = clock, steps, seconds, []

    def step(self):
        self.clock.now += self.seconds
        self.left -= 1
        self.turns.append(self.clock.now)
        return self.left > 0


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(turns.time, "perf_counter", clock)
    return clock


def added(all_of_them, work, **told):
    all_of_them.add(Turn(work, told.get("failed", lambda error: None), told.get("done", lambda seconds: None)))
    return work


def test_who_has_had_less_of_the_device_comes_first(clock):
    all_of_them = Turns()
    long = added(all_of_them, Work(clock, 1000))
    for _ in range(50):
        all_of_them.take()
    short = added(all_of_them, Work(clock, 9))
    begun = clock.now
    while short.left:
        all_of_them.take()
    assert clock.now - begun <= 1.3 and len(long.turns) > 50  # nine of its own, one in four of the other's


def test_a_long_search_is_not_forgotten_however_many_short_ones_come(clock):
    all_of_them = Turns()
    long = added(all_of_them, Work(clock, 1000))
    for _ in range(100):
        all_of_them.take()
    before = len(long.turns)
    for _ in range(100):
        if all_of_them.has_room:
            added(all_of_them, Work(clock, 3, 0.01))
        all_of_them.take()
    assert len(long.turns) - before >= 10


def test_a_turn_of_a_large_batch_counts_for_what_it_takes(clock):
    all_of_them = Turns()
    large, small = added(all_of_them, Work(clock, 100, 1.6)), added(all_of_them, Work(clock, 100, 0.1))
    for _ in range(60):
        all_of_them.take()
    assert len(small.turns) > 2 * len(large.turns)


def test_a_few_run_side_by_side_and_long_ones_make_room(clock):
    all_of_them = Turns()
    for _ in range(MOST_YOUNG):
        assert all_of_them.has_room
        added(all_of_them, Work(clock, 10**6))
    assert not all_of_them.has_room
    while not all_of_them.has_room:
        all_of_them.take()
    assert len(all_of_them) == MOST_YOUNG
    while len(all_of_them) < MOST:
        added(all_of_them, Work(clock, 10**6, 3.0))
        all_of_them.take()
    for _ in range(500):
        all_of_them.take()
    assert not all_of_them.has_room


def test_what_fails_is_told_and_gone_and_what_ends_says_how_long_it_took(clock):
    failed, done = [], []

    class Broken:
        def step(self):
            raise RuntimeError("no")

    all_of_them = Turns()
    added(all_of_them, Broken(), failed=failed.append)
    added(all_of_them, Work(clock, 3), done=done.append)
    while all_of_them:
        all_of_them.take()
    assert str(failed[0]) == "no" and done == [pytest.approx(0.3)]
    all_of_them.take()
