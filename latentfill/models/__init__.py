"""The models that ship with the package, and how a model is named."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError

if TYPE_CHECKING:
    from ..gan.context import ContextEncoder
    from ..gan.gan import Gan

FOLDER = Path(__file__).parent
DEFAULT = "faces-64-dcgan"
# What the files of the first models do not say themselves; `train` writes it into newer ones.
ALIGNMENTS = {"faces-64-dcgan": {"landmarks": "inner-eyes-and-bottom-lip", "similarity": False, "margin": 1.0}}


def names() -> list[str]:
    """The names of the models in the package."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def find(model: str | Path) -> Path:
    """The file of a model, given its name, the file itself, or the folder of a run. Raises ModelError without one."""
    path = Path(model)
    if path.suffix == ".safetensors" or path.is_file():
        if path.is_file():
            return path
        raise ModelError(f"{path}: no such file", _cure())
    if path.is_dir() and str(model) not in names():
        if (path / "model.safetensors").is_file():
            return path / "model.safetensors"
        raise ModelError(f"{path} holds no model.safetensors", "A run has one after its first checkpoint.")
    if str(model) in names():
        return FOLDER / f"{model}.safetensors"
    raise ModelError(f"there is no model {str(model)!r}", _cure())


def load(model: str | Path = DEFAULT, device: str = "cpu", class_name: str | None = None) -> "Gan":
    """Read a model by name or file, ready to complete on `device` (cpu, cuda, cuda:1, mps, auto).

    One that knows classes is asked for one of them: the one named, or the one that most of its pictures had.
    """
    from ..gan.checkpoint import load as load_file
    from ..gan.device import choose_device
    from ..gan.residual.classes import of_class

    path = find(model)
    gan = of_class(load_file(path, choose_device(device)), class_name)
    if path.parent == FOLDER and "alignment" not in gan.about and path.stem in ALIGNMENTS:
        return replace(gan, about={**gan.about, "alignment": ALIGNMENTS[path.stem]})
    return gan


def load_context(model: str | Path, device: str = "cpu") -> "ContextEncoder":
    """Read a context encoder by file or run folder, ready to predict on `device`."""
    from ..gan.checkpoint import load_context as load_file
    from ..gan.device import choose_device

    return load_file(find(model), choose_device(device))


def _cure() -> str:
    return f"Give a model file, a run folder, or one of the names: {', '.join(names()) or '(none in this package)'}."
