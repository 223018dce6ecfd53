"""Whether the server lives, and its counts."""

from fastapi import APIRouter
from starlette.responses import Response

from ...version import __version__
from ..metrics import CONTENT_TYPE
from ..state import State


def router(state: State) -> APIRouter:
    """`/healthz` for whoever starts servers, `/metrics` for Prometheus."""
    routes = APIRouter()

    @routes.get("/healthz", tags=["server"])
    async def health() -> dict[str, str]:
        """That the server answers. Needs no token."""
        return {"status": "ok", "version": __version__}

    @routes.get("/metrics", tags=["server"], response_class=Response)
    def metrics() -> Response:
        """Counts and times, as Prometheus reads them."""
        return Response(state.metrics.text(), media_type=CONTENT_TYPE)

    return routes
