"""Completing a photo: at once, or step by step."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from ...completion.operators import parse_operator
from ...completion.restarts import uses_encoder
from ...errors import HoleError, LatentfillError, is_out_of_memory
from ...images.hole_pictures import DrawnHole
from ...images.holes import ALIASES
from ...images.photos import Original, encode
from ...options import COMPLETE_PRESETS, PhotoOptions, ReadLimits, ServeOptions, refuse_removed
from ...photo.locate import draw_hole
from ...pipeline import Request as PhotoRequest
from ...pipeline import SearchResult, place
from ..device_tasks import CompletionRequest, SearchTask
from ..disconnects import JsonLines, json_line, run_while_connected
from ..engine import ServerState, State
from ..errors import RequestError, out_of_memory, to_json
from ..forms import (
    HOLES_IN_WORDS,
    MULTIPART,
    CompleteForm,
    FormRoute,
    StreamForm,
    override,
    preferred_type,
    read_hole,
    read_photo,
)
from ..scheduler import QueueSlot
from ..serialization import describe_found, describe_start, describe_step, fill
from .response_models import JSON, NDJSON, PNG, STREAM, CompletedAnswer, answers

router = APIRouter(prefix="/api/v1", tags=["complete"], route_class=FormRoute)


@router.post("/complete", responses=answers(CompletedAnswer, PNG), response_class=Response)
async def complete(
    request: Request, form: Annotated[CompleteForm, Form(media_type=MULTIPART)], state: ServerState
) -> Response:
    """The photo with its hole filled: a PNG of its size, or with Accept: application/json all that was found."""
    kind = preferred_type(request, PNG, JSON)
    answer = await run_while_connected(request, _complete(state, form, _write_png if kind == PNG else _write_json))
    return Response(answer, media_type=kind)


@router.post("/complete/stream", responses={200: {"content": {NDJSON: {"example": STREAM}}}}, response_class=Response)
async def stream(
    request: Request, form: Annotated[StreamForm, Form(media_type=MULTIPART)], state: ServerState
) -> Response:
    """The same step by step, a JSON object a line: queued, started, step ..., done or error.

    `done` has the fields that /api/v1/complete answers. If you close the connection, the search stops.
    """
    engine = state.engine
    slot = engine.open_slot()
    try:
        made = await run_while_connected(request, engine.read(partial(read_request, state, form, slot)))
        task = engine.submit(made, slot, watched=True)
    except BaseException:
        slot.close()
        raise

    def close() -> None:
        task.cancel()
        slot.close()

    return JsonLines(_events(state, task, form.frames), close)


def read_request(state: State, form: CompleteForm, slot: QueueSlot) -> CompletionRequest:
    """The request in a form. Decodes its pictures and finds faces, which is no work for the event loop. Raises
    LatentfillError for a request that cannot be answered.
    """
    gan = state.gan(form.model)
    refuse_removed({"preset": form.preset})
    if form.preset not in COMPLETE_PRESETS:
        what = f"there is no preset {form.preset[:80]!r}"
        raise RequestError(422, what, f"It is one of: {', '.join(COMPLETE_PRESETS)}.")
    options = override("options", COMPLETE_PRESETS[form.preset], form.options)
    photo_options = override("photo_options", PhotoOptions(), form.photo_options)
    operator = None if form.observe is None else parse_operator(form.observe)
    uses_encoder(gan, options)  # raises if a required encoder is missing
    original = read_photo(form.photo, state.options, weigh=slot.weigh)
    needed = operator is None and not photo_options.extend
    drawn = _draw_hole(form, original, options.seed, state.options, needed=needed)
    if drawn.lowres and operator is not None:
        raise RequestError(422, "hole_spec lowres and observe do not go together", "Send observe lowres:8 alone.")
    limits = ReadLimits(state.options.max_bytes, state.options.max_pixels)
    placed = place(PhotoRequest(original, drawn, operator, form.landmarks), gan, photo_options, limits)
    request = CompletionRequest(form.model or state.default, gan, placed, options, photo_options)
    request.check_cost(state.options.max_steps)
    return request


def _draw_hole(form: CompleteForm, original: Original, seed: int, options: ServeOptions, *, needed: bool) -> DrawnHole:
    if form.hole is not None and form.hole_spec is not None:
        raise RequestError(422, "hole and hole_spec: only one hole can be filled", "Send one of them.")
    if form.hole is not None:
        return read_hole(form.hole, options, original.values.shape[:2])
    if form.hole_spec is None and needed:
        raise RequestError(422, "hole: it is missing", "Send a hole, or say in observe what the photo is.")
    words = form.hole_spec or "full"
    kind = words.split(":")[0]
    if ALIASES.get(kind, kind) not in HOLES_IN_WORDS:  # anything else would be read as a file name
        what = f"hole_spec: {kind[:80]!r} is no kind of hole"
        raise HoleError(what, f"It is one of: {', '.join(HOLES_IN_WORDS)}.")
    return draw_hole(words, original, seed)


async def _complete(
    state: State, form: CompleteForm, write: Callable[[CompletionRequest, SearchResult], bytes]
) -> bytes:
    engine = state.engine
    with engine.open_slot() as slot:
        request = await engine.read(partial(read_request, state, form, slot))
        found = await engine.submit(request, slot).result()
        return await engine.write(partial(write, request, found))


async def _events(state: State, task: SearchTask, frames: float) -> AsyncIterator[bytes]:
    request, engine, started = task.request, state.engine, False
    yield json_line("queued", ahead=task.ahead)
    try:
        async for frame in task.frames(frames):
            if not started:
                started = True
                yield json_line("started", **describe_start(request, frame.completion.total))
            step = await engine.draw(partial(describe_step, request, frame))
            state.metrics.frames.inc()
            yield json_line("step", **step)
        found = await task.result()
        if not started:
            total = found.completion.total if found.completion is not None else 0
            yield json_line("started", **describe_start(request, total))
        yield await engine.write(partial(_write_json, request, found))
    except LatentfillError as error:
        yield json_line("error", **to_json(error))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        yield json_line("error", **to_json(out_of_memory()))


def _write_png(request: CompletionRequest, found: SearchResult) -> bytes:
    return encode(fill(request, found).candidates[0])


def _write_json(request: CompletionRequest, found: SearchResult) -> bytes:
    return json_line("done", **describe_found(request, found))
