"""A multipart form taken apart in memory: no part ever lies in a file of its own, under any name.

What a client sends, checked before anything is made of it: fields, options, pictures.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from functools import lru_cache, partial
from io import BytesIO
from math import isfinite
from typing import Any, TypeVar, final

from PIL import Image, UnidentifiedImageError
from pydantic import TypeAdapter, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from ..errors import ImageError
from ..images import photos
from ..images.hole_pictures import DrawnHole, check_size, decode_hole
from ..images.metadata import repair
from ..images.photos import FORMATS, READ, Original, name_kind
from ..options import ReadLimits, ServeOptions, refuse_removed
from .errors import Refused

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # its warnings quote what was sent
MOST_PARTS = 24
MOST_HEADERS = 8  # of one part
AGAIN = "Send multipart/form-data, as curl -F and browsers do."


@final
@dataclass(frozen=True)
class Part:
    """One field of a form; its file name, if it has one, is not kept."""

    name: str
    data: bytes


def taken_apart(content_type: str, body: bytes) -> list[Part]:
    """The parts of a form. Raises Refused: 415 for what is no form, 400 for one that is broken off or malformed."""
    kind, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Refused(415, "the request is not a multipart form", AGAIN)
    reading = _Reading()
    try:
        parser = MultipartParser(boundary, reading.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refused(400, "the form is malformed", AGAIN) from error
    if not reading.ended:
        raise Refused(400, "the form is broken off", AGAIN)
    return reading.parts


@final
class _Reading:
    """What the parser has told so far."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value, self._data = bytearray(), bytearray(), bytearray()

    def callbacks(self) -> Mapping[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_part_data": lambda data, start, end: self._data.extend(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._all,
        }

    def _begin(self) -> None:
        if len(self.parts) >= MOST_PARTS:
            raise Refused(400, f"more than {MOST_PARTS} fields", AGAIN)
        self._headers, self._data = {}, bytearray()

    def _header(self) -> None:
        if len(self._headers) >= MOST_HEADERS:
            raise Refused(400, f"more than {MOST_HEADERS} headers of one field", AGAIN)
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _end(self) -> None:
        kind, parameters = parse_options_header(self._headers.get(b"content-disposition"))
        name = parameters.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not name:
            raise Refused(400, "a field of the form has no name", AGAIN)
        self.parts.append(Part(name, bytes(self._data)))

    def _all(self) -> None:
        self.ended = True


T = TypeVar("T")
TEXT_BYTES = 2 * 2**20  # of a field that is no file; `state` is the longest
DECODERS = 4  # pictures decoded side by side; the others wait without holding up anybody
DEEPEST = 8  # nesting of JSON
_threads = ThreadPoolExecutor(DECODERS, "forms")


@final
@dataclass(frozen=True)
class Form:
    """The fields of a form, each at most once."""

    parts: Mapping[str, bytes]

    def data(self, name: str) -> bytes | None:
        """The bytes of a field; None if it is missing."""
        return self.parts.get(name)

    def text(self, name: str, default: T) -> str | T:
        """A field as text. Raises Refused (422) for what is no text."""
        data = self.parts.get(name)
        if data is None:
            return default
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise Refused(422, f"{name}: not text in UTF-8", "Send text.") from error
        if "\0" in text:
            raise Refused(422, f"{name}: not text", "Send text.")
        return text

    def number(self, name: str, default: T, kind: Any) -> Any | T:
        """A number, in the bounds of an annotated type. Raises Refused (422) beyond them."""
        text = self.text(name, None)
        return default if text is None else validated(name, kind, text)

    def json(self, name: str, default: T) -> Any | T:
        """A field as JSON. Raises Refused (422) for what is none."""
        text = self.text(name, None)
        return default if text is None else parsed(name, text)

    def options(self, name: str, default: T) -> T:
        """An options dataclass: what the field, a JSON object, does not say is as in `default`."""
        return changed(name, default, self.json(name, dict[str, Any]()))


async def read_form(request: Request, files: Collection[str], texts: Collection[str]) -> Form:
    """The form of a request, with fields of these names alone.

    Raises Refused: 415 for what is no form, 400 for a malformed one, 422 for unknown and repeated fields.
    """
    body = await request.body()
    content_type = request.headers.get("content-type", "")
    parts = await aside(partial(taken_apart, content_type, body))
    return form_of(parts, files, texts)


def form_of(parts: Collection[Part], files: Collection[str], texts: Collection[str]) -> Form:
    """The parts as a form, if they are what is asked for."""
    found: dict[str, bytes] = {}
    for part in parts:
        if part.name not in files and part.name not in texts:
            known = [*files, *texts]
            raise Refused(422, f"there is no field {part.name[:80]!r}", _one_of(part.name, known))
        if part.name in found:
            raise Refused(422, f"{part.name}: given twice", "Give it once.")
        if part.name in texts and len(part.data) > TEXT_BYTES:
            raise Refused(413, f"{part.name}: more than {TEXT_BYTES:,} bytes", "Send less.", "size")
        found[part.name] = part.data
    return Form(found)


def parsed(name: str, text: str) -> Any:
    """Text as JSON, of finite numbers and moderate depth. Raises Refused (422)."""
    try:
        found = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:120]
        raise Refused(422, f"{name}: not JSON ({what})", "Send JSON.") from error
    if not _is_plain(found, DEEPEST):
        raise Refused(422, f"{name}: numbers without end, or nested too deeply", "Send plain numbers.")
    return found


def validated(name: str, kind: Any, value: Any) -> Any:
    """A value of an annotated type. Raises Refused (422), in pydantic's words, for any other."""
    try:
        found = _adapter(kind).validate_python(value)
    except ValidationError as error:
        raise _invalid(name, error) from error
    if isinstance(found, float) and not isfinite(found):
        raise Refused(422, f"{name}: not a number", "Send a plain number.")
    return found


def changed(name: str, default: T, given: Any) -> T:
    """The options with what is given in the place of the defaults, in the bounds that the command line has as well."""
    if not isinstance(given, dict):
        raise Refused(422, f"{name}: not a JSON object", 'Send such as {"seed": 1}.')
    refuse_removed(given)
    known = [field.name for field in fields(default)]  # type: ignore[arg-type]
    for key in given:
        if key not in known:
            raise Refused(422, f"{name}: there is no option {key[:80]!r}", _one_of(key, known))
    try:
        made: T = _adapter(type(default)).validate_python({**asdict(default), **given})  # type: ignore[call-overload, arg-type]
    except ValidationError as error:
        raise _invalid(name, error) from error
    if not all(isfinite(value) for value in asdict(made).values() if isinstance(value, float)):  # type: ignore[call-overload]
        raise Refused(422, f"{name}: numbers without end", "Send plain numbers.")
    return made


def photo_of(
    data: bytes, options: ServeOptions, name: str = "photo", *, weigh: Callable[[int], None] = lambda pixels: None
) -> Original:
    """A picture within the limits; its pixels are counted from the header, and weighed, before any is decoded.

    Raises Refused: 422 if it is damaged, 415 if it is no picture, 413 if it has too many pixels.
    """
    width, height = _size(data, name, options)
    weigh(width * height)
    return _decoded(partial(photos.decode_original, data), options, name)


def hole_of(
    data: bytes,
    options: ServeOptions,
    size: tuple[int, int] | None,
    name: str = "hole",
    *,
    weigh: Callable[[int], None] = lambda pixels: None,
) -> DrawnHole:
    """What a picture of a hole says, if it has the size (height, width) of its photo.

    Raises HoleError for another size, as far as the header tells before it is decoded, and Refused as `photo_of` does.
    """
    width, height = _size(data, name, options)
    if size is not None and sorted((width, height)) != sorted(size):  # EXIF data may turn it
        check_size((height, width), size, "the hole", "the photo")
    weigh(width * height)
    found = _decoded(lambda limits, name: decode_hole(data, name, limits), options, name)
    check_size(found.hole.shape, size or found.hole.shape, "the hole", "the photo")
    return found


def wanted(request: Request, *kinds: str) -> str:
    """Which of the kinds of answer the client likes best; the first, if it does not say."""
    likes: dict[str, float] = {}
    for one in request.headers.get("accept", "*/*")[:500].replace(" ", "").split(","):
        kind, _, quality = one.partition(";q=")
        try:
            likes[kind.split(";")[0].lower()] = float(quality or 1)
        except ValueError:
            continue
    return max(kinds, key=lambda kind: likes.get(kind, likes.get(f"{kind.split('/')[0]}/*", likes.get("*/*", 0.0))))


async def aside(work: Callable[[], T]) -> T:
    """In a thread, a few at a time, so that the event loop goes on."""
    return await asyncio.get_running_loop().run_in_executor(_threads, work)


def _decoded(decode: Callable[[ReadLimits, str], T], options: ServeOptions, name: str) -> T:
    try:
        return decode(ReadLimits(options.max_bytes, options.max_pixels), name)
    except ImageError as error:
        raise Refused(422, error.what, error.cure) from error


def _size(data: bytes, name: str, options: ServeOptions) -> tuple[int, int]:
    """Width and height, by the header. Raises Refused for what is no picture or too large."""
    try:
        try:
            image = Image.open(BytesIO(data), formats=FORMATS)
        except Exception:  # of what lies beside the pixels, perhaps
            image = Image.open(BytesIO(repair(data)[0]), formats=FORMATS)
        with image:
            width, height = image.size
    except UnidentifiedImageError as error:
        raise Refused(415, f"{name}: {name_kind(data)}", f"Send a {READ}.") from error
    except Image.DecompressionBombError as error:
        raise Refused(413, f"{name}: far too many pixels", "Send a smaller picture.", "pixels") from error
    except Exception as error:  # decoders meet any bytes, and raise any error
        raise Refused(422, f"{name}: the picture is damaged", "Save it again as PNG or JPEG.") from error
    if width * height > options.max_pixels:
        what = f"{name}: {width} x {height} = {width * height:,} pixels, more than the limit of {options.max_pixels:,}"
        raise Refused(413, what, "Send a smaller picture.", "pixels")
    return width, height


@lru_cache(64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _invalid(name: str, error: ValidationError) -> Refused:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join([name, *(str(part)[:80] for part in first["loc"])])
    return Refused(422, f"{where}: {first['msg'][:200]}", "See /docs for what is taken.")


def _one_of(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name[:80], known, 1)
    return f"Did you mean {near[0]}?" if near else f"It is one of: {', '.join(known)}."


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _is_plain(value: Any, depth: int) -> bool:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(one, depth - 1) for one in inner)
    return not isinstance(value, float) or isfinite(value)
