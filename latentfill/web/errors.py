"""What a client can cause and mend, as HTTP tells it: a status, and JSON with what is wrong and the cure."""

from collections.abc import Mapping
from typing import final

from starlette.responses import JSONResponse

from ..errors import ExtraError, LatentfillError, is_out_of_memory


@final
class Refused(LatentfillError):
    """A request that is not answered, and with which status; `reason` is a word for the metrics."""

    def __init__(
        self, status: int, what: str, cure: str, reason: str = "input", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what, cure)
        self.status, self.reason, self.headers = status, reason, dict(headers or {})


def busy(waiting: int, seconds: float) -> Refused:
    """The queue is full; `seconds` is when to come again."""
    cure = f"Ask again in {max(1, round(seconds))} s."
    headers = {"Retry-After": str(max(1, round(seconds)))}
    return Refused(429, f"{waiting} requests are waiting already", cure, "queue", headers)


def short_of_memory() -> Refused:
    """The server's memory does not hold what is asked, at least not now."""
    cure = "Send a smaller picture or ask for less, or come again in 30 s."
    return Refused(503, "the server is short of memory", cure, "memory", {"Retry-After": "30"})


def status_of(error: LatentfillError) -> int:
    """The status of an error: what was given cannot be used, or (503) the server lacks something."""
    if isinstance(error, Refused):
        return error.status
    return 503 if isinstance(error, ExtraError) else 422


def answer(error: LatentfillError) -> JSONResponse:
    """The error as JSON. Whatever was raised for want of memory is no fault of what was sent."""
    error = short_of_memory() if is_out_of_memory(error) else error
    headers = error.headers if isinstance(error, Refused) else {}
    return JSONResponse(told(error), status_of(error), headers)


def failed() -> JSONResponse:
    """That something went wrong here, of which the log tells more."""
    return JSONResponse({"error": "the server failed", "cure": "Its log says more; please report it."}, 500)


def told(error: LatentfillError) -> dict[str, str]:
    """What is wrong and the cure; flags of the command line mean nothing to who asks by HTTP, and are left as words."""
    error = short_of_memory() if is_out_of_memory(error) else error
    return {"error": error.what, "cure": error.cure}
