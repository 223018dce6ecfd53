"""Pictures of nobody: sums of latents, and walks between them."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, final

import torch
from annotated_types import Interval, Len
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...figures.samples import show
from ...gan.directions import walk
from ...gan.gan import Gan
from ...images.photos import Original, encode
from ...images.pixels import grid
from ...types import Latents, Pixels
from ..errors import Refused
from ..forms import aside, changed, parsed, wanted
from ..reference import answers, json_body
from ..state import State

Seed = Annotated[int, Interval(ge=0, le=2**31 - 1)]
Weight = Annotated[float, Interval(ge=-100, le=100)]
MOST = 32  # seeds of one sum, and of one walk


@final
@dataclass(frozen=True)
class Asked:
    """What to draw: `images` or a `walk`, one of them."""

    model: str | None = None
    """name of a model; default: the first of the server's"""
    images: list[Annotated[dict[Seed, Weight], Len(1, MOST)]] | None = None
    """each image is a sum of latents: the weight of each seed's, as {"7": 1} or {"7": 1, "8": -1, "9": 1}"""
    walk: Annotated[list[Seed], Len(2, MOST)] | None = None
    """seeds to walk through, from each to the next"""
    frames: Annotated[int, Interval(ge=2, le=1000)] = 12
    """of a walk: images from each seed to the next, both included"""
    columns: Annotated[int, Interval(ge=1, le=1000)] = 8
    """of the one picture that is answered if the client accepts image/png"""


def router(state: State) -> APIRouter:
    """`/api/v1/sample`."""
    routes = APIRouter(prefix="/api/v1", tags=["sample"])

    @routes.post("/sample", openapi_extra=json_body(Asked), responses=answers("application/json", "image/png"))
    async def sample(request: Request) -> Response:
        """Images of a model: sums of latents, or a walk from seed to seed. JSON with data URLs, or one PNG of all."""
        asked = changed("the request", Asked(), parsed("the request", _text(await request.body())))
        gan = state.gan(asked.model)
        z = latents(gan, asked, state.options.max_images)
        tiles = await state.engine.run(lambda: list(show(gan, z, gan.device)))
        if wanted(request, "application/json", "image/png") == "image/png":
            return Response(await aside(lambda: _png(grid(tiles, asked.columns))), media_type="image/png")
        urls = await aside(lambda: [data_url(_png(tile)) for tile in tiles])
        return JSONResponse({"images": urls})

    return routes


def latents(gan: Gan, asked: Asked, most: int) -> Latents:
    """The latents of the images that are asked for. Raises Refused (422) for none, for both kinds, and for too many."""
    if (asked.images is None) == (asked.walk is None):
        raise Refused(422, "images or walk is wanted, one of them", 'Send such as {"images": [{"7": 1}]}.')
    if asked.walk is not None:
        count = (len(asked.walk) - 1) * (asked.frames - 1) + 1
        _check(count, most)
        return _walk(gan, asked.walk, asked.frames)
    sums: Any = asked.images
    _check(len(sums), most)
    prior = gan.generator.prior
    rows = [torch.tensor(list(one.values())) @ prior.sample(list(one)) for one in sums]
    return prior.project(torch.stack(rows))


def data_url(picture: bytes, kind: str = "image/png") -> str:
    """A picture file as a page and JSON can hold it."""
    return f"data:{kind};base64,{b64encode(picture).decode()}"


def _walk(gan: Gan, seeds: Sequence[int], frames: int) -> Latents:
    prior = gan.generator.prior
    stops = prior.sample(seeds)
    legs = [walk(prior, stops[a : a + 1], stops[b : b + 1], frames)[:-1] for a, b in pairwise(range(len(stops)))]
    return torch.cat([*legs, stops[-1:]])


def _check(count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise Refused(422, f"{count:,} images: 1 to {most:,} are drawn at a time", "Ask for fewer, or several times.")


def _png(pixels: Pixels) -> bytes:
    return encode(Original(pixels))


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Refused(422, "the request is not text in UTF-8", "Send JSON.") from error
