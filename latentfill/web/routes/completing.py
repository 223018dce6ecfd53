"""Completing a photo: at once, or step by step."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated

from annotated_types import Gt, Le
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ...errors import LatentfillError, is_out_of_memory
from ...images.originals import encode
from ..engine.line import Seat
from ..engine.question import Question
from ..engine.ticket import Found, Ticket
from ..errors import short_of_memory, told
from ..forms import Form, read_form, wanted
from ..state import State
from .asking import FIELDS, FILES, TEXTS, question_of
from .described import answers, form_body
from .leaving import Lines, unless_left
from .telling import done, filled, line, started, step

Frames = Annotated[float, Gt(0), Le(60)]
PNG, JSON, NDJSON = "image/png", "application/json", "application/x-ndjson"


def router(state: State) -> APIRouter:
    """`/api/v1/complete` and `/api/v1/complete/stream`."""
    routes = APIRouter(prefix="/api/v1", tags=["complete"])
    engine = state.engine

    async def answered(form: Form, tell: Callable[[Question, Found], bytes]) -> bytes:
        with engine.seat() as seat:
            question = await engine.read(partial(question_of, state, form, seat))
            with engine.ask(question, seat) as ticket:
                found = await ticket.found()
            return await engine.write(partial(tell, question, found))

    @routes.post("/complete", openapi_extra=form_body(FIELDS, ("photo",)), responses=answers(PNG, JSON))
    async def complete(request: Request) -> Response:
        """The photo with its hole filled: a PNG of its size, or with Accept: application/json all that was found."""
        form = await read_form(request, FILES, TEXTS)
        kind = wanted(request, PNG, JSON)
        answer = await unless_left(request, answered(form, _picture if kind == PNG else _told))
        return Response(answer, media_type=kind)

    @routes.post(
        "/complete/stream",
        openapi_extra=form_body({**FIELDS, "frames": Frames}, ("photo",)),
        responses=answers(NDJSON),
    )
    async def stream(request: Request) -> Response:
        """The same step by step, a JSON object a line: queued, started, step ..., done or error.

        Whoever leaves stops the search.
        """
        form = await read_form(request, FILES, (*TEXTS, "frames"))
        frames = form.number("frames", 12.0, Frames)
        seat = engine.seat()
        try:
            question = await unless_left(request, engine.read(partial(question_of, state, form, seat)))
            ticket = engine.ask(question, seat, watched=True)
        except BaseException:
            seat.line.free(seat)
            raise
        return Lines(_events(state, ticket, frames), partial(_end, ticket, seat))

    return routes


async def _events(state: State, ticket: Ticket, frames: float) -> AsyncIterator[bytes]:
    question, engine, begun = ticket.question, state.engine, False
    yield line("queued", ahead=ticket.ahead)
    try:
        async for frame in ticket.frames(frames):
            if not begun:
                begun = True
                yield line("started", **started(question, frame.completion.total))
            drawn = await engine.draw(partial(step, question, frame))
            state.metrics.frames.inc()
            yield line("step", **drawn)
        found = await ticket.found()
        if not begun:
            total = found.completion.total if found.completion is not None else 0
            yield line("started", **started(question, total))
        yield await engine.write(partial(_told, question, found))
    except LatentfillError as error:
        yield line("error", **told(error))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        yield line("error", **told(short_of_memory()))


def _picture(question: Question, found: Found) -> bytes:
    return encode(filled(question, found).candidates[0])


def _told(question: Question, found: Found) -> bytes:
    return line("done", **done(question, found))


def _end(ticket: Ticket, seat: Seat) -> None:
    ticket.leave()
    seat.line.free(seat)
