"""What is told of a search: events as plain values, with pictures as data URLs.

From a form to a question: the fields that completing and editing have in common.

Completing a photo: at once, or step by step.
"""

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import AsyncIterator, Callable
from functools import partial
from hashlib import sha256
from math import inf, isfinite
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Gt, Le, Len
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ...batch.complete import BRIGHTER
from ...completion.complete import Completion
from ...completion.conditional import uses_completer
from ...completion.operators import KINDS as OBSERVED
from ...completion.operators import parse_operator as parse_sight
from ...completion.restarts import uses_encoder
from ...errors import HoleError, LatentfillError, is_out_of_memory
from ...faces.placement import Placement
from ...images.hole_pictures import DrawnHole
from ...images.holes import ALIASES
from ...images.holes import KINDS as HOLES
from ...images.incomplete import Incomplete
from ...images.photos import READ, Original, encode
from ...images.pixels import to_pixels
from ...options import COMPLETE_PRESETS, CompleteOptions, PhotoOptions, ServeOptions, refuse_removed
from ...photo.crops import blend
from ...pipeline import Filled, ask, draw_hole, put_back
from ...uncertainty.predict import Uncertainty
from ..errors import Refused, short_of_memory, told
from ..forms import TEXT_BYTES, Form, hole_of, photo_of, read_form, validated, wanted
from ..queue import Seat
from ..reference import a_file, a_text, answers, form_body
from ..state import State
from ..tasks import Found, Frame, Question, Ticket, check
from .photo import Lines, unless_left
from .sample import data_url

FLOAT = np.dtype("<f4")
DIGEST = 32  # bytes


def line(event: str, **told: Any) -> bytes:
    """One line of a stream."""
    return json.dumps({"event": event, **told}).encode() + b"\n"


def started(question: Question, total: int) -> dict[str, Any]:
    """What is known before the first step."""
    height, width = question.cut.hole.shape
    squares = [{"outline": outline(placement)} for placement in question.cut.placements]
    return {"size": [width, height], "total": total, "placements": squares, "notes": list(question.cut.notes)}


def step(question: Question, frame: Frame) -> dict[str, Any]:
    """Where a search stands, and the squares that it has drawn so far, side by side."""
    own = frame.own
    if question.incomplete is None:
        raise ValueError("there is no search of nothing")
    squares = to_pixels(blend(question.incomplete, own, question.options.blend))
    return {
        "number": own.number,
        "total": own.total,
        "loss": _finite(own.loss.mean().item()),
        "terms": {name: _finite(term.mean().item()) for name, term in own.terms.items()},
        "seconds_left": frame.seconds_left,
        "image": data_url(encode(Original(np.ascontiguousarray(np.concatenate(squares, 1))))),
    }


def filled(question: Question, found: Found) -> Filled:
    """The photo with each candidate in its hole."""
    candidates = found.completion.candidates if found.completion is not None else ()
    return put_back(question.cut, candidates, question.options, question.photo_options, found.trust)


def done(question: Question, found: Found) -> dict[str, Any]:
    """The end: every candidate at the photo's own resolution, and how far it may be trusted."""
    made, best = filled(question, found), found.completion
    losses = [candidate.loss.mean().item() for candidate in best.candidates] if best is not None else [0.0]
    pictures = [
        {"image": data_url(encode(original)), "loss": _finite(loss)}
        for original, loss in zip(made.candidates, losses, strict=True)
    ]
    spread = None if found.trust is None else _spread(question, found.trust)
    return {
        "candidates": pictures,
        "spread": None if spread is None else data_url(encode(spread)),
        "trust": None if found.trust is None else trusted(found.trust),
        "notes": [*made.notes, *found.notes],
        "seconds": round(found.seconds, 3),
        "state": None if best is None else state_of(question, best),
    }


def trusted(trust: Uncertainty) -> dict[str, Any]:
    """The numbers of the square that is least sure, and the words of all."""
    told = [trust.told(row) for row in range(len(trust.words))]
    worst = max(told, key=lambda one: inf if one["predicted"] is None else one["predicted"])
    if len(told) > 1:
        words = [f"square {i} of {len(told)}: {word}" for i, one in enumerate(told, 1) for word in one["words"]]
        worst = {**worst, "words": words}
    return {**worst, "unlike": any(one["unlike"] for one in told)}


def outline(placement: Placement) -> list[list[float]]:
    """The corners of a square in the photo, x and y."""
    side = float(placement.size)
    corners = np.array([[0.0, 0.0], [side, 0.0], [side, side], [0.0, side]])
    return [[round(float(v), 2) for v in point] for point in placement.to_photo(corners)]


def state_of(question: Question, completion: Completion) -> str | None:
    """The latents and images of the best candidate, for edits; None where there are none to be had."""
    asked = question.incomplete
    if asked is None or asked.observations or asked.lowres is not None or not (asked.known == 0).any():
        return None
    values = np.concatenate([part.float().cpu().flatten(1).numpy() for part in (completion.z, completion.images)], 1)
    data = b64encode(_digest(question, asked) + values.astype(FLOAT).tobytes()).decode()
    return data if len(data) <= TEXT_BYTES else None


def completion_of(question: Question, state: str) -> Completion:
    """The inverse of `state_of`. Raises Refused (422) for what cannot be one of this question's."""
    if question.incomplete is None or question.incomplete.observations or question.incomplete.lowres is not None:
        raise Refused(422, "edits need known pixels to keep and a hole to change", "Send a photo with a hole.")
    n, c, h, w = question.incomplete.images.shape
    prior = question.gan.generator.prior
    foreign = Refused(422, "state: not that of a completion of this photo", "Send what `done` has told, unchanged.")
    try:
        data = b64decode(state, validate=True)
        if data[:DIGEST] != _digest(question, question.incomplete):
            raise foreign
        values = np.frombuffer(data[DIGEST:], FLOAT)
    except (Base64Error, ValueError) as error:
        raise foreign from error
    if values.size != n * (prior.dim + c * h * w) or not np.isfinite(values).all():
        raise foreign
    rows = torch.from_numpy(values.astype(np.float32).reshape(n, -1)).to(question.gan.device)
    z = prior.project(rows[:, : prior.dim].clamp(-1e3, 1e3))
    images = rows[:, prior.dim :].reshape(n, c, h, w).clamp(-1, 1)
    drawn = uses_completer(question.gan, question.incomplete, question.options)
    return Completion(0, images, z, {}, z.new_zeros(n), torch.zeros(n, dtype=torch.long), conditional=drawn)


def _digest(question: Question, asked: Incomplete) -> bytes:
    """What a completion is of, by content: the model, and the known pixels of its squares."""
    digest = sha256(question.model.encode(errors="surrogateescape"))
    for values in (asked.images * asked.known, asked.known):
        digest.update(values.float().cpu().numpy().tobytes())
    return digest.digest()


def _spread(question: Question, trust: Uncertainty) -> Original | None:
    """How far answers differ at each pixel of the hole, grey: black is not at all, white 64 grey levels and more."""
    hole = question.cut.hole
    found = np.zeros(hole.shape, np.float32)
    if trust.spread is None:
        return None
    for placement, values in zip(question.cut.placements, trust.spread.nan_to_num(0.0).cpu().numpy(), strict=True):
        box = placement.box(*hole.shape)
        if 0 in box.shape:
            continue
        part = np.where(placement.covers(box), placement.back(values.transpose(1, 2, 0), box)[..., 0], 0)
        found[box.slices] = np.maximum(found[box.slices], part)
    grey = np.where(hole > 0, np.clip(BRIGHTER * found, 0, 255), 0).astype(np.uint8)
    return Original(grey[..., None])


def _finite(number: float) -> float | None:
    """JSON knows no other."""
    return number if isfinite(number) else None


FILES = ("photo", "hole")
DRAWN = [name for name in HOLES if name not in ("file", "folder")]  # what is read from no disk
LONGEST = 1000  # letters of a hole or an observation that is written down
MOST_FACES = 32
Point = tuple[float, float]
Landmarks = Annotated[list[tuple[Point, Point, Point]], Len(0, MOST_FACES)]
FIELDS: dict[str, Any] = {
    "photo": a_file(f"the picture: {READ}"),
    "hole": a_file("a picture of the same size, white where a pixel is to be found"),
    "hole_spec": a_text(f"instead, what is to be found in words: {'; '.join(HOLES[name] for name in DRAWN)}"),
    "model": a_text("name of a model; default: the first of the server's"),
    "preset": a_text("settings to start from", enum=list(COMPLETE_PRESETS), default="best"),
    "options": CompleteOptions,
    "photo_options": PhotoOptions,
    "observe": a_text(f"what the picture is an observation of, joined by +: {'; '.join(OBSERVED.values())}"),
    "landmarks": a_text("JSON [n][3][2]: x, y of three points of each face that cannot be found"),
}
TEXTS = tuple(name for name in FIELDS if name not in FILES)


def question_of(state: State, form: Form, seat: Seat) -> Question:
    """What a form asks. Decodes its pictures and looks for faces: no work for the event loop.

    Raises LatentfillError for whatever cannot be answered.
    """
    gan = state.gan(form.text("model", None))
    name = form.text("model", state.default)
    preset = form.text("preset", "best")
    refuse_removed({"preset": preset})
    if preset not in COMPLETE_PRESETS:
        raise Refused(422, f"there is no preset {preset[:80]!r}", f"It is one of: {', '.join(COMPLETE_PRESETS)}.")
    options = form.options("options", COMPLETE_PRESETS[preset])
    photo_options = form.options("photo_options", PhotoOptions())
    landmarks: Any = validated("landmarks", Landmarks, form.json("landmarks", []))
    observe = _short(form, "observe")
    sight = None if observe is None else parse_sight(observe)
    uses_encoder(gan, options)  # whether there is the encoder that is asked for
    data = form.data("photo")
    if data is None:
        raise Refused(422, "photo: it is missing", "Send a picture in the field 'photo'.")
    original = photo_of(data, state.options, weigh=partial(state.engine.weigh, seat))
    drawn = _hole(form, original, options.seed, state.options, observed=sight is not None or bool(photo_options.extend))
    if drawn.lowres and sight is not None:
        raise Refused(422, "a hole of lowres shows means of blocks itself", "Send observe lowres:8 alone.")
    most = state.options.max_pixels
    cut, incomplete = ask(original, drawn, gan, photo_options, landmarks, sight=sight, most=most)
    question = Question(name, gan, cut, incomplete, options, photo_options)
    check(question, state.options.max_steps)
    return question


def _hole(form: Form, original: Original, seed: int, options: ServeOptions, *, observed: bool) -> DrawnHole:
    painted, words = form.data("hole"), _short(form, "hole_spec")
    if painted is not None and words is not None:
        raise Refused(422, "hole and hole_spec: there is one hole", "Send one of them.")
    if painted is not None:
        return hole_of(painted, options, original.values.shape[:2])
    if words is None and not observed:
        raise Refused(422, "nothing is asked", "Send a hole, or say in observe what the photo is.")
    words = words or "full"
    head = words.split(":")[0]
    if ALIASES.get(head, head) not in DRAWN:  # anything else would be taken for the name of a file
        raise HoleError(f"hole_spec: {head[:80]!r} is no kind of hole", f"It is one of: {', '.join(DRAWN)}.")
    return draw_hole(words, original, seed)


def _short(form: Form, name: str) -> str | None:
    text = form.text(name, None)
    if text is not None and len(text) > LONGEST:
        raise Refused(422, f"{name}: more than {LONGEST} letters", "Write less.")
    return text


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
