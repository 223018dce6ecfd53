"""The models that a server offers: read when it starts, and known by name alone from then on."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from .. import models
from ..errors import ModelError
from ..gan.gan import Gan
from ..models import pushed
from ..models.card import card
from ..models.header import facts
from ..options import ServeOptions


class Loaded(NamedTuple):
    """Models and their cards, by name; the first is used where none is named."""

    gans: Mapping[str, Gan]
    cards: Mapping[str, str]


def load(options: ServeOptions) -> Loaded:
    """Read every model that the options name. Raises ModelError for one that cannot be read, or two of one name."""
    gans: dict[str, Gan] = {}
    cards: dict[str, str] = {}
    for model in options.models or shipped():
        path = models.find(model)
        name = models.title(path)
        if name in gans:
            raise ModelError(f"two models are called {name!r}", "Rename the file of one.")
        gans[name] = models.load(model, options.device)
        cards[name] = _card(path, name)
    return Loaded(gans, cards)


def shipped() -> list[str]:
    """The models in the package, the default first."""
    return sorted(models.names(), key=lambda name: name != models.DEFAULT)


def share_threads(options: ServeOptions) -> None:
    """Give this process its part of the processor."""
    torch.set_num_threads(options.threads or max(1, torch.get_num_threads() // options.workers))


def _card(path: Path, name: str) -> str:
    """What was written of the model, without the front matter that a hub reads; or what its file says."""
    for beside in (path.with_suffix(".md"), path.parent / pushed.CARD):
        if beside.is_file() and (
            beside.suffix == ".md" and (beside.stem == path.stem or pushed.is_pushed(path.parent))
        ):
            return _plain(beside.read_text(errors="replace"))
    return _plain(card(facts(path), name))


def _plain(text: str) -> str:
    if text.startswith("---\n") and (end := text.find("\n---\n", 3)) >= 0:
        return text[end + 5 :].lstrip()
    return text
