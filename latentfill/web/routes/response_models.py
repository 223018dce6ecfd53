"""What the routes answer, for the description of the API. Pictures are data URLs of PNG files."""

from typing import Any, Literal, final

from pydantic import BaseModel, ConfigDict

JSON, PNG, NDJSON = "application/json", "image/png", "application/x-ndjson"
STREAM = """{"event": "queued", "ahead": 0}
{"event": "started", "size": [512, 512], "total": 20, "placements": [{"outline": [[88.5, 40.0], ...]}], "notes": []}
{"event": "step", "number": 1, "total": 20, "loss": 0.31, "terms": {}, "seconds_left": 1.9, "image": "data:..."}
{"event": "done", ...}"""


def answers(model: type[BaseModel], *kinds: str) -> dict[int | str, dict[str, Any]]:
    """The description of a route's answer: JSON of a model, or one of other kinds."""
    return {200: {"model": model, "content": {kind: {} for kind in (JSON, *kinds)}}}


class Answer(BaseModel):
    """An answer with these fields and no others."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@final
class TrustAnswer(Answer):
    """How far to trust what the model drew; of several squares the numbers of the least certain."""

    predicted: float | None
    """the error to expect in the hole: root mean square, in grey levels of 255"""
    low: float | None = None
    """the error lies above this and below `high` in 8 of 10 cases"""
    high: float | None = None
    held_out: float | None = None
    """the error on known pixels that were hidden"""
    agreement: float | None = None
    """correlation of what the model draws with the known pixels, up to 1"""
    rarity: float | None = None
    """share of the calibration's pictures that agree as badly"""
    unlike: bool | None = None
    """the picture is unlike what the model knows"""
    share: float
    """share of the hole that the model filled, 0 to 1; the rest is from the photo"""
    words: list[str]
    """the same in sentences"""


@final
class CandidateAnswer(Answer):
    """A completed photo."""

    image: str
    """the photo, completed"""
    loss: float | None
    """the smaller the better"""


@final
class CompletedAnswer(Answer):
    """All that was found."""

    event: Literal["done"]
    candidates: list[CandidateAnswer]
    """the best first"""
    trust: TrustAnswer | None
    """null if nothing was missing"""
    spread: str | None
    """how much several answers differ at each pixel: black not at all, white by 64 grey levels or more"""
    notes: list[str]
    """what a user should know"""
    seconds: float
    """how long the search took"""
    state: str | None
    """to be sent to /api/v1/edits as it is; null where there are no edits"""


@final
class DecodedAnswer(Answer):
    """A photo or a hole, as the server reads it."""

    image: str | None
    """the photo, upright, for the screen; a JPEG if it is large"""
    size: list[int]
    """width and height in pixels"""
    hole: str | None
    """white where a pixel is to be filled"""
    notes: list[str]
    soft: int
    """pixels that are half in the hole"""
    grow: int
    """widening the hole by so many pixels takes them in"""


@final
class FaceAnswer(Answer):
    """A face in the photo."""

    outline: list[list[float]]
    """the four corners x, y of the square that the model would be shown"""
    score: float
    """above 0 it is a face; clear ones have 1 and more"""


@final
class FacesAnswer(Answer):
    """The faces of a photo."""

    size: list[int]
    """width and height in pixels"""
    faces: list[FaceAnswer]
    """the surest first"""


@final
class SelectedAnswer(Answer):
    """An object in the photo."""

    size: list[int]
    """width and height in pixels"""
    hole: str
    """white where the object is"""


@final
class EditAnswer(Answer):
    """One way to change what was found."""

    name: str
    images: list[str]
    """its frames; the one in the middle is unchanged"""


@final
class EditsAnswer(Answer):
    """The edits that change the hole most."""

    edits: list[EditAnswer]


@final
class SampleAnswer(Answer):
    """Images of a model."""

    images: list[str]
