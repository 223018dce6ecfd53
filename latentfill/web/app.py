"""The files of the page, read once when the server starts: what a client writes never becomes a path.

The application: routes, the page, the guard before them, and the engine behind.
"""

import gzip
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..errors import LatentfillError
from ..gan.gan import Gan
from ..options import ServeOptions
from ..version import __version__
from . import reference
from .errors import Refused, answer
from .metrics import Metrics
from .routes import complete as completing
from .routes import edit as edits
from .routes import faces, health, models
from .routes import photo as decoding
from .routes import sample as sampling
from .scheduler import Engine
from .security import Guard
from .state import State

FOLDER = Path(__file__).parent / "page"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
}
PACKED = (".css", ".html", ".js", ".json", ".svg", ".txt")


@final
@dataclass(frozen=True)
class Asset:
    """One file: its bytes, also compressed if that is worth while, what it is, and a digest that changes with it."""

    data: bytes
    packed: bytes | None
    media_type: str
    tag: str

    def answer(self, request: Request) -> Response:
        """The file, or that it is the one that the browser has."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if self.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self.packed, headers=headers, media_type=self.media_type)
        return Response(self.data, headers=headers, media_type=self.media_type)


def asset(data: bytes, suffix: str) -> Asset:
    """One file of the kind that its suffix says."""
    packed = gzip.compress(data, 9, mtime=0) if suffix in PACKED else None
    return Asset(data, packed, TYPES[suffix], f'"{hashlib.sha256(data).hexdigest()[:16]}"')


def read(folder: Path = FOLDER) -> dict[str, Asset]:
    """All files of the page by their addresses; `index.html` is `/`."""
    found = {
        f"/{path.relative_to(folder).as_posix()}": asset(path.read_bytes(), path.suffix)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in TYPES
    }
    if "/index.html" in found:
        found["/"] = found.pop("/index.html")
    return found


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
    page = read()
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


def _file(one: Asset) -> Any:
    async def show(request: Request) -> Response:
        return one.answer(request)

    return show


def _reference(app: FastAPI, root_path: str) -> Any:
    made: list[Asset] = []

    async def show(request: Request) -> Response:
        if not made:
            made.append(asset(reference.page(app.openapi(), root_path), ".html"))
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
