"""Ctrl-C, taken as a wish."""

import signal
import sys
from types import FrameType
from typing import final


@final
class StopSignal:
    """Remembers Ctrl-C and SIGTERM, so that the batch at hand is finished before the run is saved."""

    def __init__(self, quiet: bool = False) -> None:
        self.came, self.quiet = False, quiet
        self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.came:  # the second time is meant
            raise KeyboardInterrupt
        self.came = True
        if not self.quiet:
            print("\nStopping after this batch; again to leave at once.", file=sys.stderr)
