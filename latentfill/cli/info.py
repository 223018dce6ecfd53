"""latentfill info: what a model file holds, read from its header alone."""

import json
import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from ..errors import ModelError


@dataclass(frozen=True)
class Options:
    """Say what a model file holds: networks, parameters, how it was made. Needs no torch."""

    model: Positional[str] = "faces-64-dcgan"
    """name of a model in the package, a model file, or a run folder"""
    json: bool = False
    """print everything, as JSON"""


def run(options: Options) -> int:
    """Print the header of one model file."""
    from ..models import find

    path = find(options.model)
    header = read_header(path)
    try:
        metadata = header.pop("__metadata__", {})
        about: dict[str, Any] = json.loads(metadata["latentfill"])
        facts = _facts(path, header, about)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not a latentfill model", "Use one made by `latentfill train`.") from error
    if options.json:
        json.dump(facts, sys.stdout, indent=2)
        print()
    else:
        print("\n".join(_lines(facts)))
    return 0


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
        "about": about["about"],
        "tensors": {name: list(shape) for name, shape in tensors.items()},
    }


def read_header(path: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file: eight bytes of length, little-endian, then so many of JSON."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size, 100_000_000):
            raise ModelError(f"{path}: not a safetensors file", "Give a file made by `latentfill train`.")
        try:
            header: dict[str, Any] = json.loads(file.read(length))
        except ValueError as error:
            raise ModelError(f"{path}: not a safetensors file", "Give a file made by `latentfill train`.") from error
    return header


def _lines(facts: dict[str, Any]) -> list[str]:
    network = facts["network"]
    return [
        f"{facts['file']}  {facts['bytes'] / 1e6:.1f} MB  {facts['format']}  stored as {', '.join(facts['stored_as'])}",
        f"images         {network['size']}x{network['size']}, {network['channels']} channels",
        *(_context(facts) if facts["kind"] == "context-encoder" else _gan(facts)),
        *_calibrated(facts["about"].get("trust", {})),
        *_told({name: value for name, value in facts["about"].items() if name != "trust"}),
    ]


def _gan(facts: dict[str, Any]) -> list[str]:
    network, parameters = facts["network"], facts["parameters"]
    return [
        f"latent         {network['latent']} numbers, {network['prior']}",
        f"generator      {parameters['generator']:,} parameters, widths of the {network['widths']}",
        f"discriminator  {parameters['discriminator']:,} parameters",
        f"encoder        {parameters['encoder']:,} parameters" if facts["encoder"] else "encoder        none",
    ]


def _calibrated(trust: dict[str, Any]) -> list[str]:
    """How well the errors of its completions can be told, for each preset."""
    found = {name: one["measured"] for name, one in trust.items()}
    return [
        f"calibrated     {name}: rank correlation {one['rank_correlation']:.2f} of predicted with true errors, "
        f"{one['completions']:,} completions of {one['pictures']:,} pictures, {one['date']}"
        for name, one in found.items()
    ]


def _context(facts: dict[str, Any]) -> list[str]:
    skips = "with skips (a U-Net)" if facts["network"]["skips"] else "without skips"
    return [f"network        context encoder, {skips}, {facts['parameters']['context']:,} parameters"]


def _told(about: dict[str, Any], indent: str = "") -> list[str]:
    lines, width = [], 24 if indent else 14
    for name, value in about.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_told(value, f"{indent}  ")]
        else:
            number = type(value) is int and not indent
            label = name if indent else name.replace("_", " ")
            lines.append(f"{indent}{label:{width}} {format(value, ',') if number else value}")
    return lines
