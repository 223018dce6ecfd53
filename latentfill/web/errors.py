"""Errors as HTTP answers: a status, and JSON with what is wrong and the cure."""

from collections.abc import Mapping
from typing import Any, final

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from ..errors import ExtraError, LatentfillError, is_out_of_memory


@final
class Problem(BaseModel):
    """The body of every error."""

    error: str = Field(description="what is wrong")
    cure: str = Field(description="what to do about it")


ERRORS: dict[int | str, dict[str, Any]] = {  # errors of every route, for the description of the API
    status: {"model": Problem, "description": text}
    for status, text in {
        400: "The request is malformed, or broken off.",
        401: "A token is needed, or is another.",
        403: "Asked under a foreign name, or from another site's page.",
        404: "There is no such model.",
        413: "Too many bytes or pixels.",
        415: "No form, or no picture.",
        422: "What was sent cannot be used.",
        429: "Too many wait already: come again after Retry-After.",
        503: "The server lacks what this needs, or ends.",
    }.items()
}


@final
class RequestError(LatentfillError):
    """A refused request: the HTTP status, what is wrong, the cure, a word for the metrics, and further headers."""

    def __init__(
        self, status: int, what: str, cure: str, reason: str = "input", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what, cure)
        self.status, self.reason, self.headers = status, reason, dict(headers or {})


def queue_full(waiting: int, seconds: float) -> RequestError:
    """The error of a full queue, with the seconds after which to retry."""
    wait = str(max(1, round(seconds)))
    what = f"{waiting} requests are waiting already"
    return RequestError(429, what, f"Ask again in {wait} s.", "queue", {"Retry-After": wait})


def out_of_memory() -> RequestError:
    """The error of a request that the server's memory does not hold, at least not now."""
    cure = "Send a smaller picture or ask for less, or come again in 30 s."
    return RequestError(503, "the server is short of memory", cure, "memory", {"Retry-After": "30"})


def client_gone() -> RequestError:
    """The error of a request whose client has left: nobody reads it."""
    return RequestError(499, "the client has left", "Ask again.", "left")


def status_of(error: LatentfillError) -> int:
    """The HTTP status of an error: 422, or 503 if the server lacks a library, or its own."""
    if isinstance(error, RequestError):
        return error.status
    return 503 if isinstance(error, ExtraError) else 422


def error_response(error: LatentfillError) -> JSONResponse:
    """The answer to a request that failed so; for want of memory it is 503, whatever was raised."""
    error = out_of_memory() if is_out_of_memory(error) else error
    headers = error.headers if isinstance(error, RequestError) else {}
    return JSONResponse(to_json(error), status_of(error), headers)


def internal_error_response() -> JSONResponse:
    """The answer to a request that met an internal error; the log has the details."""
    return JSONResponse({"error": "the server failed", "cure": "Its log says more; please report it."}, 500)


def to_json(error: LatentfillError) -> dict[str, str]:
    """An error as the body of an answer, or as the last event of a stream."""
    error = out_of_memory() if is_out_of_memory(error) else error
    return {"error": error.what, "cure": error.cure}
