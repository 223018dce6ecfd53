"""Clients that leave before they have their answer: what they asked for stops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar, final

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from ..errors import Refused

T = TypeVar("T")
PATIENCE_SECONDS = 60.0  # for a client to take what it was sent


async def unless_left(request: Request, work: Awaitable[T]) -> T:
    """What `work` gives; if the client leaves before, the work is cancelled and Refused is raised.

    The request's body must have been read.
    """
    return await _first(work, request.receive)


@final
class Lines(StreamingResponse):
    """A stream of JSON, an object a line. `ended` is called in any case, whether it was sent, left or never begun."""

    media_type = "application/x-ndjson"

    def __init__(self, lines: AsyncIterator[bytes], ended: Callable[[], None]) -> None:
        super().__init__(lines, headers={"X-Accel-Buffering": "no"})  # a proxy is to pass on each line at once
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def patiently(message: Message) -> None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await send(message)

        try:
            await _first(self.stream_response(patiently), receive)
        except (Refused, TimeoutError, OSError):
            return  # nobody is there to be told
        finally:
            self._ended()


async def _first(work: Awaitable[T], receive: Receive) -> T:
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Refused(499, "the client has left", "Ask again.", "left")
    finally:
        for one in (working, leaving):
            one.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
