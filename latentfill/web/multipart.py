"""A multipart form taken apart in memory: no part ever lies in a file of its own, under any name."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

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
