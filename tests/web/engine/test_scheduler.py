import pytest

from latentfill.web import scheduler as scheduling
from latentfill.web.scheduler import MOST, MOST_YOUNG, ScheduledWork, Scheduler


class Clock:
    """A clock that only tasks move."""

    now = 0.0

    def __call__(self):
        return self.now


class Work:
    def __init__(self, clock, count, seconds=0.1):
        self.clock, self.left, self.seconds, self.steps = clock, count, seconds, []

    def run(self):
        while self.left:
            self.clock.now += self.seconds
            self.left -= 1
            self.steps.append(self.clock.now)
            yield


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(scheduling.time, "perf_counter", clock)
    return clock


def add(scheduler, work, fail=lambda error: None, done=lambda seconds: None):
    scheduler.add(ScheduledWork(work.run(), fail, done))
    return work


def test_who_has_had_less_of_the_device_comes_first(clock):
    scheduler = Scheduler()
    long = add(scheduler, Work(clock, 1000))
    for _ in range(50):
        scheduler.step()
    short = add(scheduler, Work(clock, 9))
    begun = clock.now
    while short.left:
        scheduler.step()
    assert clock.now - begun <= 1.3 and len(long.steps) > 50  # nine of its own, one in four of the other's


def test_a_long_search_is_not_forgotten_however_many_short_ones_come(clock):
    scheduler = Scheduler()
    long = add(scheduler, Work(clock, 1000))
    for _ in range(100):
        scheduler.step()
    before = len(long.steps)
    for _ in range(100):
        if scheduler.has_room:
            add(scheduler, Work(clock, 3, 0.01))
        scheduler.step()
    assert len(long.steps) - before >= 10


def test_a_turn_of_a_large_batch_counts_for_what_it_takes(clock):
    scheduler = Scheduler()
    large, small = add(scheduler, Work(clock, 100, 1.6)), add(scheduler, Work(clock, 100, 0.1))
    for _ in range(60):
        scheduler.step()
    assert len(small.steps) > 2 * len(large.steps)


def test_a_few_run_side_by_side_and_long_ones_make_room(clock):
    scheduler = Scheduler()
    for _ in range(MOST_YOUNG):
        assert scheduler.has_room
        add(scheduler, Work(clock, 10**6))
    assert not scheduler.has_room
    while not scheduler.has_room:
        scheduler.step()
    assert len(scheduler) == MOST_YOUNG
    while len(scheduler) < MOST:
        add(scheduler, Work(clock, 10**6, 3.0))
        scheduler.step()
    for _ in range(500):
        scheduler.step()
    assert not scheduler.has_room


def test_what_fails_is_told_and_gone_and_what_ends_says_how_long_it_took(clock):
    failed, done = [], []

    class Broken:
        def run(self):
            yield
            raise RuntimeError("no")

    scheduler = Scheduler()
    add(scheduler, Broken(), fail=failed.append)
    add(scheduler, Work(clock, 3), done=done.append)
    while scheduler:
        scheduler.step()
    assert str(failed[0]) == "no" and done == [pytest.approx(0.3)]
    scheduler.step()
