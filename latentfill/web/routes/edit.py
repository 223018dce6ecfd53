"""Ways to change what was found in a hole, while the known pixels stay: what a page makes sliders of."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval, Predicate
from fastapi import APIRouter
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from ...completion.complete import Completion
from ...faces.placement import Placement
from ...figures.samples import edit_images
from ...gan.gan import Gan
from ...images.photos import Original, encode
from ...options.completion import is_odd
from ...photo.crop import Cut
from ...pipeline import put_back
from ...types import Images
from ..errors import Refused
from ..forms import Form, read_form, validated
from ..reference import a_text, answers, form_body
from ..state import State
from ..tasks import Question
from .complete import FIELDS, FILES, TEXTS, completion_of, question_of
from .photo import unless_left
from .sample import data_url

Count = Annotated[int, Interval(ge=1, le=8)]
Frames = Annotated[int, Interval(ge=3, le=11), Predicate(is_odd)]
Side = Annotated[int, Interval(ge=64, le=2048)]
Pick = tuple[Annotated[int, Interval(ge=0, le=100)], Annotated[int, Interval(ge=0, le=10)]]
MOST_SQUARES = 4  # that are edited, each by itself
MOST_PIXELS = 100_000_000  # of all pictures of an answer
MORE: dict[str, Any] = {
    "state": a_text("what `done` has told of the completion"),
    "count": Count,
    "frames": Frames,
    "side": Side,
    "pick": a_text("JSON [edit, frame]: answer that one alone, as a PNG at the photo's own resolution"),
}
Ways = list[list[Completion]]  # of each edit its frames; the middle one is unchanged


def router(state: State) -> APIRouter:
    """`/api/v1/edits`."""
    routes = APIRouter(prefix="/api/v1", tags=["complete"])
    engine = state.engine

    async def answered(form: Form, count: int, frames: int, side: int, pick: Any) -> bytes:
        with engine.seat() as seat:
            question = await engine.read(partial(question_of, state, form, seat))
            completion = completion_of(question, form.text("state", ""))
            if pick is None:
                _check(question.cut, count * frames, side)
            gan = partial(engine.prepared, question.model)
            parts = await engine.run_all(lambda: _images(gan(), question, completion, count, frames // 2), seat)
            ways = [_frames(completion, row, images) for row, edits in enumerate(parts) for images in edits]
            if pick is not None:
                way, frame = _picked(pick, ways)
                return await engine.write(lambda: encode(_composed(question, question.cut, [ways[way][frame]])[0]))
            called = names([len(edits) for edits in parts])
            return await engine.write(lambda: _told(called, _pictures(question, ways, side)))

    @routes.post(
        "/edits",
        openapi_extra=form_body({**FIELDS, **MORE}, ("photo", "state")),
        responses=answers("application/json", "image/png"),
    )
    async def edits(request: Request) -> Response:
        """Pictures along the directions that change the hole most and the known pixels least.

        They are made smaller, so that the longer side has at most `side` pixels (768).
        """
        form = await read_form(request, FILES, (*TEXTS, *MORE))
        count, frames = form.number("count", 4, Count), form.number("frames", 7, Frames)
        side, pick = form.number("side", 768, Side), form.json("pick", None)
        answer = await unless_left(request, answered(form, count, frames, side, pick))
        return Response(answer, media_type="application/json" if pick is None else "image/png")

    return routes


def shrunk(cut: Cut, side: int) -> Cut:
    """The same cut of a photo whose longer side has at most so many pixels, as if it had been taken there."""
    times = _times(cut, side)
    if times == 1 or cut.observed is not None:
        return cut
    photo, channels = cut.original.photo(), cut.original.values.shape[2]
    layers = photo.pixels if photo.alpha is None else np.dstack([photo.pixels, photo.alpha])
    small = np.asarray(Image.fromarray(layers).reduce(times))  # what is transparent does not count
    alpha = None if photo.alpha is None else small[..., 3]
    rows, columns = small.shape[:2]
    height, width = cut.hole.shape
    blocks = np.pad(cut.hole, ((0, rows * times - height), (0, columns * times - width)))
    hole = blocks.reshape(rows, times, columns, times).max((1, 3))
    placements = []
    for one in cut.placements:
        across, down = ((a / times, b / times, c / times) for a, b, c in one.matrix)
        placements.append(Placement((across, down), one.size))
    return replace(cut, original=Original(small[..., :channels], alpha), hole=hole, placements=tuple(placements))


def names(counts: Sequence[int]) -> list[str]:
    """What edits are called, so many of each square; of one square alone, it need not be named."""
    return [
        f"square {square}, way {way}" if len(counts) > 1 else f"way {way}"
        for square, count in enumerate(counts, 1)
        for way in range(1, count + 1)
    ]


def _times(cut: Cut, side: int) -> int:
    longer: int = max(cut.hole.shape)
    return -(-longer // side)


def _check(cut: Cut, each: int, side: int) -> None:
    """Raise Refused for more pictures than may be held at once; `each` are those of one square."""
    if len(cut.placements) > MOST_SQUARES:
        raise Refused(422, f"more than {MOST_SQUARES} faces are touched", "Paint over fewer at a time.")
    pixels = len(cut.placements) * each * cut.hole.size // _times(cut, side) ** 2
    if pixels > MOST_PIXELS:
        what = f"{pixels:,} pixels in all pictures, more than the {MOST_PIXELS:,} that this server makes at once"
        raise Refused(422, what, "Ask for fewer frames or edits, or for a smaller side.")


def _images(gan: Gan, question: Question, completion: Completion, count: int, steps: int) -> Iterator[list[Images]]:
    """The images of each square along its edits, a square at a turn; none of one in which nothing is missing."""
    asked = question.incomplete
    if asked is None:
        return
    for row in range(len(asked)):
        one = asked.select([row])
        whole = bool((one.known == 1).all())
        yield [] if whole else edit_images(gan, one, completion.select(slice(row, row + 1)), count, steps)


def _frames(completion: Completion, row: int, images: Images) -> list[Completion]:
    """The completion with one square of it changed, for each image."""
    made = []
    for image in images:
        squares = completion.images.clone()
        squares[row] = image
        made.append(replace(completion, images=squares))
    return made


def _composed(question: Question, cut: Cut, frames: list[Completion]) -> tuple[Original, ...]:
    return put_back(cut, frames, question.options, question.photo_options).candidates


def _pictures(question: Question, ways: Ways, side: int) -> list[list[str]]:
    """Of each edit its frames, in the photo; what is in the middle of all is made once."""
    cut = shrunk(question.cut, side)
    urls = []
    middle = ""
    for frames in ways:
        at = len(frames) // 2
        others = frames if not middle else [*frames[:at], *frames[at + 1 :]]
        made = [data_url(encode(original)) for original in _composed(question, cut, others)]
        middle = middle or made[at]
        urls.append(made if len(made) == len(frames) else [*made[:at], middle, *made[at:]])
    return urls


def _told(called: Sequence[str], urls: Sequence[Sequence[str]]) -> bytes:
    """The answer; made in a thread, as it may have a hundred megabytes."""
    return json.dumps({"edits": [{"name": n, "images": u} for n, u in zip(called, urls, strict=True)]}).encode()


def _picked(pick: Any, ways: Ways) -> tuple[int, int]:
    way, frame = validated("pick", Pick, pick)
    if way >= len(ways) or frame >= len(ways[way]):
        raise Refused(422, f"pick: there is no frame {frame} of edit {way}", "Count both from 0.")
    return way, frame
