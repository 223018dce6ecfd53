"""Edits that change the filled hole, while the known pixels stay; a page can show them as sliders."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Form
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from ...completion.complete import Completion
from ...faces.placement import Placement
from ...figures.samples import edit_images
from ...gan.gan import Gan
from ...images.photos import Original, encode
from ...photo.crop import Cut
from ...photo.put_back import put_back
from ...types import Images
from ..device_tasks import CompletionRequest
from ..disconnects import run_while_connected
from ..engine import ServerState, State
from ..errors import RequestError
from ..forms import MULTIPART, EditsForm, FormRoute
from ..serialization import data_url, decode_state
from .complete import read_request
from .response_models import JSON, PNG, EditsAnswer, answers

MOST_SQUARES = 4  # most squares that are edited, each by itself
MOST_PIXELS = 100_000_000  # pixels of all pictures of an answer
Edit = list[Completion]  # its frames; the middle one is unchanged
router = APIRouter(prefix="/api/v1", tags=["complete"], route_class=FormRoute)


@router.post("/edits", responses=answers(EditsAnswer, PNG), response_class=Response)
async def edits(
    request: Request, form: Annotated[EditsForm, Form(media_type=MULTIPART)], state: ServerState
) -> Response:
    """Pictures along the directions that change the hole most and the known pixels least.

    They are made smaller, so that the longer side has at most `side` pixels.
    """
    answer = await run_while_connected(request, _edit(state, form))
    return Response(answer, media_type=JSON if form.pick is None else PNG)


def shrink(cut: Cut, side: int) -> Cut:
    """The same cut of a photo whose longer side is reduced to a number of pixels, as if the photo had that size."""
    times = _times(cut, side)
    if times == 1 or cut.observed is not None:
        return cut
    photo, channels = cut.original.photo(), cut.original.values.shape[2]
    layers = photo.pixels if photo.alpha is None else np.dstack([photo.pixels, photo.alpha])
    small = np.asarray(Image.fromarray(layers).reduce(times))  # transparent pixels do not count
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
    """Names of edits, a number for each square; a single square is not named."""
    return [
        f"square {square}, way {way}" if len(counts) > 1 else f"way {way}"
        for square, count in enumerate(counts, 1)
        for way in range(1, count + 1)
    ]


async def _edit(state: State, form: EditsForm) -> bytes:
    engine = state.engine
    with engine.open_slot() as slot:
        request = await engine.read(partial(read_request, state, form, slot))
        completion = decode_state(request, form.state)
        if form.pick is None:
            _check_size(request.placed.cut, form.count * form.frames, form.side)
        gan = partial(engine.prepare_model, request.model)
        steps = form.frames // 2
        parts = await engine.run_all(lambda: _images(gan(), request, completion, form.count, steps), slot)
        made = [_frames(completion, row, images) for row, edits in enumerate(parts) for images in edits]
        if form.pick is None:
            called = names([len(edits) for edits in parts])
            return await engine.write(lambda: _write_json(called, _draw(request, made, form.side)))
        edit, frame = form.pick
        if edit >= len(made) or frame >= len(made[edit]):
            raise RequestError(422, f"pick: there is no frame {frame} of edit {edit}", "Count both from 0.")
        return await engine.write(lambda: encode(_compose(request, request.placed.cut, [made[edit][frame]])[0]))


def _times(cut: Cut, side: int) -> int:
    longer: int = max(cut.hole.shape)
    return -(-longer // side)


def _check_size(cut: Cut, each: int, side: int) -> None:
    """Raise RequestError for more pictures than may be held at once; `each` are those of one square."""
    if len(cut.placements) > MOST_SQUARES:
        raise RequestError(422, f"more than {MOST_SQUARES} faces are touched", "Paint over fewer at a time.")
    pixels = len(cut.placements) * each * cut.hole.size // _times(cut, side) ** 2
    if pixels > MOST_PIXELS:
        what = f"{pixels:,} pixels in all pictures, more than the {MOST_PIXELS:,} that this server makes at once"
        raise RequestError(422, what, "Ask for fewer frames or edits, or for a smaller side.")


def _images(
    gan: Gan, request: CompletionRequest, completion: Completion, count: int, steps: int
) -> Iterator[list[Images]]:
    """The images of each square along its edits, a square at a step; none of one in which nothing is missing."""
    if request.placed.incomplete is None:
        return
    for row in range(len(request.placed.incomplete)):
        one = request.placed.incomplete.select([row])
        whole = bool((one.known == 1).all())
        yield [] if whole else edit_images(gan, one, completion.select(slice(row, row + 1)), count, steps)


def _frames(completion: Completion, row: int, images: Images) -> Edit:
    """The completion with one square of it changed, for each image."""
    made = []
    for image in images:
        squares = completion.images.clone()
        squares[row] = image
        made.append(replace(completion, images=squares))
    return made


def _compose(request: CompletionRequest, cut: Cut, frames: Edit) -> tuple[Original, ...]:
    return put_back(cut, frames, request.options, request.photo_options, request.gan).candidates


def _draw(request: CompletionRequest, edits: list[Edit], side: int) -> list[list[str]]:
    """The frames of each edit, in the photo, as data URLs; the middle of all, which is the same, is made once."""
    cut = shrink(request.placed.cut, side)
    urls: list[list[str]] = []
    for frames in edits:
        at = len(frames) // 2
        others = [*frames[:at], *frames[at + 1 :]] if urls else frames
        made = [data_url(encode(original)) for original in _compose(request, cut, others)]
        urls.append([*made[:at], urls[0][at], *made[at:]] if urls else made)
    return urls


def _write_json(called: Sequence[str], urls: Sequence[Sequence[str]]) -> bytes:
    """The answer; made in a thread, as it may have a hundred megabytes."""
    return json.dumps({"edits": [{"name": n, "images": u} for n, u in zip(called, urls, strict=True)]}).encode()
