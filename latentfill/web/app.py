"""The application: routes, the page, the guard before them, and the engine behind."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .. import __version__
from ..errors import LatentfillError
from ..gan.gan import Gan
from ..options import ServeOptions
from . import assets, reference
from .engine.engine import Engine
from .errors import Refused, answer
from .guard import Guard
from .metrics import Metrics
from .routes import completing, decoding, edits, faces, health, models, sampling
from .state import State

OPENAPI = "/api/v1/openapi.json"
ROUTERS = (
    health.router,
    models.router,
    sampling.router,
    completing.router,
    decoding.router,
    faces.router,
    edits.router,
)


def create_app(
    options: ServeOptions,
    gans: Mapping[str, Gan],
    cards: Mapping[str, str] | None = None,
    engine: Engine | None = None,
) -> FastAPI:
    """The server of these models, the first of which is used where none is named."""
    metrics = Metrics()
    state = State(options, gans, metrics, engine or Engine(options, gans, metrics), cards or {})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state.engine.start()
        try:
            yield
        finally:  # the server has let all requests end before it comes here
            await state.engine.close()

    app = FastAPI(
        title="latentfill",
        version=__version__,
        summary="Complete pictures by searching the latent space of a GAN.",
        openapi_url=OPENAPI,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    for router in ROUTERS:
        app.include_router(router(state))
    page = assets.read()
    app.router.routes.extend(Route(path, _file(one), methods=["GET"]) for path, one in page.items())
    app.router.routes.append(Route(reference.PATH, _reference(app, options.root_path), methods=["GET"]))
    app.add_exception_handler(LatentfillError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(
        Guard,
        options=options,
        metrics=state.metrics,
        open_paths=frozenset({*page, "/healthz", reference.PATH, OPENAPI}),
    )
    app.state.state = state
    return app


def _file(one: assets.Asset) -> Any:
    async def show(request: Request) -> Response:
        return one.answer(request)

    return show


def _reference(app: FastAPI, root_path: str) -> Any:
    made: list[assets.Asset] = []

    async def show(request: Request) -> Response:
        if not made:
            made.append(assets.asset(reference.page(app.openapi(), root_path), ".html"))
        return made[0].answer(request)

    return show


async def _refused(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, LatentfillError):
        raise error
    return answer(error)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """What FastAPI finds wrong with JSON and parameters, in the form of all other errors."""
    first: Any = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": str(error)}
    where = ".".join(str(part)[:40] for part in first["loc"] if part != "body")
    return answer(Refused(422, f"{where or 'the request'}: {first['msg']}", "See /docs for what is taken."))


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    what = {404: "there is nothing here", 405: f"{request.method} is not answered here"}
    told = what.get(error.status_code, str(error.detail))
    return answer(Refused(error.status_code, told, "See /docs for what there is.", headers=error.headers))
