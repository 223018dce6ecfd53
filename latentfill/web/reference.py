"""What the API's description says of requests that are read by hand.

The page that describes the API: written from its OpenAPI description when it is first asked for, without scripts.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from html import escape
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


PATH = "/docs"
Json = Mapping[str, Any]


def page(openapi: Json, root_path: str = "") -> bytes:
    """HTML of all that can be asked, each address with what it takes and what it answers.

    Its links are relative, as it may lie below a path; `root_path` is told to those who write programs.
    """
    title = f"{openapi['info']['title']} {openapi['info']['version']}: the API"
    asked = [(path, method, one) for path, methods in openapi["paths"].items() for method, one in methods.items()]
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{escape(title)}</title><link rel="icon" href="icon.svg">',
        '<link rel="stylesheet" href="docs.css"></head>',
        f"<body><main><h1>{escape(title)}</h1>",
        f"<p>{escape(openapi['info'].get('summary', ''))} The same as <a href='api/v1/openapi.json'>OpenAPI</a>. "
        "<a href='./'>The page</a>.</p>",
        *([f"<p>All addresses begin with <code>{escape(root_path)}</code>.</p>"] if root_path else []),
        "<p>Errors are JSON: <code>error</code> says what is wrong, <code>cure</code> what to do about it. Where the "
        "server has a token, send <code>Authorization: Bearer TOKEN</code>.</p>",
        "<nav><ul>",
        *(
            f"<li><a href='#{_anchor(path, method)}'><code>{_name(path, method)}</code></a></li>"
            for path, method, _ in asked
        ),
        "</ul></nav>",
        *(line for path, method, one in asked for line in _operation(path, method, one)),
        "</main></body></html>",
    ]
    return "\n".join(lines).encode()


def _operation(path: str, method: str, one: Json) -> Iterator[str]:
    yield f"<section id='{_anchor(path, method)}'><h2><code>{_name(path, method)}</code></h2>"
    for paragraph in str(one.get("description", "")).split("\n\n"):
        yield f"<p>{escape(paragraph)}</p>"
    for kind, content in one.get("requestBody", {}).get("content", {}).items():
        yield f"<h3>Takes <code>{escape(kind)}</code></h3>"
        yield from _fields(content.get("schema", {}))
    yield "<h3>Answers</h3><table><thead><tr><th>status</th><th>what</th></tr></thead><tbody>"
    for status, answer in one.get("responses", {}).items():
        kinds = ", ".join(answer.get("content", {})) if status == "200" else ""
        told = f"{answer.get('description', '')} {kinds}"
        yield f"<tr><td>{escape(str(status))}</td><td>{escape(told)}</td></tr>"
    yield "</tbody></table></section>"


def _fields(schema: Json) -> Iterator[str]:
    """A row for each field; those of an options object stand in a table of their own, which can be opened."""
    yield "<table><thead><tr><th>field</th><th>what</th><th>default</th></tr></thead><tbody>"
    needed = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        default = "needed" if name in needed else _default(field)
        told = f"{_bounds(field)} {field.get('description', '')}"
        yield f"<tr><td><code>{escape(name)}</code></td><td>{escape(told)}"
        if field.get("properties"):
            yield "<details><summary>JSON object with these fields</summary>"
            yield from _fields(field)
            yield "</details>"
        yield f"</td><td>{escape(default)}</td></tr>"
    yield "</tbody></table>"


def _bounds(field: Json) -> str:
    """What a field may be, in words: its type, its choices, its least and most."""
    kinds = field.get("anyOf", [field])
    words = []
    for kind in kinds:
        if kind.get("type") == "null" or kind.get("properties"):
            continue
        if "enum" in kind:
            words.append(" | ".join(map(str, kind["enum"])))
            continue
        word = "file" if kind.get("format") == "binary" else str(kind.get("type", "anything"))
        limits = [
            f"{sign} {kind[key]:g}"
            for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
            if key in kind
        ]
        words.append(" ".join([word, *limits]))
    return f"{' or '.join(words)}:" if words else ""


def _default(field: Json) -> str:
    default = field.get("default")
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def _name(path: str, method: str) -> str:
    return escape(f"{method.upper()} {path}")


def _anchor(path: str, method: str) -> str:
    return escape(f"{method}{path.replace('/', '-')}")
