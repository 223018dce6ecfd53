"""Client input, checked before use: the fields of forms, options, pictures.

FastAPI validates and describes the forms. They are read here, in memory: no part is written to a file.
"""

import json
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import asdict, fields
from difflib import get_close_matches
from functools import partial
from io import BytesIO
from math import isfinite
from typing import Annotated, Any, TypeVar, final

from annotated_types import Gt, Interval, Le, Len, Predicate
from fastapi.routing import APIRoute
from PIL import Image, UnidentifiedImageError
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
    with_config,
)
from pydantic import WithJsonSchema as Schema
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field as TextField
from python_multipart.multipart import File, FormParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from ..completion.operators import KINDS as OPERATORS
from ..errors import ImageError
from ..images import photos
from ..images.hole_pictures import DrawnHole, check_size, decode_hole
from ..images.holes import FACE_FEATURES
from ..images.holes import KINDS as HOLES
from ..images.metadata import repair
from ..images.photos import READ, Original, formats, name_kind
from ..options import COMPLETE_PRESETS, CompleteOptions, PhotoOptions, ReadLimits, ServeOptions, refuse_removed
from ..options.completion import is_odd
from ..options.validation import adapter_of
from .errors import RequestError

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # its warnings quote the request
T = TypeVar("T")
MULTIPART = "multipart/form-data"
FILES = ("photo", "hole")
MOST_FIELDS = 24
MOST_HEADERS = 8  # headers of one field
MOST_FACES = 32
TEXT_BYTES = 2 * 2**20  # bytes of a field that is no file; `state` is the longest
DEEPEST = 8  # levels of nested JSON
SEND_A_FORM = "Send multipart/form-data, as curl -F and browsers do."
HOLES_IN_WORDS = [name for name in HOLES if name not in ("file", "folder")]  # these need no disk


def parse_form(content_type: str, body: bytes) -> dict[str, bytes]:
    """The fields of a multipart form; names of files are not kept.

    Raises RequestError: 415 for what is no form, 400 for one that is broken off or malformed, 422 for repeated fields.
    """
    kind, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise RequestError(415, "the request is not a multipart form", SEND_A_FORM)
    form: dict[str, bytes] = {}
    ended: list[bool] = []

    def keep(field: TextField | File) -> None:
        name = (field.field_name or b"").decode("utf-8", "replace")
        if not name:
            raise RequestError(400, "a field of the form has no name", SEND_A_FORM)
        if name in form:
            raise RequestError(422, f"{name[:80]}: given twice", "Give it once.")
        if len(form) >= MOST_FIELDS:
            raise RequestError(400, f"more than {MOST_FIELDS} fields", SEND_A_FORM)
        form[name] = field.file_object.getvalue() if isinstance(field, File) else field.value or b""  # type: ignore[union-attr]

    config = {"MAX_MEMORY_FILE_SIZE": float("inf"), "MAX_HEADER_COUNT": MOST_HEADERS}
    try:
        parser = FormParser(MULTIPART, keep, keep, lambda: ended.append(True), boundary, config=config)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise RequestError(400, "the form is malformed", SEND_A_FORM) from error
    if not ended:
        raise RequestError(400, "the form is broken off", SEND_A_FORM)
    return form


@final
class FormRequest(Request):
    """A request whose form FastAPI takes from memory, rather than from files of starlette's."""

    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]
        """The fields, each as bytes; the limits are those of `parse_form`."""
        if self._form is None:
            content_type = self.headers.get("content-type", "")
            self._form = FormData(await run_in_threadpool(parse_form, content_type, await self.body()))  # type: ignore[arg-type]
        return self._form


@final
class FormRoute(APIRoute):
    """A route that takes a form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_form(request: Request) -> Response:
            with_form = FormRequest(request.scope, request.receive)
            await with_form.form()  # here, since FastAPI would report any error as one of parsing
            return await handle(with_form)

        return handle_form


def parse_json(text: str | bytes, name: str) -> Any:
    """Text as JSON, of finite numbers and moderate depth. Raises RequestError (422)."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:120]
        raise RequestError(422, f"{name}: not JSON ({what})", "Send JSON.") from error
    if not _is_plain(value, DEEPEST):
        raise RequestError(422, f"{name}: numbers without end, or nested too deeply", "Send plain numbers.")
    return value


def override(name: str, default: T, changes: Any) -> T:
    """An options dataclass with these fields changed, in the bounds that the command line has as well.

    Raises RequestError (422) for unknown fields and for values beyond their bounds.
    """
    if not isinstance(changes, dict):
        raise RequestError(422, f"{name}: not a JSON object", 'Send such as {"seed": 1}.')
    refuse_removed(changes)
    known = [field.name for field in fields(default)]  # type: ignore[arg-type]
    for key in changes:
        if key not in known:
            raise RequestError(422, f"{name}: there is no option {key[:80]!r}", suggest(key, known))
    made: T = validate(name, type(default), {**asdict(default), **changes})  # type: ignore[call-overload]
    return made


def validate(name: str, kind: Any, value: Any) -> Any:
    """A value of an annotated type. Raises RequestError (422), in pydantic's words, for any other."""
    try:
        return adapter_of(kind).validate_python(value)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False), name) from error


def invalid(errors: Any, *before: str) -> RequestError:
    """The first of pydantic's errors, in its words, as one of ours; `before` names what was validated."""
    first = errors[0]
    where = ".".join([*before, *(str(part)[:80] for part in first["loc"] if part != "body")])
    return RequestError(422, f"{where or 'the request'}: {first['msg'][:200]}", "See /docs for what is taken.")


def suggest(name: str, known: Iterable[str]) -> str:
    """The cure for an unknown name."""
    near = get_close_matches(name[:80], list(known), 1)
    return f"Did you mean {near[0]}?" if near else f"It is one of: {', '.join(known)}."


def _json_of(kind: Any) -> BeforeValidator:
    """A field of JSON, which FastAPI must not take for a field that is repeated."""

    def parse(text: str | bytes, info: ValidationInfo) -> Any:
        name = info.field_name or "the request"
        return validate(name, kind, parse_json(text, name))

    return BeforeValidator(parse)


def _describe(kind: Any) -> Schema:
    """The JSON schema of an options dataclass; the sentence below each field is its description."""
    with_config(ConfigDict(use_attribute_docstrings=True, allow_inf_nan=False))(kind)
    return Schema(adapter_of(kind).json_schema())


Point = tuple[float, float]
Landmarks = Annotated[list[tuple[Point, Point, Point]], Len(0, MOST_FACES)]
Pick = tuple[Annotated[int, Interval(ge=0, le=100)], Annotated[int, Interval(ge=0, le=10)]]
Side = Annotated[int, Interval(ge=1, le=178_000_000)]
ShortText = Annotated[str, Len(0, 1000)]


class Fields(BaseModel):
    """Fields of a multipart form: files as bytes, texts, numbers, and JSON. Others are refused."""

    model_config = ConfigDict(use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def check_fields(cls, sent: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Refuse unknown fields, texts that are none, and a form without its photo."""
        for name, data in sent.items():
            if name not in cls.model_fields:
                raise RequestError(422, f"there is no field {name[:80]!r}", suggest(name, cls.model_fields))
            if name not in FILES and len(data) > TEXT_BYTES:
                raise RequestError(413, f"{name}: more than {TEXT_BYTES:,} bytes", "Send less.", "size")
            if name not in FILES and b"\0" in data:
                raise RequestError(422, f"{name}: not text", "Send text.")
        if "photo" not in sent and cls.model_fields["photo"].is_required():
            raise RequestError(422, "photo: it is missing", "Send a picture in the field 'photo'.")
        return sent


@final
class FacesForm(Fields):
    """A photo in which faces are looked for."""

    photo: bytes = Field(description=f"the picture: {READ}")
    model: str | None = None
    """name of the model that would be shown the faces; default: the first of the server's"""


@final
class DecodeForm(Fields):
    """One file to look at."""

    photo: bytes | None = Field(None, description=f"a photo: {READ}")
    hole: bytes | None = None
    """instead, a picture of a hole, white where a pixel is to be found"""
    size: Annotated[Any, _json_of(tuple[Side, Side] | None)] = None
    """JSON [width, height] of the photo that the hole is for"""


@final
class SelectForm(Fields):
    """A photo, and an object or a part of a face in it."""

    photo: bytes = Field(description=f"the picture: {READ}")
    hole: bytes | None = None
    """a picture of the same size, white where someone has painted over most of the object. A closed line or a filled
    rectangle is read as drawn around the object, with ground inside"""
    part: Annotated[str, Field(pattern=f"^({'|'.join(FACE_FEATURES)})$")] | None = None
    """instead, a part of each face, as of the hole `face:mouth`"""
    at: Annotated[Any, _json_of(Point | None)] = None
    """JSON [x, y]: of the face at this point alone"""


class CompleteForm(Fields):
    """A photo, and what of it is to be found."""

    photo: bytes = Field(description=f"the picture: {READ}")
    hole: bytes | None = None
    """a picture of the same size, white where a pixel is to be found"""
    hole_spec: ShortText | None = Field(
        None,
        description=f"instead, what is to be found in words: {'; '.join(HOLES[name] for name in HOLES_IN_WORDS)}",
    )
    model: str | None = None
    """name of a model; default: the first of the server's"""
    preset: str = Field("best", json_schema_extra={"enum": list(COMPLETE_PRESETS)})
    """settings to start from"""
    options: Annotated[Any, _json_of(Any), _describe(CompleteOptions)] = {}
    photo_options: Annotated[Any, _json_of(Any), _describe(PhotoOptions)] = {}
    observe: ShortText | None = Field(
        None, description=f"what the picture is an observation of, joined by +: {'; '.join(OPERATORS.values())}"
    )
    landmarks: Annotated[Any, _json_of(Landmarks)] = []
    """JSON [n][3][2]: x, y of three points of each face that cannot be found"""


@final
class StreamForm(CompleteForm):
    """The same, with the rate of its frames."""

    frames: Annotated[float, Gt(0), Le(60)] = 12.0
    """the most in a second"""


@final
class EditsForm(CompleteForm):
    """The same, with what was found in its hole."""

    state: str = ""
    """what `done` has told of the completion"""
    count: Annotated[int, Interval(ge=1, le=8)] = 4
    """edits of each square"""
    frames: Annotated[int, Interval(ge=3, le=11), Predicate(is_odd)] = 7
    """pictures of each edit, an odd number"""
    side: Annotated[int, Interval(ge=64, le=2048)] = 768
    """the longer side of the pictures, in pixels"""
    pick: Annotated[Any, _json_of(Pick | None)] = None
    """JSON [edit, frame]: answer that one alone, as a PNG at the photo's own resolution"""


def read_photo(data: bytes, options: ServeOptions, name: str = "photo", *, weigh: Callable[[int], None]) -> Original:
    """A picture within the limits; `weigh` is told its pixels, from the header, before any is decoded.

    Raises RequestError: 422 if it is damaged, 415 if it is no picture, 413 if it has too many pixels.
    """
    width, height = _read_size(data, name, options)
    weigh(width * height)
    return _decode(partial(photos.decode_original, data), options, name)


def read_hole(
    data: bytes,
    options: ServeOptions,
    size: tuple[int, int] | None,
    name: str = "hole",
    *,
    weigh: Callable[[int], None] = lambda pixels: None,
) -> DrawnHole:
    """The hole in a picture, if it has the size (height, width) of its photo.

    Raises HoleError for another size, as far as the header tells before it is decoded, and RequestError as
    `read_photo` does.
    """
    width, height = _read_size(data, name, options)
    if size is not None and sorted((width, height)) != sorted(size):  # EXIF data may rotate it
        check_size((height, width), size, "the hole", "the photo")
    weigh(width * height)
    picture = _decode(lambda limits, name: decode_hole(data, name, limits), options, name)
    check_size(picture.hole.shape, size or picture.hole.shape, "the hole", "the photo")
    return picture


def preferred_type(request: Request, *kinds: str) -> str:
    """The kind of answer that the client likes best; the first, if it does not say."""
    likes: dict[str, float] = {}
    for one in request.headers.get("accept", "*/*")[:500].replace(" ", "").split(","):
        kind, _, quality = one.partition(";q=")
        try:
            likes[kind.split(";")[0].lower()] = float(quality or 1)
        except ValueError:
            continue
    return max(kinds, key=lambda kind: likes.get(kind, likes.get(f"{kind.split('/')[0]}/*", likes.get("*/*", 0.0))))


def _decode(decode: Callable[[ReadLimits, str], T], options: ServeOptions, name: str) -> T:
    try:
        return decode(ReadLimits(options.max_bytes, options.max_pixels), name)
    except ImageError as error:
        raise RequestError(422, error.what, error.cure) from error


def _read_size(data: bytes, name: str, options: ServeOptions) -> tuple[int, int]:
    """Width and height, by the header. Raises RequestError for what is no picture or too large."""
    try:
        try:
            image = Image.open(BytesIO(data), formats=formats(data))
        except Exception:  # perhaps an error in metadata
            image = Image.open(BytesIO(repair(data)[0]), formats=formats(data))
        with image:
            width, height = image.size
    except UnidentifiedImageError as error:
        raise RequestError(415, f"{name}: {name_kind(data)[0]}", f"Send a {READ}.") from error
    except Image.DecompressionBombError as error:
        raise RequestError(413, f"{name}: far too many pixels", "Send a smaller picture.", "pixels") from error
    except Exception as error:  # with damaged bytes a decoder may raise any error
        raise RequestError(422, f"{name}: the picture is damaged", "Save it again as PNG or JPEG.") from error
    if width * height > options.max_pixels:
        what = f"{name}: {width} x {height} = {width * height:,} pixels, more than the limit of {options.max_pixels:,}"
        raise RequestError(413, what, "Send a smaller picture.", "pixels")
    return width, height


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _is_plain(value: Any, depth: int) -> bool:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(one, depth - 1) for one in inner)
    return not isinstance(value, float) or isfinite(value)
