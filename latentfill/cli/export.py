"""latentfill export: a model for other programs."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from ..errors import LatentfillError


@dataclass(frozen=True)
class Options:
    """Write the generator, and the encoder if the model has one, as files that other programs can run.

    Each file is compared with the model before it gets its name. Its metadata say what it takes and gives, and so do
    README.md and export.json beside it.
    """

    model: Positional[str]
    """name of a model in the package, a model file, a run folder, or a folder made by `push`"""
    out: Positional[Path]
    """folder to write to"""
    onnx: bool = False
    """as ONNX: generator.onnx (z -> images) and encoder.onnx (images, known -> z), in float32"""


def run(options: Options) -> int:
    """Export, and print the path of each file, its size and how far it is from the model."""
    if not options.onnx:
        raise LatentfillError("there is no format to export to", "Add --onnx.")
    from ..models import find, load, title
    from ..models.onnx import write_onnx

    for one in write_onnx(load(options.model), options.out, title(find(options.model))):
        size = f"{one.path.stat().st_size / 1e6:.1f} MB"
        difference = "not compared with PyTorch: onnxruntime is not installed"
        if one.difference is not None:
            difference = f"largest difference from PyTorch {one.difference:.1e}"
        print(f"{one.path}  {size}  {difference}")
    return 0
