"""latentfill info: what a model file holds, read from its header alone."""

import json
import sys
from dataclasses import dataclass
from typing import Any

from tyro.conf import Positional

from ..options.bounds import DEFAULT_MODEL


@dataclass(frozen=True)
class Options:
    """Describe a model file: networks, parameters, how it was made. Needs no torch."""

    model: Positional[str] = DEFAULT_MODEL
    """name of a model in the package, a model file, a run folder, or a folder made by `push`"""
    json: bool = False
    """print everything, as JSON"""


def run(options: Options) -> int:
    """Print the header of one model file."""
    from ..models import find
    from ..models.card import facts as read

    facts = read(find(options.model))
    if options.json:
        json.dump(facts, sys.stdout, indent=2)
        print()
    else:
        print("\n".join(_format(facts)))
    return 0


def _format(facts: dict[str, Any]) -> list[str]:
    network = facts["network"]
    return [
        f"{facts['file']}  {facts['bytes'] / 1e6:.1f} MB  {facts['format']}  stored as {', '.join(facts['stored_as'])}",
        f"images         {network['size']}x{network['size']}, {network['channels']} channels",
        *(_format_context(facts) if facts["kind"] == "context-encoder" else _format_gan(facts)),
        *_format_calibration(facts["about"].get("trust", {})),
        *_format_about({name: value for name, value in facts["about"].items() if name != "trust"}),
    ]


def _format_gan(facts: dict[str, Any]) -> list[str]:
    network, parameters = facts["network"], facts["parameters"]
    return [
        f"latent         {network['latent']} numbers, {network['prior']}",
        f"generator      {parameters['generator']:,} parameters, widths of the {network['widths']}",
        f"discriminator  {parameters['discriminator']:,} parameters",
        f"encoder        {parameters['encoder']:,} parameters" if facts["encoder"] else "encoder        none",
        f"completer      {parameters['completer']:,} parameters" if facts["completer"] else "completer      none",
        f"upsampler      {parameters['upsampler']:,} parameters" if facts["upsampler"] else "upsampler      none",
    ]


def _format_calibration(trust: dict[str, Any]) -> list[str]:
    """A line for each preset: how well the errors of its completions are predicted."""
    found = {name: one["measured"] for name, one in trust.items()}
    return [
        f"calibrated     {name}: rank correlation {one['rank_correlation']:.2f} of predicted with true errors, "
        f"{one['completions']:,} completions of {one['pictures']:,} pictures, {one['date']}"
        for name, one in found.items()
    ]


def _format_context(facts: dict[str, Any]) -> list[str]:
    skips = "with skips (a U-Net)" if facts["network"]["skips"] else "without skips"
    return [f"network        context encoder, {skips}, {facts['parameters']['context']:,} parameters"]


def _format_about(about: dict[str, Any], indent: str = "") -> list[str]:
    lines, width = [], 24 if indent else 14
    for name, value in about.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_format_about(value, f"{indent}  ")]
        else:
            number = type(value) is int and not indent
            label = name if indent else name.replace("_", " ")
            lines.append(f"{indent}{label:{width}} {format(value, ',') if number else value}")
    return lines
