"""Let the generator itself move a little for one image, so that what is known is met closely and the hole follows.

What moves are G's maps of 8x8, each image's own: so a batch is tuned at the price of as many steps of a search, where
weights of its own for every image would cost many times more. That they stay near is a term of the loss (Daras et al.
2021, "Intermediate layer optimization", hold them in a ball instead).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ..gan.gan import Prior, StagedGenerator
from ..types import Images, Latents
from .objective import Objective, Terms
from .search import Step, adam, cosine, search

Moves = Float[Tensor, "n _"]  # of the latent and of the maps, side by side: what is searched for

# Measured on faces (benchmarks/search.py): maps of 4x4 follow the known pixels less, and what is moved at 16x16 or
# beyond reaches too few pixels of a hole.
STAGES = 2  # up to maps of 8x8
LATENT_STEP = 0.2  # a latent's number moves so much while a map's moves by 1: it has far more effect
TETHER = 0.003  # what a latent's squared distance from its start costs; 0.001 to 0.01 make no difference


def optimise_maps(
    generator: StagedGenerator, objective: Objective, start: Latents, *, steps: int, rate: float, weight: float
) -> Iterator[Step]:
    """Follow the gradient of `objective` in the latents and the maps together, yielding every step, the start included.

    `rate` is Adam's for the maps, falling along half a cosine; `weight` is what a map's value costs that is off by 1.
    Each image moves by its own gradient alone. The terms are the objective's and `tuning`, the price of having moved.
    """
    start, d = start.detach(), start.shape[1]
    stages = min(STAGES, generator.depth)
    tuned = MapMoves(generator, start, stages, generator.map_scale(start, stages))

    def with_price(z: Moves, images: Images) -> Terms:
        price = weight * z[:, d:].square().sum(1) + TETHER * (LATENT_STEP * z[:, :d]).square().sum(1)
        return objective(tuned.latents(z), images) | {"tuning": price}

    still = start.new_zeros(len(start), d + generator.begin(start, stages)[0].numel())
    found = search(tuned, with_price, still, steps=steps, optimizer=adam(rate), schedule=cosine, project=tuned.project)
    return (replace(step, z=tuned.latents(step.z)) for step in found)


@final
@dataclass(frozen=True)
class MapMoves:
    """A generator for every image. Its z are moves: of the image's latent from `start`, then of its maps."""

    generator: StagedGenerator
    start: Latents
    stages: int
    scale: float | Tensor

    @property
    def prior(self) -> Prior:
        """That of the latents."""
        return self.generator.prior

    def __call__(self, z: Moves) -> Images:
        maps = self.generator.begin(self.latents(z), self.stages) / self.scale
        n, c, h, w = maps.shape
        moved = z[:, self.start.shape[1] :].view(n, h, w, c).permute(0, 3, 1, 2)  # as they lie in memory
        return self.generator.finish((maps + moved) * self.scale, self.stages)

    def latents(self, z: Moves) -> Latents:
        """Where the latents have moved to."""
        return self.start + LATENT_STEP * z[:, : self.start.shape[1]]

    def project(self, z: Moves) -> Moves:
        """The nearest moves that leave the latents where the prior wants them."""
        back = (self.prior.project(self.latents(z)) - self.start) / LATENT_STEP
        return torch.cat([back, z[:, self.start.shape[1] :]], 1)
