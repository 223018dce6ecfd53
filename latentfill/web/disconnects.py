"""Responses to clients that may disconnect early: their work then stops."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, final

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from .errors import RequestError, client_gone

T = TypeVar("T")
PATIENCE_SECONDS = 60.0  # for a client to receive its answer


def json_line(event: str, **fields: Any) -> bytes:
    """One line of a stream."""
    return json.dumps({"event": event, **fields}).encode() + b"\n"


async def run_while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`; if the client leaves before, it is cancelled, and RequestError (499) is raised.

    The request's body must have been read.
    """
    return await _run(work, request.receive)


@final
class JsonLines(StreamingResponse):
    """A stream of JSON objects, one a line. `close` is called in any case: sent, left, or never begun."""

    media_type = "application/x-ndjson"

    def __init__(self, lines: AsyncIterator[bytes], close: Callable[[], None]) -> None:
        super().__init__(lines, headers={"X-Accel-Buffering": "no"})  # so that a proxy passes on each line at once
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await send(message)

        try:
            await _run(self.stream_response(send_in_time), receive)
        except (RequestError, TimeoutError, OSError):
            return  # the client is gone
        finally:
            self._close()


async def _run(work: Awaitable[T], receive: Receive) -> T:
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise client_gone()
    finally:
        for one in (working, leaving):
            one.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
