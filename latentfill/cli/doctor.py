"""latentfill doctor: what is there, what is missing, and how to get it."""

import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

EXTRAS = {
    "faces": "photos of any size",
    "web": "the page and the HTTP API",
    "ray": "--engine ray",
    "store": "training from an object store",
    "onnx": "export",
    "hub": "push to a repository",
}


@dataclass(frozen=True)
class Options:
    """Report versions, device, threads, missing extras, models, and the size of the cache.

    Missing extras are no error: each says what it is for, and how to install it.
    """

    json: bool = False
    """print everything, as JSON"""


def run(options: Options) -> int:
    """Print what is there."""
    facts = inspect()
    if options.json:
        json.dump(facts, sys.stdout, indent=2)
        print()
    else:
        print("\n".join(_lines(facts)))
    return 0


def inspect() -> dict[str, Any]:
    """Everything that a report of a problem should say, as JSON has it."""
    import torch

    from ..batch.workers import cores
    from ..device import choose_device, choose_precision
    from ..models import FOLDER, names
    from ..runs.data import default_cache
    from ..version import __version__

    device, cache = choose_device("auto"), default_cache()
    return {
        "latentfill": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "precision": str(choose_precision("auto", device)).removeprefix("torch."),
        "extras": {extra: missing_packages(extra) for extra in EXTRAS},
        "models": {name: (FOLDER / f"{name}.safetensors").stat().st_size for name in names()},
        "cache": {"folder": str(cache), "bytes": folder_size(cache)},
    }


def missing_packages(extra: str) -> list[str]:
    """The packages of an extra that are not installed, by name."""
    missing = []
    try:
        requirements = requires("latentfill") or ()
    except PackageNotFoundError:  # it is not installed, but run from its source folder
        requirements = ()
    for requirement in requirements:
        if re.search(rf"extra == ['\"]{extra}['\"]", requirement):
            name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
            try:
                version(name)
            except PackageNotFoundError:
                missing.append(name)
    return missing


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder; 0 if there is none."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    from ..options.bounds import DEFAULT_MODEL

    versions = f"Python {facts['python']}, torch {facts['torch']}, {facts['system']}"
    yield f"latentfill  {facts['latentfill']}, {versions}"
    device = ", ".join(filter(None, (facts["device"], facts["gpu"])))
    yield f"device      {device}, computes in {facts['precision']}"
    yield f"threads     {facts['threads']} on {facts['cores']} cores (--threads)"
    for extra, missing in facts["extras"].items():
        install = f"{', '.join(missing)} missing: pip install 'latentfill[{extra}]'"
        yield f"extra       {extra:6} ({EXTRAS[extra]}) {install if missing else 'ok'}"
    for name, size in facts["models"].items():
        yield f"model       {name}, {size / 1e6:.1f} MB{' (default)' if name == DEFAULT_MODEL else ''}"
    folder, size = facts["cache"]["folder"], facts["cache"]["bytes"]
    cure = f"; to clear it: rm -r {folder}" if os.path.isdir(folder) else ""
    yield f"cache       {folder}, {size / 1e6:,.1f} MB{cure}"
