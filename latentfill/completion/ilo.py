"""Intermediate-layer optimisation (ILO): move the generator's maps, so that the hole follows what is known.

The search moves each image's own maps of 8x8 in G. So a whole batch is searched at once; separate weights for every
image would cost many times more. A term of the loss keeps the maps near their start; Daras et al. (2021),
"Intermediate layer optimization for inverse problems using deep generative models", hold them in a ball instead.
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

Moves = Float[Tensor, "n _"]  # changes of the latent and of the maps, side by side: the variables of the search

# Measured on faces (benchmarks/search.py): maps of 4x4 follow the known pixels less closely, and changes at 16x16 or
# larger reach too few pixels of a hole.
STAGES = 2  # up to maps of 8x8
LATENT_STEP = 0.2  # step of a latent's number relative to that of a map's: it has far more effect
TETHER = 0.003  # weight of a latent's squared distance from its start; 0.001 to 0.01 make no difference


def optimise_maps(
    generator: StagedGenerator, objective: Objective, start: Latents, *, steps: int, rate: float, weight: float
) -> Iterator[Step]:
    """Follow the gradient of `objective` in the latents and the maps together, yielding every step, the start included.

    `rate` is Adam's for the maps, falling along half a cosine; `weight` is what a map's value costs that is off by 1.
    Each image moves by its own gradient alone. The terms are the objective's and `tuning`, the penalty.
    """
    start, d = start.detach(), start.shape[1]
    stages = min(STAGES, generator.depth)
    movable = MapMoves(generator, start, stages, generator.map_scale(start, stages))

    def penalised(z: Moves, images: Images) -> Terms:
        penalty = weight * z[:, d:].square().sum(1) + TETHER * (LATENT_STEP * z[:, :d]).square().sum(1)
        return objective(movable.latents(z), images) | {"tuning": penalty}

    moves = start.new_zeros(len(start), d + generator.begin(start, stages)[0].numel())
    optimizer, project = adam(rate), movable.project
    for step in search(movable, penalised, moves, steps=steps, optimizer=optimizer, schedule=cosine, project=project):
        yield replace(step, z=movable.latents(step.z))


@final
@dataclass(frozen=True)
class MapMoves:
    """A generator for every image, of moves: of its latent from `start`, then of its maps in units of `scale`."""

    generator: StagedGenerator
    start: Latents
    stages: int
    scale: float | Tensor

    @property
    def prior(self) -> Prior:
        """The prior of the latents."""
        return self.generator.prior

    def __call__(self, z: Moves) -> Images:
        maps = self.generator.begin(self.latents(z), self.stages) / self.scale
        n, c, h, w = maps.shape
        moves = z[:, self.start.shape[1] :].view(n, h, w, c).permute(0, 3, 1, 2)  # in memory order
        return self.generator.finish((maps + moves) * self.scale, self.stages)

    def latents(self, z: Moves) -> Latents:
        """The latents after such moves."""
        return self.start + LATENT_STEP * z[:, : self.start.shape[1]]

    def project(self, z: Moves) -> Moves:
        """The nearest moves that leave the latents where the prior wants them."""
        back = (self.prior.project(self.latents(z)) - self.start) / LATENT_STEP
        return torch.cat([back, z[:, self.start.shape[1] :]], 1)
