"""What a model file says about itself, read without torch."""

import json
from math import prod
from pathlib import Path
from typing import Any

from ..errors import ModelError


def facts(path: Path) -> dict[str, Any]:
    """What a model file holds: networks, parameters, how it was made. Raises ModelError if it is none."""
    header = read_header(path)
    try:
        metadata = header.pop("__metadata__", {})
        about: dict[str, Any] = json.loads(metadata["latentfill"])
        return _facts(path, header, about)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not a latentfill model", "Use one made by `latentfill train`.") from error


def read_header(path: Path) -> Any:
    """The header of a safetensors file: eight bytes of length, little-endian, then so many of JSON."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size, 100_000_000):
            raise ModelError(f"{path}: not a safetensors file", "Give a file made by `latentfill train`.")
        try:
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
        "about": about["about"],
        "tensors": {name: list(shape) for name, shape in tensors.items()},
    }
