"""Ctrl-C and other signals to end: code that can save its work takes them as a request; other code undoes its work."""

import os
import signal
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TypeVar, final

T = TypeVar("T")
TO_END = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@final
class Stopped(KeyboardInterrupt):
    """A signal has come. Like Ctrl-C it passes through whatever catches errors, and all that was begun is undone."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def stoppable() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise Stopped, unless the caller of the command ignores them."""
    main = threading.current_thread() is threading.main_thread()
    ours = [number for number in TO_END if main and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@final
class StopSignal:
    """Remembers a signal, so that current work can be finished. A second signal takes effect at once."""

    def __init__(self, what: str = "what is in hand", *, quiet: bool = False) -> None:
        self.came, self.number, self._what, self._quiet = False, int(signal.SIGINT), what, quiet
        wanted = [number for number in TO_END if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores one
        self._before = {number: signal.signal(number, self._note) for number in wanted}

    def until(self, tasks: Iterable[T]) -> Iterator[T]:
        """The tasks, until the signal comes."""
        for task in tasks:
            if self.came:
                return
            yield task

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came, self.number = True, number
        _leave_terminal(number)
        if not self._quiet:
            print(f"\nStopping after {self._what}; again to leave at once.", file=sys.stderr)


def stop(number: int, frame: FrameType | None) -> None:
    """Raise Stopped at a signal, as Python raises KeyboardInterrupt at Ctrl-C."""
    _leave_terminal(number)
    raise Stopped(number)


def _leave_terminal(number: int) -> None:
    """Silence output to a terminal that is gone: its errors must not cost what is to be saved."""
    if number != getattr(signal, "SIGHUP", None):
        return
    for handle in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(handle).st_mode):
                os.dup2(os.open(os.devnull, os.O_WRONLY), handle)
