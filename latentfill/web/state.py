"""What every route is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from ..gan.gan import Gan
from ..options import ServeOptions
from .errors import Refused
from .metrics import Metrics
from .scheduler import Engine


@final
@dataclass(frozen=True)
class State:
    """One process of the server. The first of `gans` is used where none is named."""

    options: ServeOptions
    gans: Mapping[str, Gan]
    metrics: Metrics
    engine: Engine
    cards: Mapping[str, str]  # Markdown

    @property
    def default(self) -> str:
        return next(iter(self.gans))

    def gan(self, name: str | None) -> Gan:
        """A model by its name on the server's list, never by a path. Raises Refused (404) for any other."""
        found = self.gans.get(self.default if name is None else name)
        if found is None:
            raise Refused(404, f"there is no model {str(name)[:80]!r}", f"It is one of: {', '.join(self.gans)}.")
        return found
