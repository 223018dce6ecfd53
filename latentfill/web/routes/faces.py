"""The faces of a photo, before anything is painted."""

from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter
from starlette.requests import Request

from ...faces.detector import find
from ...photo.crop import alignment_of
from ...photo.locate import find_turned, upright
from ..errors import Refused
from ..forms import Form, photo_of, read_form
from ..queue import Seat
from ..reference import a_file, a_text, answers, form_body
from ..state import State
from .complete import outline
from .photo import unless_left

FIELDS = {
    "photo": a_file("the picture"),
    "model": a_text("name of the model that would be shown the faces; default: the first of the server's"),
}


def router(state: State) -> APIRouter:
    """`/api/v1/faces`."""
    routes = APIRouter(prefix="/api/v1", tags=["complete"])

    async def looked(form: Form) -> dict[str, Any]:
        with state.engine.seat() as seat:
            return await state.engine.read(partial(faces_of, state, form, seat))

    @routes.post("/faces", openapi_extra=form_body(FIELDS, ("photo",)), responses=answers("application/json"))
    async def faces(request: Request) -> dict[str, Any]:
        """Where the faces are: the square of each that the model would be shown, the surest face first.

        In a photo without an upright face they may lie on their side. Doubtful ones are not among them.
        """
        form = await read_form(request, ("photo",), ("model",))
        return await unless_left(request, looked(form))

    return routes


def faces_of(state: State, form: Form, seat: Seat) -> dict[str, Any]:
    """The squares of all faces, and the size of the photo; no square for a model of something else."""
    gan, data = state.gan(form.text("model", None)), form.data("photo")
    if data is None:
        raise Refused(422, "photo: it is missing", "Send a picture in the field 'photo'.")
    pixels = photo_of(data, state.options, weigh=partial(state.engine.weigh, seat)).photo().opaque()
    alignment = alignment_of(gan)
    found = find(pixels, alignment.landmarks, upsample=0) if alignment is not None else []
    if alignment is not None and not found:
        found, _ = find_turned(pixels, np.zeros(pixels.shape[:2], np.uint8), alignment.landmarks)
    squares = [
        {"outline": outline(upright(face.points, gan.network.size, alignment)), "score": round(face.score, 3)}
        for face in found
        if alignment is not None
    ]
    return {"size": [pixels.shape[1], pixels.shape[0]], "faces": squares}
