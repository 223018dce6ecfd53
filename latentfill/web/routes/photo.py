"""Clients that leave before they have their answer: what they asked for stops.

What the server sees in a file: the page shows that, as a browser may turn or refuse what the server does not.
"""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Annotated, Any, TypeVar, final

from annotated_types import Interval
from fastapi import APIRouter
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from ...images.hole_pictures import DrawnHole, interpret_alpha
from ...images.photos import READ, Original, encode
from ..errors import Refused
from ..forms import Form, hole_of, photo_of, read_form, validated
from ..queue import Seat
from ..reference import a_file, a_text, answers, form_body
from ..state import State
from .sample import data_url

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


Side = Annotated[int, Interval(ge=1, le=178_000_000)]
LARGE = 4_000_000  # pixels above which a photo is shown as a JPEG: it is only looked at
QUALITY = 92
JSON = "application/json"
FIELDS: dict[str, Any] = {
    "photo": a_file(f"a photo: {READ}"),
    "hole": a_file("instead, a picture of a hole, white where a pixel is to be found"),
    "size": a_text("JSON [width, height] of the photo that the hole is for"),
}


def router(state: State) -> APIRouter:
    """`/api/v1/decode`."""
    routes = APIRouter(prefix="/api/v1", tags=["complete"])

    async def decoded(form: Form) -> bytes:
        with state.engine.seat() as seat:
            return await state.engine.read(partial(decode, state, form, seat))

    @routes.post("/decode", openapi_extra=form_body(FIELDS), responses=answers(JSON))
    async def show(request: Request) -> Response:
        """A photo as it will be completed, upright, and what is transparent in it; or what a picture says as a hole.

        `image` is for the screen, `hole` a PNG, white where a pixel is to be found; either may be null. `soft` pixels
        are half in it, and widening it by `grow` pixels takes in those at its edge.
        """
        form = await read_form(request, ("photo", "hole"), ("size",))
        return Response(await unless_left(request, decoded(form)), media_type=JSON)

    return routes


def decode(state: State, form: Form, seat: Seat) -> bytes:
    """The answer to a form. Raises LatentfillError for what cannot be read, and for a hole of another size."""
    photo, hole = form.data("photo"), form.data("hole")
    if (photo is None) == (hole is None):
        raise Refused(422, "there is one file to decode", "Send a photo, or a hole.")
    weigh = partial(state.engine.weigh, seat)
    if photo is not None:
        return json.dumps(describe_photo(photo_of(photo, state.options, weigh=weigh))).encode()
    size = validated("size", tuple[Side, Side] | None, form.json("size", None))
    found = hole_of(hole or b"", state.options, size and size[::-1], weigh=weigh)
    return json.dumps(describe_hole(found)).encode()


def describe_photo(original: Original) -> dict[str, Any]:
    """A photo for the screen, and what is transparent in it as its hole."""
    alpha, image = original.photo().alpha, data_url(*_shown(original))
    hole = None if alpha is None else interpret_alpha(alpha)
    if hole is not None and hole.hole.any():
        return {"image": image, **_describe(hole)}
    height, width = original.values.shape[:2]
    return {"image": image, "size": [width, height], "hole": None, "notes": [], "soft": 0, "grow": 0}


def describe_hole(found: DrawnHole) -> dict[str, Any]:
    """What a picture says as a hole."""
    return {"image": None, **_describe(found)}


def _describe(found: DrawnHole) -> dict[str, Any]:
    height, width = found.hole.shape
    hole = data_url(encode(Original(found.hole[..., None])))
    told = {"notes": list(found.notes), "soft": found.soft, "grow": found.grow}
    return {"size": [width, height], "hole": hole, **told}


def _shown(original: Original) -> tuple[bytes, str]:
    """A file of 8 bits that every browser shows alike, with the colours that the profile gives, and its kind."""
    photo, channels = original.photo(), original.values.shape[2]
    values = photo.pixels[..., :channels] if channels == 1 else photo.pixels
    if photo.alpha is not None or values.shape[0] * values.shape[1] <= LARGE:
        return encode(Original(values, photo.alpha, original.icc)), "image/png"
    file = io.BytesIO()
    picture = Image.fromarray(values[..., 0] if channels == 1 else values)
    picture.save(file, "JPEG", quality=QUALITY, subsampling=0, icc_profile=original.icc)
    return file.getvalue(), "image/jpeg"
