import os
import signal
import subprocess
import sys
import time

import pytest

from latentfill.batch.workers import KilledTask, run_in_pool
from latentfill.errors import LatentfillError
from latentfill.signals import StopSignal

KILL = "__import__('os').kill(__import__('os').getpid(), 9)"  # `eval` is a function that every process can import
LEAVE = "__import__('os')._exit(3)"
REFUSE = "(_ for _ in ()).throw(__import__('latentfill.errors').errors.LatentfillError('no disk', 'Buy one.'))"


@pytest.mark.parametrize("workers", [1, 3])
def test_every_task_is_done_once(workers):
    tasks = [f"{i} ** 2" for i in range(20)]
    done = list(run_in_pool(eval, tasks, workers))
    assert sorted(done) == sorted((f"{i} ** 2", i**2) for i in range(20))


def test_a_killed_process_costs_its_task_alone_and_says_why():
    tasks = ["1", KILL, "2", LEAVE, "3", KILL, "4"]
    done = list(run_in_pool(eval, tasks, 2))
    assert sorted(value for _, value in done if isinstance(value, int)) == [1, 2, 3, 4]
    lost = sorted((task, value.reason) for task, value in done if isinstance(value, KilledTask))
    assert [task for task, _ in lost] == sorted([KILL, KILL, LEAVE])
    reasons = {task: reason for task, reason in lost}
    assert "SIGKILL" in reasons[KILL] and "memory" in reasons[KILL] and "ended with 3" in reasons[LEAVE]


def test_what_stops_all_work_is_raised_as_it_is_and_leaves_no_process():
    with pytest.raises(LatentfillError, match="no disk") as caught:
        list(run_in_pool(eval, ["1", REFUSE, *["__import__('time').sleep(0.01)"] * 50], 2))
    assert caught.value.cure == "Buy one."
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        list(run_in_pool(eval, ["1", "1 / 0"], 2))


def test_closing_ends_the_processes():
    work = run_in_pool(eval, ["__import__('os').getpid()"] * 5 + ["__import__('time').sleep(60)"] * 5, 2)
    pids = {next(work)[1] for _ in range(2)}
    work.close()
    for pid in pids:
        assert not alive(pid)
    assert os.getpid() not in pids


def alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_tasks_but_not_those_in_hand(workers, number, capsys):
    stop, taken = StopSignal(), []

    def tasks():
        for i in range(100):
            if i == 7:
                os.kill(os.getpid(), number)
                time.sleep(0.01)
            taken.append(str(i))
            yield str(i)

    try:
        done = [value for _, value in run_in_pool(eval, stop.until(tasks()), workers)]
    finally:
        stop.restore()
    assert sorted(done) == list(range(7)) and stop.came
    assert "again to leave at once" in capsys.readouterr().err


def test_the_second_signal_is_not_held_back():
    stop = StopSignal()
    try:
        with pytest.raises(KeyboardInterrupt):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
    finally:
        stop.restore()


PARENT = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
from latentfill.batch.workers import run_in_pool
from latentfill.signals import stoppable
tasks = ["__import__('time').sleep(0.2) or __import__('os').getpid()"] * 2
undone = "import time\\ntry:\\n while True: time.sleep(0.01)\\nfinally:\\n open(%r, 'w').close()" % sys.argv[1]
tasks += ["all(True for _ in iter(int, 1))", f"exec({undone!r})"]
with stoppable():
    for _, pid in run_in_pool(eval, tasks, 2):
        print(pid, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_the_parent_ends_its_workers_in_the_middle_of_a_task(number, tmp_path):
    words = [sys.executable, "-c", PARENT, str(tmp_path / "undone")]
    parent = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        pids = {int(parent.stdout.readline()) for _ in range(2)}
        time.sleep(0.3)  # they are at the long tasks now
        parent.send_signal(number)
        until = time.monotonic() + 8
        while any(map(alive, pids)) and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(map(alive, pids)) and parent.wait(8)
    finally:
        parent.kill()  # or its workers would be at their tasks for ever
    assert (tmp_path / "undone").exists(), "they undo what they are at"


def test_want_of_memory_comes_back_as_what_it_is():
    short = "(_ for _ in ()).throw(RuntimeError('DefaultCPUAllocator: can\\'t allocate memory'))"
    with pytest.raises(MemoryError, match="DefaultCPUAllocator"):
        list(run_in_pool(eval, [short], 2))
