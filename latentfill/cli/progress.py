"""A progress bar on stderr, and the computer in words, for reports."""

import platform
import sys
import time
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from rich.progress import Progress


def describe_machine() -> str:
    """The date, processor, threads and versions of a measurement, in a line."""
    import torch

    from ..version import __version__

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # some systems lack it
        lines = []
    processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return (
        f"{date.today()}, {processor or platform.processor() or platform.machine()}, {torch.get_num_threads()} "
        f"threads, torch {torch.__version__}, Python {platform.python_version()}, latentfill {__version__}"
    )


PLAIN_EVERY_SECONDS = 30.0


@final
class Bar:
    """One line that moves on a terminal; elsewhere, in a log file say, a plain line now and then."""

    def __init__(self, title: str, unit: str) -> None:
        self.title, self.unit = title, unit
        self._rich = _moving_line() if sys.stderr and sys.stderr.isatty() else None
        if self._rich:
            self._task = self._rich.add_task(title, total=None, rate="", note="")
        self._first: tuple[float, int] | None = None
        self._printed = 0.0

    def __enter__(self) -> "Bar":
        if self._rich:
            self._rich.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._rich:
            self._rich.stop()

    def update(self, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` are done."""
        now = time.monotonic()
        self._first = self._first or (now, done)
        seconds = now - self._first[0]
        rate = (done - self._first[1]) / seconds if seconds else 0.0
        speed = f"{rate:,.1f} {self.unit}/s" if rate else ""
        if self._rich:
            self._rich.update(self._task, completed=done, total=total, rate=speed, note=note)
        elif done >= total or now - self._printed >= PLAIN_EVERY_SECONDS:
            left = f", {(total - done) / rate / 60:.1f} min left" if rate else ""
            print(f"{self.title}: {done:,}/{total:,} {self.unit}  {speed}{left}  {note}".rstrip(), file=sys.stderr)
            self._printed = now


def _moving_line() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(None),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=Console(stderr=True), redirect_stdout=False)
