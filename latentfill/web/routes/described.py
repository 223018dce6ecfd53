"""What the API's description says of requests that are read by hand."""

import ast
from collections.abc import Mapping
from dataclasses import is_dataclass
from inspect import cleandoc, getsource
from itertools import pairwise
from textwrap import dedent
from typing import Any

from pydantic import TypeAdapter

ERROR = {
    "type": "object",
    "required": ["error", "cure"],
    "properties": {
        "error": {"type": "string", "description": "what is wrong"},
        "cure": {"type": "string", "description": "what to do about it"},
    },
}
ERRORS = {
    400: "The request is malformed, or broken off.",
    401: "A token is needed, or is another.",
    403: "Asked under a foreign name, or from another site's page.",
    404: "There is no such model.",
    413: "Too many bytes or pixels.",
    415: "No form, or no picture.",
    422: "What was sent cannot be used.",
    429: "Too many wait already: come again after Retry-After.",
    503: "The server lacks what this needs, or ends.",
}


def json_body(kind: type) -> dict[str, Any]:
    """A body of JSON that becomes this dataclass."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _schema(kind)}}}}


def form_body(fields: Mapping[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """A multipart form of these fields: each a type, a dataclass, or a schema.

    A dataclass means a text that holds it as JSON.
    """
    properties = {name: kind if isinstance(kind, dict) else _schema(kind) for name, kind in fields.items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": list(required)}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def answers(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """An answer of one of these kinds, or an error."""
    errors: dict[int | str, dict[str, Any]] = {
        status: {"description": text, "content": {"application/json": {"schema": ERROR}}}
        for status, text in ERRORS.items()
    }
    return {200: {"description": "Done.", "content": {kind: {} for kind in media_types}}, **errors}


def a_file(description: str) -> dict[str, Any]:
    """A picture file among the fields of a form."""
    return {"type": "string", "format": "binary", "description": description}


def a_text(description: str, **more: Any) -> dict[str, Any]:
    """A text among the fields of a form."""
    return {"type": "string", "description": description, **more}


def _schema(kind: Any) -> dict[str, Any]:
    """As JSON Schema; the sentence below each field of a dataclass is its description."""
    schema = TypeAdapter(kind).json_schema()
    if is_dataclass(kind):
        schema["description"] = cleandoc(kind.__doc__ or "").split("\n")[0]
        for name, sentence in sentences(kind).items():
            schema["properties"][name] |= {"description": sentence}
    return schema


def sentences(kind: Any) -> dict[str, str]:
    """What stands below each field of a dataclass, where the command line reads it too."""
    body = ast.parse(dedent(getsource(kind))).body[0]
    found = {}
    for field, below in pairwise(getattr(body, "body", [])):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(below.value.value).split())
    return found
