"""Which models there are."""

from typing import Any

from fastapi import APIRouter

from ..state import State


def router(state: State) -> APIRouter:
    """`/api/v1/models`."""
    routes = APIRouter(prefix="/api/v1", tags=["models"])
    limits = {name: getattr(state.options, name) for name in ("max_bytes", "max_pixels", "max_images")}
    described = [describe(state, name) for name in state.gans]
    listed = {"default": state.default, "limits": limits, "models": described}

    @routes.get("/models")
    async def models() -> dict[str, Any]:
        """The models that may be asked for by name, what each can do, and its card."""
        return listed

    return routes


def describe(state: State, name: str) -> dict[str, Any]:
    """What the page needs to know of a model."""
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
        "calibrated": bool(gan.about.get("trust")),
        "classes": list(gan.about.get("classes", ())),
        "card": state.cards.get(name, ""),
    }
