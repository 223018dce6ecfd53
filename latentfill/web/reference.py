"""The page that describes the API: HTML without scripts, written from FastAPI's OpenAPI description."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

PATH = "/docs"
Json = Mapping[str, Any]
SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="icon" href="icon.svg">
<link rel="stylesheet" href="docs.css"></head>
<body><main><h1>{title}</h1>
<p>{summary} The same as <a href='api/v1/openapi.json'>OpenAPI</a>. <a href='./'>The page</a>.</p>
{root}<p>Errors are JSON: <code>error</code> says what is wrong, <code>cure</code> what to do about it. Where the
server has a token, send <code>Authorization: Bearer TOKEN</code>.</p>
<nav><ul>{links}</ul></nav>
{operations}
</main></body></html>
"""


def write_page(openapi: Json, root_path: str = "") -> bytes:
    """All that can be asked, each address with what it takes and what it answers.

    Its links are relative, as it may lie below a path; `root_path` is told to those who write programs.
    """
    routes = [(method, path, one) for path, methods in openapi["paths"].items() for method, one in methods.items()]
    names = [escape(f"{method.upper()} {path}") for method, path, _ in routes]
    schemas = openapi.get("components", {}).get("schemas", {})
    return PAGE.format(
        title=escape(f"{openapi['info']['title']} {openapi['info']['version']}: the API"),
        summary=escape(openapi["info"].get("summary", "")),
        root=f"<p>All addresses begin with <code>{escape(root_path)}</code>.</p>" if root_path else "",
        links="".join(f"<li><a href='#{i}'><code>{name}</code></a></li>" for i, name in enumerate(names)),
        operations="\n".join(
            f"<section id='{i}'><h2><code>{name}</code></h2>{''.join(_operation(one, schemas))}</section>"
            for i, (name, (_, _, one)) in enumerate(zip(names, routes, strict=True))
        ),
    ).encode()


def _operation(operation: Json, schemas: Json) -> Iterator[str]:
    for paragraph in str(operation.get("description", "")).split("\n\n"):
        yield f"<p>{escape(paragraph)}</p>"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<h3>Takes <code>{escape(kind)}</code></h3>"
        schema = content["schema"]
        yield from _fields(schemas[schema["$ref"].split("/")[-1]] if "$ref" in schema else schema)
    yield "<h3>Answers</h3><table><thead><tr><th>status</th><th>what</th></tr></thead><tbody>"
    for status, answer in operation.get("responses", {}).items():
        kinds = ", ".join(answer.get("content", {})) if status == "200" else ""
        text = f"{answer.get('description', '')} {kinds}"
        yield f"<tr><td>{escape(str(status))}</td><td>{escape(text)}</td></tr>"
    yield "</tbody></table>"
    for kind, content in operation.get("responses", {}).get("200", {}).get("content", {}).items():
        if example := content.get("example"):
            yield f"<h3>Example of <code>{escape(kind)}</code></h3><pre>{escape(example)}</pre>"
        schema = _inline(content.get("schema", {}), schemas)
        if schema.get("properties"):
            yield f"<h3>Fields of <code>{escape(kind)}</code></h3>"
            yield from _fields(schema, answer=True)


def _inline(schema: Any, schemas: Json) -> Any:
    """A schema with the others in the places where it refers to them."""
    if isinstance(schema, list):
        return [_inline(one, schemas) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        schema = {**schemas[schema["$ref"].split("/")[-1]], **{k: v for k, v in schema.items() if k != "$ref"}}
    return {key: _inline(value, schemas) for key, value in schema.items()}


def _fields(schema: Json, *, answer: bool = False) -> Iterator[str]:
    """A row for each field; those of an object in it stand in a table of their own, which can be opened."""
    last = "" if answer else "<th>default</th>"
    yield f"<table><thead><tr><th>field</th><th>what</th>{last}</tr></thead><tbody>"
    needed = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        text = f"{_bounds(field)} {field.get('description', '')}"
        yield f"<tr><td><code>{escape(name)}</code></td><td>{escape(text)}"
        for inner in (field, field.get("items", {}), *field.get("anyOf", ())):
            if inner.get("properties"):
                yield "<details><summary>JSON object with these fields</summary>"
                yield from _fields(inner, answer=answer)
                yield "</details>"
        default = "needed" if name in needed else _default(field)
        yield "</td></tr>" if answer else f"</td><td>{escape(default)}</td></tr>"
    yield "</tbody></table>"


def _bounds(field: Json) -> str:
    """The values that a field may have, in words: its type, its choices, its least and most."""
    words = []
    for kind in field.get("anyOf", [field]):
        if kind.get("type") == "null" or kind.get("properties"):
            continue
        if "enum" in kind:
            words.append(" | ".join(map(str, kind["enum"])))
            continue
        word = "file" if kind.get("format") == "binary" else str(kind.get("type", "anything"))
        limits = [f"{sign} {kind[key]:g}" for key, sign in SIGNS.items() if key in kind]
        words.append(" ".join([word, *limits]))
    return f"{' or '.join(words)}:" if words else ""


def _default(field: Json) -> str:
    default = field.get("default")
    if default is None or default in ({}, []):
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)
