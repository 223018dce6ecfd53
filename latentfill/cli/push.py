"""latentfill push: share a model."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from ..errors import LatentfillError, cure


@dataclass(frozen=True)
class Options:
    """Share a model: model.safetensors, config.json and a model card, README.md.

    They go into a folder or, with hf://OWNER/NAME, into a repository of the Hugging Face hub; log in there first. In
    Python, `latentfill.from_pretrained` reads both. All verbs take the folder as MODEL.
    """

    model: Positional[str]
    """name of a model in the package, a model file, a run folder, or a folder pushed to before"""
    to: Positional[str]
    """folder, or hf://OWNER/NAME"""
    license: str = "unknown"
    """licence of the model, by its name on the hub: mit, cc-by-nc-4.0, other, ..."""
    card: Path | None = None
    """Markdown file for the text of the model card; without it, one is written unless there is one already"""
    public: bool = False
    """show a new repository to everybody; without, only to you"""


def run(options: Options) -> int:
    """Push, and print the path of each file, or the address of the repository."""
    from ..models import find, hub, title

    text = _read(options.card)
    path = find(options.model)
    stays = not hub.is_repository(options.to) and (Path(options.to) / hub.CARD).exists()
    if text is None and not stays and hub.is_pushed(path.parent):  # the card there may have been written by hand
        text = _read(path.parent / hub.CARD) if (path.parent / hub.CARD).is_file() else None
    if hub.is_repository(options.to):
        hub.upload(path, options.to, options.license, text, public=options.public)
        print(options.to)
        return 0
    name = Path(options.to).resolve().name or title(path)
    for made in hub.write(path, Path(options.to), name, options.license, text):
        print(made)
    return 0


def _read(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text()
    except OSError as error:
        raise LatentfillError(f"{path} cannot be read: {error.strerror}", cure(error)) from error
    except UnicodeDecodeError as error:
        raise LatentfillError(f"{path} cannot be read: {error}", "Give a Markdown file.") from error
