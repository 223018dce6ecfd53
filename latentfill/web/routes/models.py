"""What the server has: its models, that it lives, and its counts."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from ...version import __version__
from ..engine import ServerState, State
from ..metrics import CONTENT_TYPE

LIMITS = ("max_bytes", "max_pixels", "max_images")
router = APIRouter()


@router.get("/healthz", tags=["server"])
async def health() -> dict[str, str]:
    """That the server answers. Needs no token."""
    return {"status": "ok", "version": __version__}


@router.get("/metrics", tags=["server"], response_class=Response)
def metrics(state: ServerState) -> Response:
    """Counts and times, as Prometheus reads them."""
    return Response(state.metrics.text(), media_type=CONTENT_TYPE)


@router.get("/api/v1/models", tags=["models"])
async def models(state: ServerState) -> dict[str, Any]:
    """The models that may be asked for by name, what each can do, and its card."""
    limits = {name: getattr(state.options, name) for name in LIMITS}
    return {"default": state.default, "limits": limits, "models": [describe(state, name) for name in state.gans]}


def describe(state: State, name: str) -> dict[str, Any]:
    """What a model is, and what it can do."""
    gan = state.gans[name]
    return {
        "name": name,
        "size": gan.network.size,
        "channels": gan.network.channels,
        "latent": gan.generator.prior.dim,
        "prior": gan.network.prior,
        "alignment": bool(gan.about.get("alignment")),
        "encoder": gan.encoder is not None,
        "completer": gan.completer is not None,
        "upsampler": gan.upsampler is not None,
        "calibrated": bool(gan.about.get("trust")),
        "classes": list(gan.about.get("classes", ())),
        "card": state.cards.get(name, ""),
    }
