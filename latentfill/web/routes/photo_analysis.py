"""A photo before it is completed: as the server sees it, which a browser may turn or refuse; its faces and objects."""

import io
import json
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Form
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from ...faces.detector import detect_faces
from ...images.hole_pictures import DrawnHole, interpret_alpha, to_hole
from ...images.photos import Original, encode
from ...images.segmentation import select_object
from ...photo.crop import alignment_of
from ...photo.locate import draw_feature, find_turned, place_upright
from ..disconnects import run_while_connected
from ..engine import ServerState, State
from ..errors import RequestError
from ..forms import MULTIPART, DecodeForm, FacesForm, FormRoute, SelectForm, read_hole, read_photo
from ..scheduler import QueueSlot
from ..serialization import data_url, outline, png_url
from .response_models import JSON, DecodedAnswer, FacesAnswer, SelectedAnswer, answers

LARGE = 4_000_000  # pixels above which a photo is shown as a JPEG, because it is only viewed
JPEG_QUALITY = 92
router = APIRouter(prefix="/api/v1", tags=["complete"], route_class=FormRoute)


@router.post("/decode", responses=answers(DecodedAnswer), response_class=Response)
async def decode(
    request: Request, form: Annotated[DecodeForm, Form(media_type=MULTIPART)], state: ServerState
) -> Response:
    """A photo as it will be completed, upright, and what is transparent in it; or what a picture says as a hole.

    `image` is for the screen, `hole` a PNG, white where a pixel is to be found; either may be null. `soft` pixels
    are half in it, and widening it by `grow` pixels takes in those at its edge.
    """
    return await _read(request, state, partial(decode_file, state, form))


@router.post("/faces", responses=answers(FacesAnswer), response_class=Response)
async def faces(
    request: Request, form: Annotated[FacesForm, Form(media_type=MULTIPART)], state: ServerState
) -> Response:
    """Where the faces are: the square of each that the model would be shown, the surest face first.

    In a photo without an upright face they may lie on their side. Doubtful ones are not among them.
    """
    return await _read(request, state, partial(find_faces, state, form))


@router.post("/select", responses=answers(SelectedAnswer), response_class=Response)
async def select(
    request: Request, form: Annotated[SelectForm, Form(media_type=MULTIPART)], state: ServerState
) -> Response:
    """The outline of the object that someone has roughly painted over, or drawn a box or a line around.

    Or a part of a face. `hole` is a PNG of the photo's size, white there.
    """
    return await _read(request, state, partial(find_object, state, form))


async def _read(request: Request, state: State, describe: Callable[[QueueSlot], dict[str, Any]]) -> Response:
    async def read() -> bytes:
        with state.engine.open_slot() as slot:
            return await state.engine.read(lambda: json.dumps(describe(slot)).encode())

    return Response(await run_while_connected(request, read()), media_type=JSON)


def decode_file(state: State, form: DecodeForm, slot: QueueSlot) -> dict[str, Any]:
    """The answer to a form. Raises LatentfillError for what cannot be read, and for a hole of another size."""
    if (form.photo is None) == (form.hole is None):
        raise RequestError(422, "one of photo and hole is needed", "Send a photo, or a hole.")
    if form.photo is not None:
        return describe_photo(read_photo(form.photo, state.options, weigh=slot.weigh))
    size = form.size and form.size[::-1]
    return {"image": None, **_describe_hole(read_hole(form.hole or b"", state.options, size, weigh=slot.weigh))}


def describe_photo(original: Original) -> dict[str, Any]:
    """A photo for the screen, and what is transparent in it as its hole."""
    alpha, image = original.photo().alpha, data_url(*_encode_for_screen(original))
    hole = None if alpha is None else interpret_alpha(alpha)
    if hole is not None and hole.hole.any():
        return {"image": image, **_describe_hole(hole)}
    height, width = original.values.shape[:2]
    return {"image": image, "size": [width, height], "hole": None, "notes": [], "soft": 0, "grow": 0}


def find_faces(state: State, form: FacesForm, slot: QueueSlot) -> dict[str, Any]:
    """The squares of all faces, and the size of the photo; no square for a model of something else."""
    gan = state.gan(form.model)
    pixels = read_photo(form.photo, state.options, weigh=slot.weigh).photo().opaque()
    alignment = alignment_of(gan)
    found = detect_faces(pixels, alignment.landmarks, upsample=0) if alignment is not None else []
    if alignment is not None and not found:
        found, _ = find_turned(pixels, np.zeros(pixels.shape[:2], np.uint8), alignment.landmarks)
    squares = [
        {"outline": outline(place_upright(face.points, gan.network.size, alignment)), "score": round(face.score, 3)}
        for face in found
        if alignment is not None
    ]
    return {"size": [pixels.shape[1], pixels.shape[0]], "faces": squares}


def find_object(state: State, form: SelectForm, slot: QueueSlot) -> dict[str, Any]:
    """The object under a stroke, or a part of a face.

    Raises LatentfillError for what cannot be read, and if there is no such object or face.
    """
    if (form.hole is None) == (form.part is None):
        raise RequestError(422, "one of hole and part is needed", "Send a hole, or a part of a face.")
    pixels = read_photo(form.photo, state.options, weigh=slot.weigh).photo().opaque()
    height, width = pixels.shape[:2]
    if form.part is not None:
        selected = to_hole(draw_feature(pixels, form.part, "photo", form.at))
    else:
        selected = select_object(pixels, read_hole(form.hole or b"", state.options, (height, width)).hole)
    return {"size": [width, height], "hole": png_url(selected[..., None])}


def _describe_hole(picture: DrawnHole) -> dict[str, Any]:
    height, width = picture.hole.shape
    hole = png_url(picture.hole[..., None])
    more = {"notes": list(picture.notes), "soft": picture.soft, "grow": picture.grow}
    return {"size": [width, height], "hole": hole, **more}


def _encode_for_screen(original: Original) -> tuple[bytes, str]:
    """A file of 8 bits that every browser shows alike, with the colours that the profile gives, and its kind."""
    photo, channels = original.photo(), original.values.shape[2]
    values = photo.pixels[..., :channels] if channels == 1 else photo.pixels
    if photo.alpha is not None or values.shape[0] * values.shape[1] <= LARGE:
        return encode(Original(values, photo.alpha, original.icc)), "image/png"
    file = io.BytesIO()
    picture = Image.fromarray(values[..., 0] if channels == 1 else values)
    picture.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0, icc_profile=original.icc)
    return file.getvalue(), "image/jpeg"
