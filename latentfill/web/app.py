"""The application: the routes of the API, the page, the guard before them, and the engine behind.

The page's files are read once, when the server starts, so a client's text never becomes a path.
"""

import gzip
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..errors import LatentfillError
from ..gan.gan import Gan
from ..options import ServeOptions
from ..version import __version__
from .engine import Engine, State
from .errors import ERRORS, RequestError, error_response
from .forms import invalid
from .metrics import Metrics
from .reference import PATH as REFERENCE
from .reference import write_page
from .routes import complete, edit, models, sample
from .routes import photo_analysis as photo
from .security import Guard

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
    """A file in memory: its bytes, compressed if that is worth while, its media type, and a digest as its ETag."""

    data: bytes
    packed: bytes | None
    media_type: str
    tag: str

    def respond(self, request: Request) -> Response:
        """The file, or that it is the one that the browser has."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if self.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self.packed, headers=headers, media_type=self.media_type)
        return Response(self.data, headers=headers, media_type=self.media_type)


def make_asset(data: bytes, suffix: str) -> Asset:
    """A file of the kind that its suffix says."""
    packed = gzip.compress(data, 9, mtime=0) if suffix in PACKED else None
    return Asset(data, packed, TYPES[suffix], f'"{hashlib.sha256(data).hexdigest()[:16]}"')


def read_page(folder: Path = FOLDER) -> dict[str, Asset]:
    """All files of the page by their addresses; `index.html` is `/`."""
    found = {
        f"/{path.relative_to(folder).as_posix()}": make_asset(path.read_bytes(), path.suffix)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in TYPES
    }
    if "/index.html" in found:
        found["/"] = found.pop("/index.html")
    return found


OPENAPI = "/api/v1/openapi.json"


def create_app(
    options: ServeOptions,
    gans: Mapping[str, Gan],
    cards: Mapping[str, str] | None = None,
    engine: Engine | None = None,
) -> FastAPI:
    """The server of these models; the first is used if a request names none."""
    metrics = Metrics()
    state = State(options, gans, metrics, engine or Engine(options, gans, metrics), cards or {})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state.engine.start()
        try:
            yield
        finally:  # the server ends all requests before this
            await state.engine.close()

    app = FastAPI(
        title="latentfill",
        version=__version__,
        summary="Complete pictures by searching the latent space of a GAN.",
        openapi_url=OPENAPI,
        docs_url=None,  # FastAPI's own page loads scripts from another host
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.state = state
    app.include_router(models.router)
    for module in (sample, complete, photo, edit):
        app.include_router(module.router, responses=ERRORS)
    page = read_page()
    for path, asset in page.items():
        app.add_route(path, _serve(asset), include_in_schema=False)
    reference = make_asset(write_page(app.openapi(), options.root_path), ".html")
    app.add_route(REFERENCE, _serve(reference), include_in_schema=False)
    app.add_exception_handler(LatentfillError, _handle_error)
    app.add_exception_handler(RequestValidationError, _handle_invalid)
    app.add_exception_handler(HTTPException, _handle_http)
    open_paths = frozenset({*page, "/healthz", REFERENCE, OPENAPI})
    app.add_middleware(Guard, options=options, metrics=metrics, open_paths=open_paths)
    return app


def _serve(asset: Asset) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        return asset.respond(request)

    return respond


async def _handle_error(request: Request, error: Any) -> Response:
    return error_response(error)


async def _handle_invalid(request: Request, error: Any) -> Response:
    return error_response(invalid(error.errors()))


async def _handle_http(request: Request, error: Any) -> Response:
    texts = {404: "there is nothing here", 405: f"{request.method} is not answered here"}
    what = texts.get(error.status_code, str(error.detail))
    return error_response(RequestError(error.status_code, what, "See /docs for what there is.", headers=error.headers))
