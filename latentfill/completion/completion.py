"""What a search answers: a Completion, made of the attempts that are ahead."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..types import Images, Latents, PerImage
from .held_out import GREY_LEVEL
from .objective import Terms
from .restarts import SuccessiveHalving, rank_rows
from .search import Step

DeviationMap = Float[Tensor, "_ 1 _ _"]


@final
@dataclass(frozen=True)
class Completion:
    """The best of the attempts at each image after `number` steps of `total`. Blend `images` with the known pixels.

    `terms` are the weighted losses, whose sum is `loss`; `attempt` says which start each image comes from, counted
    from 0; `notes` are what the search adds (`accepted` of HMC). `others` are the next best attempts, as many as the
    options ask for candidates, the best of them first.

    `held_out` is the error on known pixels that the search did not see, a root mean square in grey levels; `spread` is
    how far the attempts differ at each pixel, a standard deviation in grey levels [n, 1, h, w]. None without.
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
        terms, notes = ({name: term[rows] for name, term in group.items()} for group in (self.terms, self.notes))
        return replace(
            self,
            images=self.images[rows],
            z=self.z[rows],
            terms=terms,
            loss=self.loss[rows],
            attempt=self.attempt[rows],
            notes=notes,
            others=tuple(other.select(rows) for other in self.others),
            held_out=None if self.held_out is None else self.held_out[rows],
            spread=None if self.spread is None else self.spread[rows],
        )


def concatenate(parts: Sequence[Completion]) -> Completion:
    """Completions of several questions, at the same step, as one. Raises ValueError for none."""
    if not parts:
        raise ValueError("there is nothing to concatenate")

    def joined(tensors: Iterable[Tensor | None]) -> Tensor | None:
        found = [tensor for tensor in tensors if tensor is not None]
        return torch.cat(found) if found else None

    def named(groups: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.cat([group[name] for group in groups]) for name in groups[0]}

    return replace(
        parts[0],
        images=torch.cat([part.images for part in parts]),
        z=torch.cat([part.z for part in parts]),
        terms=named([part.terms for part in parts]),
        loss=torch.cat([part.loss for part in parts]),
        attempt=torch.cat([part.attempt for part in parts]),
        notes=named([part.notes for part in parts]),
        others=tuple(concatenate(others) for others in zip(*(part.others for part in parts), strict=True)),
        held_out=joined(part.held_out for part in parts),
        spread=joined(part.spread for part in parts),
    )


def best_of(
    step: Step, race: SuccessiveHalving, candidates: int, score: PerImage, held_out: PerImage | None = None
) -> Completion:
    """The attempt at each image with the smallest score; with more candidates, the next ones too."""
    order = rank_rows(score, race.left)[:, :candidates]
    first, *others = (_chosen(step, race, order[:, k], held_out) for k in range(candidates))
    return replace(first, others=tuple(others))


def _chosen(
    step: Step, race: SuccessiveHalving, place: Int[Tensor, " n"], held_out: Float[Tensor, " _"] | None
) -> Completion:
    """One attempt at each image, by its place among those that are left."""
    n, k = race.labels.shape
    rows = place + k * torch.arange(n, device=place.device)
    terms, notes = ({name: term[rows] for name, term in group.items()} for group in (step.terms, step.notes))
    attempt = race.labels.to(place).gather(1, place[:, None])[:, 0]
    images = step.images if k == 1 else step.images[rows]
    held_out = None if held_out is None else held_out[rows]
    return Completion(step.number, images, step.z[rows], terms, step.loss[rows], attempt, notes, held_out=held_out)


def standard_deviation(images: Images, attempts: int) -> DeviationMap | None:
    """How far the attempts at each image differ, or None for a single one."""
    if attempts == 1:
        return None
    variance: Tensor = images.view(-1, attempts, *images.shape[1:]).var(1).mean(1, keepdim=True)
    return variance.sqrt() / GREY_LEVEL
