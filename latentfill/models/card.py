"""Facts of a model file, read without torch, and the model card that is written from them.

A card has front matter for a hub, and in plain words what the model is, how it was made and how to use it.
"""

import json
import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from ..errors import ModelError


def facts(path: Path) -> dict[str, Any]:
    """Networks, parameters and description of a model file. Raises ModelError if it is none."""
    header = _read_header(path)
    try:
        about = json.loads(header.pop("__metadata__", {})["latentfill"])
        return _facts(path, header, about)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not a latentfill model", "Use one made by `latentfill train`.") from error


def _read_header(path: Path) -> Any:
    """The header of a safetensors file: eight bytes of length, little-endian, then so many of JSON."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            if length > min(path.stat().st_size, 100_000_000):
                raise ValueError("its length is wrong")
            return json.loads(file.read(length))
        except ValueError as error:
            raise ModelError(f"{path}: not a safetensors file", "Give a file made by `latentfill train`.") from error


def _facts(path: Path, header: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    tensors = {name: tuple(entry["shape"]) for name, entry in header.items()}
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "format": about["format"],
        "kind": about.get("kind", "gan"),
        "parameters": {
            part: sum(prod(shape) for name, shape in tensors.items() if name.startswith(part) and "running" not in name)
            for part in sorted({name.split(".")[0] for name in tensors})
        },
        "stored_as": sorted({entry["dtype"] for entry in header.values()}),
        "network": about["network"],
        "encoder": about.get("encoder"),
        "completer": about.get("completer"),
        "upsampler": about.get("upsampler"),
        "about": about["about"],
        "tensors": {name: list(shape) for name, shape in tensors.items()},
    }


TAGS = ("latentfill", "image-completion", "inpainting", "gan")


def model_card(
    facts: Mapping[str, Any], name: str, license: str = "unknown", text: str | None = None, more: str | None = None
) -> str:
    """Markdown of the facts; a text, if given, takes the place of ours.

    `more`, an earlier text about the model, goes to the end, without pictures, which stay where they are.
    """
    import yaml

    if text and text.startswith("---"):  # the text has its own front matter
        return text
    matter = {"library_name": "latentfill", "pipeline_tag": "image-to-image", "license": license, "tags": list(TAGS)}
    body = text.strip() if text else "\n".join([*_body(facts, name, license), *_more(more)])
    return f"---\n{yaml.safe_dump(matter, sort_keys=False)}---\n\n{body}\n"


def _body(facts: Mapping[str, Any], name: str, license: str) -> list[str]:
    network, about = facts["network"], facts["about"]
    context = facts["kind"] != "gan"
    what = "A context encoder" if context else "A generative model"
    colours = "colour" if network["channels"] == 3 else "grey"
    rows = {"images": f"{network['size']}x{network['size']}, {colours}"}
    if not context:
        rows["latent"] = f"{network['latent']} numbers, {network['prior']}"
        rows["networks"] = str(network.get("networks", "dcgan"))
    rows |= {part: f"{count:,} parameters" for part, count in facts["parameters"].items()}
    rows["file"] = f"safetensors, {facts['bytes'] / 1e6:.1f} MB, stored as {', '.join(facts['stored_as'])}"
    rows |= {_words(key): _value(about[key]) for key in about if key not in ("trust", "options")}
    return [
        f"# {name}",
        "",
        f"{what} of pictures of {network['size']} pixels, made with `latentfill`, which completes pictures with it.",
        "What it puts into a hole is invented: it is no evidence of what is behind it.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in rows.items()),
        "",
        *(_context_use() if context else _use()),
        "## Licence and data",
        "",
        f"Licence: {license}. It says nothing of the pictures that the model has learnt from, whose licences may",
        "bind it, too: who shares it should name them here.",
        *_recipe(about.get("options")),
    ]


def _use() -> list[str]:
    return [
        "```python",
        "import latentfill",
        "",
        'gan = latentfill.from_pretrained("hf://OWNER/NAME")  # or the path of a folder with these files',
        "```",
        "",
        "`latentfill complete PICTURES --out DIR --model FOLDER` completes pictures with it.",
        "",
    ]


def _context_use() -> list[str]:
    return ["`latentfill evaluate PICTURES --out DIR --context FOLDER` compares it with others.", ""]


def _recipe(options: Any) -> list[str]:
    if not isinstance(options, Mapping):
        return []
    return ["", "## How it was trained", "", "| | |", "|---|---|"] + [
        f"| {_words(key)} | {_value(value)} |" for key, value in options.items()
    ]


def _more(text: str | None) -> list[str]:
    if not text:
        return []
    text = re.sub(r"^# .*$|^!\[.*$", "", text, flags=re.M)
    text = re.sub(r"\[([^]]*)\]\((?!http)[^)]*\)", r"\1", text)  # links to files that are not here
    return ["", re.sub(r"\n{3,}", "\n\n", text).strip()]


def _words(key: str) -> str:
    return key.replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(key)} {inner}" for key, inner in value.items())
    return (f"{value:,}" if type(value) is int else str(value)).replace("|", "\\|").replace("\n", " ")
