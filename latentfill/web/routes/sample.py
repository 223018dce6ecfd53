"""Pictures of nobody: sums of latents, and walks between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, final

import torch
from annotated_types import Interval, Len
from fastapi import APIRouter
from pydantic import ConfigDict, TypeAdapter, with_config
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...figures.samples import show
from ...gan.directions import walk
from ...gan.gan import Gan
from ...images.photos import Original, encode
from ...images.pixels import grid
from ...types import Latents
from ..engine import ServerState
from ..errors import RequestError
from ..forms import override, parse_json, preferred_type
from ..serialization import png_url
from .response_models import JSON, PNG, SampleAnswer, answers

Seed = Annotated[int, Interval(ge=0, le=2**31 - 1)]
Weight = Annotated[float, Interval(ge=-100, le=100)]
MOST = 32  # most seeds of one sum, and of one walk


@final
@with_config(ConfigDict(use_attribute_docstrings=True))
@dataclass(frozen=True)
class SampleRequest:
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


BODY = {"required": True, "content": {JSON: {"schema": TypeAdapter(SampleRequest).json_schema()}}}
router = APIRouter(prefix="/api/v1", tags=["sample"])


@router.post(
    "/sample",
    openapi_extra={"requestBody": BODY},
    responses=answers(SampleAnswer, PNG),
    response_class=Response,
)
async def sample(request: Request, state: ServerState) -> Response:
    """Images of a model: sums of latents, or a walk from seed to seed. JSON with data URLs, or one PNG of all."""
    wanted = override("the request", SampleRequest(), parse_json(await request.body(), "the request"))
    gan, engine = state.gan(wanted.model), state.engine
    z = latents(gan, wanted, state.options.max_images)
    tiles = await engine.run(lambda: list(show(gan, z, gan.device)))
    if preferred_type(request, JSON, PNG) == PNG:
        return Response(await engine.write(lambda: encode(Original(grid(tiles, wanted.columns)))), media_type=PNG)
    return JSONResponse({"images": await engine.write(lambda: [png_url(tile) for tile in tiles])})


def latents(gan: Gan, wanted: SampleRequest, most: int) -> Latents:
    """The latents [n, latent] of the images. Raises RequestError (422) for none, for both kinds, and for too many."""
    if (wanted.images is None) == (wanted.walk is None):
        raise RequestError(422, "one of images and walk is needed", 'Send such as {"images": [{"7": 1}]}.')
    if wanted.walk is not None:
        _check_count((len(wanted.walk) - 1) * (wanted.frames - 1) + 1, most)
        return _walk(gan, wanted.walk, wanted.frames)
    sums: Any = wanted.images
    _check_count(len(sums), most)
    prior = gan.generator.prior
    rows = [torch.tensor(list(one.values())) @ prior.sample(list(one)) for one in sums]
    return prior.project(torch.stack(rows))


def _walk(gan: Gan, seeds: Sequence[int], frames: int) -> Latents:
    prior = gan.generator.prior
    stops = prior.sample(seeds)
    legs = [walk(prior, stops[a : a + 1], stops[b : b + 1], frames)[:-1] for a, b in pairwise(range(len(stops)))]
    return torch.cat([*legs, stops[-1:]])


def _check_count(count: int, most: int) -> None:
    if not 1 <= count <= most:
        what = f"{count:,} images: 1 to {most:,} are drawn at a time"
        raise RequestError(422, what, "Ask for fewer, or several times.")
