"""An engine without batches: one thread, one question after the other."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, final

T = TypeVar("T")


@final
class Alone:
    """Stands in until there is a better one."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)

    def start(self) -> None:
        pass

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        self._thread.shutdown()
