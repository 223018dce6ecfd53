import asyncio
import time
from dataclasses import replace
from threading import Event

import pytest
import torch

from latentfill.completion.complete import complete, watch
from latentfill.errors import LatentfillError
from latentfill.options import CompleteOptions
from latentfill.uncertainty.predict import predict_error
from latentfill.web.engine import Engine
from latentfill.web.errors import RequestError

OPTIONS = CompleteOptions(steps=6, learning_rate=0.1, precision="fp32")
ENDLESS = replace(OPTIONS, steps=1000, seed=7)


async def complete_by(engine, request):
    with engine.open_slot() as slot:
        return await engine.submit(request, slot).result()


def batches(engine: Engine):
    """How many searches there were, and of how many squares in all."""
    (metric,) = engine._metrics.batches.collect()
    found = {one.name.rsplit("_", 1)[1]: one.value for one in metric.samples if "bucket" not in one.name}
    return found["count"], found["sum"]


@pytest.fixture
def slowly(monkeypatch):
    """Searches that take their time; `closed` says that one was stopped, `steps` how many there were."""

    class Told:
        closed, begun, steps = Event(), Event(), 0

    def slow(gan, incomplete, options):
        try:
            for completion in watch(gan, incomplete, options):
                told.begun.set()
                told.steps += 1
                yield completion
                time.sleep(0.002)
        except GeneratorExit:
            told.closed.set()
            raise

    told = Told()
    monkeypatch.setattr("latentfill.pipeline.watch", slow)
    return told


def test_those_of_one_kind_are_searched_together_and_each_has_its_own_answer(engine, held, request_of, gan):
    async def run():
        async with engine() as one:
            async with held(one):
                asked = [request_of(seed) for seed in range(5)]
                waiting = [asyncio.create_task(complete_by(one, each)) for each in asked]
                await asyncio.sleep(0.05)
            found = await asyncio.gather(*waiting)
            return asked, found, batches(one)

    asked, found, (count, squares) = asyncio.run(run())
    assert (count, squares) == (1, 5)
    for one, answer in zip(asked, found, strict=True):
        alone = complete(gan, one.placed.incomplete, OPTIONS)
        trust = predict_error(gan, one.placed.incomplete, alone, OPTIONS)
        for name in ("images", "z", "loss"):
            assert torch.allclose(getattr(answer.completion, name), getattr(alone, name), rtol=1e-4, atol=1e-4)
        assert torch.allclose(answer.trust.agreement, trust.agreement, rtol=1e-3) and answer.trust.words == trust.words
        assert len(answer.completion.images) == 1 and answer.completion.number == 6


def test_other_options_and_more_rows_than_fit_make_searches_of_their_own(engine, held, request_of):
    async def run():
        async with engine(batch=4) as one:
            async with held(one):
                kinds = [OPTIONS] * 3 + [replace(OPTIONS, seed=1)] + [replace(OPTIONS, attempts=3)] * 2
                waiting = [asyncio.create_task(complete_by(one, request_of(i, kind))) for i, kind in enumerate(kinds)]
                await asyncio.sleep(0.05)
            await asyncio.gather(*waiting)
            return batches(one)

    assert asyncio.run(run()) == (4, 6)  # 3 + 1 + 1 + 1: two of three attempts each are six rows


def test_a_search_that_nobody_waits_for_is_closed(engine, request_of, slowly):
    async def run():
        async with engine() as one:
            waiting = [asyncio.create_task(complete_by(one, request_of(0, ENDLESS))) for _ in range(2)]
            await asyncio.to_thread(slowly.begun.wait, 10)
            for task in waiting:
                task.cancel()
            closed = await asyncio.to_thread(slowly.closed.wait, 10)
            steps = slowly.steps
            await complete_by(one, request_of(1))  # the device is free again
            return closed, steps, one._metrics.cancelled.collect()[0].samples[0].value

    closed, steps, cancelled = asyncio.run(run())
    assert closed and steps < 500 and cancelled == 2


def test_one_of_a_batch_may_leave_and_the_others_have_their_answer(engine, held, request_of, slowly):
    async def run():
        async with engine() as one:
            async with held(one):
                waiting = [asyncio.create_task(complete_by(one, request_of(i))) for i in range(3)]
                await asyncio.sleep(0.05)
                waiting[1].cancel()
                await asyncio.sleep(0.01)
            found = await asyncio.gather(*waiting, return_exceptions=True)
            return found, batches(one)

    found, (count, squares) = asyncio.run(run())
    assert isinstance(found[1], asyncio.CancelledError) and not slowly.closed.is_set()
    assert (count, squares) == (1, 2)  # who left before it began was not even searched
    assert found[0].completion.number == found[2].completion.number == 6


def test_a_slow_reader_sees_the_newest_frames_and_holds_nobody_up(engine, request_of, slowly):
    async def run():
        async with engine() as one:
            with one.open_slot() as slot:
                task = one.submit(request_of(0, replace(OPTIONS, steps=200)), slot, watched=True)
                numbers, ran = [], []
                async for frame in task.frames(1000):
                    numbers.append(frame.completion.number)
                    while len(numbers) < 3 and slowly.steps < 25 * len(numbers):  # a line that takes nothing
                        await asyncio.sleep(0.001)
                    ran.append(slowly.steps)
                return numbers, ran, await task.result()

    numbers, ran, found = asyncio.run(run())
    assert found.completion.number == 200 and slowly.steps == 201
    # Not one by one (2 and 3), but near 25 and 50: a thread may be put aside between a step and its frame.
    assert numbers[1] > 12 and numbers[2] > 37 and ran[0] >= 25


def test_frames_come_at_most_so_often(engine, request_of, slowly):
    async def run():
        async with engine() as one:
            with one.open_slot() as slot:
                task = one.submit(request_of(0, replace(OPTIONS, steps=100)), slot, watched=True)
                return [time.monotonic() async for _ in task.frames(20)]

    times = asyncio.run(run())
    assert len(times) >= 2 and (times[-1] - times[0]) / (len(times) - 1) > 0.045


def test_a_short_request_does_not_wait_for_a_long_one(engine, request_of, slowly):
    async def run():
        async with engine() as one:
            long = asyncio.create_task(complete_by(one, request_of(0, ENDLESS)))
            await asyncio.to_thread(slowly.begun.wait, 10)
            found = [await complete_by(one, request_of(i)) for i in range(3)]
            running = not long.done()
            long.cancel()
            return found, running

    found, running = asyncio.run(run())
    assert running and all(one.completion.number == 6 for one in found)


def test_a_full_queue_refuses_and_says_when_to_come_again(engine, held, request_of):
    async def run():
        async with engine(queue=2) as one:
            async with held(one):
                waiting = [asyncio.create_task(complete_by(one, request_of(i))) for i in range(2)]
                await asyncio.sleep(0.05)
                with pytest.raises(RequestError) as refused:
                    one.open_slot()
                with pytest.raises(RequestError):
                    await one.run(lambda: 1)
            await asyncio.gather(*waiting)
            with one.open_slot():
                return refused.value

    error = asyncio.run(run())
    assert error.status == 429 and int(error.headers["Retry-After"]) >= 1 and "waiting" in error.what


def test_photos_that_are_too_large_together_are_refused(engine):
    async def run():
        async with engine() as one:
            with one.open_slot() as first, one.open_slot() as second:
                first.weigh(150_000_000)
                with pytest.raises(RequestError) as refused:
                    second.weigh(60_000_000)
            with one.open_slot() as third:
                third.weigh(150_000_000)
            return refused.value.status

    assert asyncio.run(run()) == 429


def test_a_photo_that_is_read_after_its_client_has_left_takes_no_room(engine):
    async def run():
        async with engine() as one:
            with one.open_slot() as left:
                pass
            for _ in range(2):  # a thread goes on with what it had begun
                with pytest.raises(RequestError, match="left"):
                    left.weigh(150_000_000)
            with one.open_slot() as other:
                other.weigh(150_000_000)

    asyncio.run(run())


def test_a_search_out_of_time_answers_with_what_it_has_and_says_so(engine, request_of, slowly):
    async def run():
        async with engine(max_seconds=0.1) as one:
            return await complete_by(one, request_of(0, ENDLESS))

    found = asyncio.run(run())
    assert found.completion.number < 1000 and slowly.closed.is_set()


def test_what_a_client_caused_is_told_to_it(engine, request_of, monkeypatch):
    def refuse(*_):
        raise LatentfillError("it cannot be", "Ask for something else.")

    monkeypatch.setattr("latentfill.pipeline.watch", refuse)

    async def run():
        async with engine() as one:
            await complete_by(one, request_of())

    with pytest.raises(LatentfillError, match="it cannot be"):
        asyncio.run(run())


def test_a_search_that_breaks_down_costs_its_neighbours_nothing(engine, held, request_of, monkeypatch, caplog):
    poison = request_of(3)

    def fragile(gan, incomplete, options):
        if any(torch.equal(one, poison.placed.incomplete.images[0]) for one in incomplete.images):
            raise RuntimeError("a bug")
        return watch(gan, incomplete, options)

    monkeypatch.setattr("latentfill.pipeline.watch", fragile)

    async def run():
        async with engine() as one:
            async with held(one):
                asked = [request_of(0), poison, request_of(1)]
                waiting = [asyncio.create_task(complete_by(one, each)) for each in asked]
                await asyncio.sleep(0.05)
            return await asyncio.gather(*waiting, return_exceptions=True)

    first, broken, last = asyncio.run(run())
    assert first.completion.number == last.completion.number == 6
    assert isinstance(broken, RequestError) and broken.status == 500 and "a bug" in caplog.text


def test_an_engine_that_closes_finishes_who_waits_and_lets_nobody_in(engine, held, request_of):
    async def run():
        async with engine() as one:
            async with held(one):
                waiting = [asyncio.create_task(complete_by(one, request_of(i))) for i in range(2)]
                await asyncio.sleep(0.05)
                closing = asyncio.create_task(one.close())
                await asyncio.sleep(0.05)
                with pytest.raises(RequestError) as refused:
                    one.open_slot()
            await closing
            return await asyncio.gather(*waiting), refused.value.status

    found, status = asyncio.run(run())
    assert [one.completion.number for one in found] == [6, 6] and status == 503


def test_work_in_pieces_has_a_turn_for_each_and_stops_when_nobody_waits(engine):
    closed = Event()

    def pieces(count):
        try:
            for number in range(count):
                yield number
                time.sleep(0.001)
        finally:
            closed.set()

    async def run():
        async with engine() as one:
            all_of_them = await one.run_all(lambda: pieces(4))
            closed.clear()
            running = asyncio.create_task(one.run_all(lambda: pieces(10**6)))
            await asyncio.sleep(0.1)
            running.cancel()
            return all_of_them, await asyncio.to_thread(closed.wait, 10)

    assert asyncio.run(run()) == ([0, 1, 2, 3], True)


def test_work_that_fails_tells_who_waits_and_the_device_goes_on(engine):
    async def run():
        async with engine() as one:
            with pytest.raises(ZeroDivisionError):
                await one.run(lambda: 1 / 0)
            return await one.run(lambda: 2)

    assert asyncio.run(run()) == 2


def test_a_photo_without_a_square_needs_no_device(engine, request_of):
    async def run():
        async with engine() as one:
            request = request_of()
            return await complete_by(one, replace(request, placed=replace(request.placed, incomplete=None)))

    assert asyncio.run(run()).completion is None


def test_those_who_come_while_one_of_their_kind_is_searched_gather_and_go_together(engine, request_of, slowly):
    async def run():
        async with engine() as one:
            waiting = [asyncio.create_task(complete_by(one, request_of(0, replace(OPTIONS, steps=40))))]
            await asyncio.to_thread(slowly.begun.wait, 10)
            for i in range(3):
                waiting.append(asyncio.create_task(complete_by(one, request_of(i, replace(OPTIONS, steps=40)))))
                await asyncio.sleep(0.02)
            other = await complete_by(one, request_of(0))  # of another kind: it need not wait
            before = batches(one)
            await asyncio.gather(*waiting)
            return other, before, batches(one)

    other, before, after = asyncio.run(run())
    assert other.completion.number == 6 and before == (2, 2) and after == (3, 5)
