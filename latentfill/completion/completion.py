"""The result of a search: a Completion, made of the best restarts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..images.pixels import GREY_LEVEL
from ..types import Images, Latents, PerImage
from .objective import Terms
from .restarts import SuccessiveHalving, rank_rows
from .search import Step

DeviationMap = Float[Tensor, "_ 1 _ _"]


@final
@dataclass(frozen=True)
class Completion:
    """The best restart at each image after `number` steps of `total`. Blend `images` with the known pixels.

    `terms` are the weighted losses, whose sum is `loss`; `attempt` is the number of the restart that each image comes
    from, from 0; `notes` are what the search adds (`accepted` of HMC). `others` are the next best restarts, as many as
    the options ask for candidates, the best of them first.

    `held_out` is the root mean square error on known pixels that the search did not see, in grey levels. `spread`
    [n, 1, h, w] is the standard deviation of the restarts at each pixel, in grey levels. None without.
    `conditional` says that a completer drew it: `z` means something to that alone, given what is known.
    """

    number: int
    images: Images
    z: Latents
    terms: Terms
    loss: PerImage
    attempt: Int[Tensor, " n"]
    notes: Terms = field(default_factory=dict)
    others: tuple["Completion", ...] = ()
    total: int = 0
    held_out: PerImage | None = None
    spread: DeviationMap | None = None
    conditional: bool = False

    @property
    def candidates(self) -> tuple["Completion", ...]:
        """This one and the others, the best first."""
        return (self, *self.others)

    def select(self, rows: slice) -> "Completion":
        """Those images alone."""
        tensors = {name: getattr(self, name) for name in ("images", "z", "loss", "attempt", "held_out", "spread")}
        kept: dict[str, Any] = {name: None if one is None else one[rows] for name, one in tensors.items()}
        return replace(
            self,
            terms=_select(self.terms, rows),
            notes=_select(self.notes, rows),
            others=tuple(other.select(rows) for other in self.others),
            **kept,
        )


def best_of(
    step: Step, restarts: SuccessiveHalving, candidates: int, score: PerImage, held_out: PerImage | None = None
) -> Completion:
    """The restart at each image with the smallest score; with more candidates, the next ones too."""
    n, k = restarts.labels.shape
    completions = []
    for place in rank_rows(score, k)[:, :candidates].T:
        rows = place + k * torch.arange(n, device=place.device)
        completions.append(
            Completion(
                step.number,
                step.images if k == 1 else step.images[rows],
                step.z[rows],
                _select(step.terms, rows),
                step.loss[rows],
                restarts.labels.to(place).gather(1, place[:, None])[:, 0],
                _select(step.notes, rows),
                held_out=None if held_out is None else held_out[rows],
            )
        )
    return replace(completions[0], others=tuple(completions[1:]))


def standard_deviation(images: Images, restarts: int) -> DeviationMap | None:
    """The standard deviation of each image's restarts at each pixel, in grey levels; None for a single restart."""
    if restarts == 1:
        return None
    variance: Tensor = images.view(-1, restarts, *images.shape[1:]).var(1).mean(1, keepdim=True)
    return variance.sqrt() / GREY_LEVEL


def _select(terms: Mapping[str, Tensor], rows: slice | Tensor) -> dict[str, Tensor]:
    return {name: term[rows] for name, term in terms.items()}
