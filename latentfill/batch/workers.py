"""Work distributed over processes: a killed process costs one task, and Ctrl-C costs none."""

import _thread
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from types import FrameType
from typing import Any, Generic, TypeVar, final

from ..errors import LatentfillError, is_out_of_memory
from ..signals import TO_END

T = TypeVar("T")
R = TypeVar("R")
LEAVING_SECONDS = 1.0  # for a process to undo its unfinished task once the parent is gone
PATIENCE_SECONDS = 5.0  # for a process to end by itself before it is killed


@final
@dataclass(frozen=True)
class KilledTask:
    """The outcome of a task whose process was killed, by a lack of memory say."""

    reason: str


def run_in_pool(
    work: Callable[[T], R], tasks: Iterable[T], workers: int, preload: str = ""
) -> Iterator[tuple[T, R | KilledTask]]:
    """Every task with the result of `work`, as each is done; with one worker in this process, in their order.

    `work` and the tasks are pickled. When `tasks` ends early, running tasks are still finished. `preload` names a
    module that all processes share. Raises what `work` raises: LatentfillError as it is, MemoryError for whatever
    lacks memory, anything else as RuntimeError with its trace.
    """
    if workers == 1:
        for task in tasks:
            yield task, work(task)
        return
    crew: _Pool[T, R] = _Pool(work, preload)
    try:
        yield from crew.run(iter(tasks), workers)
    finally:
        crew.terminate()


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_alive(pid: int) -> bool:
    """True if a process of this machine has that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the process belongs to another user
        return True
    return True


@final
class _Pool(Generic[T, R]):
    """Processes, each at one task: the parent always knows which."""

    def __init__(self, work: Callable[[T], R], preload: str) -> None:
        clean = "forkserver" in get_all_start_methods()  # a plain fork copies locks that other threads hold
        self._context: Any = get_context("forkserver" if clean else "spawn")
        if clean and preload:
            self._context.set_forkserver_preload([preload])
        self._work = work
        self._all: dict[Connection, BaseProcess] = {}

    def run(self, tasks: Iterator[T], workers: int) -> Iterator[tuple[T, R | KilledTask]]:
        at: dict[Connection, T] = {}
        tasks_left = True
        while True:
            idle = [connection for connection in self._all if connection not in at]
            while tasks_left and (idle or len(self._all) < workers):
                try:
                    task = next(tasks)
                except StopIteration:
                    tasks_left = False
                    break
                connection = idle.pop() if idle else self._start()
                try:
                    connection.send(task)
                except OSError:  # it was killed while it was idle
                    self._remove_dead(connection)
                    connection = self._start()
                    connection.send(task)
                at[connection] = task
            if not at:
                return
            for connection in [c for c in wait(list(at)) if isinstance(c, Connection)]:
                task = at.pop(connection)
                try:
                    kind, value = connection.recv()
                except (EOFError, OSError):
                    yield task, KilledTask(self._remove_dead(connection))
                    continue
                if kind == "refused":
                    raise LatentfillError(*value)
                if kind == "short":
                    raise MemoryError(value)
                if kind == "broken":
                    raise RuntimeError(f"a worker process failed:\n{value}")
                yield task, value

    def terminate(self) -> None:
        """End all processes, whatever they are at. What they write is whole or not there: they may be killed."""
        for connection in self._all:
            connection.close()  # each worker notices, and ends
        until = time.monotonic() + PATIENCE_SECONDS
        for process in self._all.values():
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()

    def _start(self) -> Connection:
        here: Connection
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there, self._work), daemon=True)
        process.start()
        there.close()  # otherwise the end of the other side would never be noticed
        self._all[here] = process
        try:
            here.recv()
        except (EOFError, OSError) as error:
            reason = self._remove_dead(here)
            raise LatentfillError(f"a worker process could not begin ({reason})", "Try --workers 1.") from error
        return here

    def _remove_dead(self, connection: Connection) -> str:
        """Remove a process that has ended, and say how it did."""
        process = self._all.pop(connection)
        connection.close()
        process.join(PATIENCE_SECONDS)
        code = process.exitcode
        if code is None or code >= 0:
            return f"its process ended with {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"its process was killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")


def _serve(connection: Connection, work: Callable[[Any], Any]) -> None:
    """One process: a task comes, what is made of it goes back. The parent alone decides when to stop."""
    import traceback

    from setproctitle import setproctitle

    setproctitle("latentfill worker")
    inbox = _Inbox(connection)
    try:
        connection.send("ready")
        while True:
            task = inbox.next()
            try:
                answer = "done", work(task)
            except LatentfillError as error:
                answer = "refused", (error.what, error.cure)
            except Exception as error:
                short = is_out_of_memory(error)
                answer = ("short", str(error)) if short else ("broken", traceback.format_exc())
            connection.send(answer)
    except OSError:  # nobody is left to receive it
        return


@final
class _Inbox:
    """The tasks of a process. A thread takes them in, so that it is noticed amid a task that the parent is gone: it
    has closed the connection, or the system has, whatever ended it. Signals to end are the parent's to heed.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection, self._over = connection, False
        self._tasks: SimpleQueue[bytes] = SimpleQueue()
        for number in TO_END:
            signal.signal(number, self._on_signal)
        threading.Thread(target=self._listen, daemon=True).start()

    def next(self) -> Any:
        """The next task; waits for it. Raises SystemExit where there will be none."""
        task = self._tasks.get()
        if self._over:
            raise SystemExit
        return pickle.loads(task)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._over:
            raise SystemExit

    def _listen(self) -> None:
        try:
            while True:
                self._tasks.put(self._connection.recv_bytes())
        except (EOFError, OSError):
            self._over = True
        self._tasks.put(b"")  # the main thread may be waiting for a task,
        _thread.interrupt_main()  # or be working on one: the interrupt removes what it has half written
        time.sleep(LEAVING_SECONDS)
        os._exit(1)  # the main thread is in a call that no signal interrupts
