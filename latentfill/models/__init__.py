"""The models that ship with the package, and how a model is named."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..options.bounds import DEFAULT_MODEL

if TYPE_CHECKING:
    from ..gan.encoder import ContextEncoder
    from ..gan.gan import Gan

FOLDER = Path(__file__).parent
DEFAULT = DEFAULT_MODEL


def names() -> list[str]:
    """The names of the models in the package."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def find(model: str | Path) -> Path:
    """The file of a model, given its name, the file itself, the folder of a run, or one that was pushed to.

    Raises ModelError without one, and for a pushed folder whose files do not belong together.
    """
    from . import hub

    if hub.is_repository(model):
        cure = "Fetch it first, hf download OWNER/NAME --local-dir FOLDER, and give that folder."
        raise ModelError(f"{model}: models are not downloaded here", cure)
    path = Path(model)
    if path.suffix == ".safetensors" or path.is_file():
        if path.is_file():
            return path
        raise ModelError(f"{path}: no such file", _cure())
    if path.is_dir() and str(model) not in names():
        if hub.is_pushed(path):
            hub.check(path)
        if (path / "model.safetensors").is_file():
            return path / "model.safetensors"
        raise ModelError(f"{path} holds no model.safetensors", "A run has one after its first checkpoint.")
    if str(model) in names():
        return FOLDER / f"{model}.safetensors"
    raise ModelError(f"there is no model {str(model)!r}", _cure())


def title(path: Path) -> str:
    """The name of the model in a file: the file's or, where all are called the same, its folder's."""
    return path.resolve().parent.name if path.name == "model.safetensors" else path.stem


def load(model: str | Path = DEFAULT, device: str = "cpu", class_name: str | None = None) -> "Gan":
    """Read a model by name or file, ready to complete on `device` (cpu, cuda, cuda:1, mps, auto).

    Of a model of classes one is selected: the one named, or the one that most of its pictures had.
    """
    from ..device import choose_device
    from ..gan.model_file import load as load_file
    from ..gan.residual import select_class

    return select_class(load_file(find(model), choose_device(device)), class_name)


def from_pretrained(name: str | Path, *, revision: str | None = None, device: str = "cpu") -> "Gan":
    """Read a model that was pushed: from its folder, or from a repository of the Hugging Face hub, hf://OWNER/NAME.

    Only the second is downloaded, once, and only model.safetensors and config.json: never code. A `revision` is a
    branch, tag or commit of the repository. The names of models in the package are understood as well.
    Raises ModelError when the files are not what they say; ExtraError when huggingface_hub is needed and missing.
    """
    from . import hub

    if hub.is_repository(name):
        name = hub.fetch(str(name), revision)
    elif revision is not None:
        raise ValueError(f"only a repository, hf://OWNER/NAME, has revisions, not {str(name)!r}")
    if str(name) not in names():
        if not Path(name).is_dir():
            raise ModelError(f"there is no folder {str(name)!r}", "For a repository of the hub write hf://OWNER/NAME.")
        hub.check(Path(name))
    return load(name, device)


def load_context(model: str | Path, device: str = "cpu") -> "ContextEncoder":
    """Read a context encoder by file or run folder, ready to predict on `device`."""
    from ..device import choose_device
    from ..gan.model_file import load_context as load_file

    return load_file(find(model), choose_device(device))


def _cure() -> str:
    return f"Give a model file, a run folder, or one of the names: {', '.join(names()) or '(none in this package)'}."
