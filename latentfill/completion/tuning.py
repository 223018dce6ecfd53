"""Let the generator itself move a little for one image, so that what is known is met closely and the hole follows.

What moves are G's maps of 8x8, each image's own: so a batch is tuned at the price of as many steps of a search, where
weights of its own for every image would cost many times more. That they stay near is a term of the loss (Daras et al.
2021, "Intermediate layer optimization", hold them in a ball instead).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..gan.dcgan import START
from ..gan.fused import FusedGenerator
from ..gan.gan import Generator, Prior
from ..gan.residual import ResidualGenerator
from ..gan.stride2 import up
from ..types import Images, Latents
from .objective import Objective, Terms
from .search import Step, adam, cosine, search

Maps = Float[Tensor, "n _ _ _"]
Moves = Float[Tensor, "n _"]  # of the latent and of the maps, side by side: what is searched for

# Measured on faces (benchmarks/search.py): maps of 4x4 follow the known pixels less, and what is moved at 16x16 or
# beyond reaches too few pixels of a hole.
LEVEL = 1
LATENT_STEP = 0.2  # a latent's number moves so much while a map's moves by 1: it has far more effect
TETHER = 0.003  # what a latent's squared distance from its start costs; 0.001 to 0.01 make no difference


@final
@dataclass(frozen=True)
class Split:
    """A generator in two parts, z -> maps -> images. Batch norm has given the maps the size of 1."""

    generator: FusedGenerator
    level: int

    def maps(self, z: Latents) -> Maps:
        """What the generator has drawn after so many doublings, before the activation."""
        g = self.generator
        x = F.linear(z.to(g.weights[0].dtype), g.weights[0], g.biases[0])
        x = x.view(len(z), -1, START, START).contiguous(memory_format=torch.channels_last)
        return self._doubled(x, 1, self.level + 1)

    def images(self, maps: Maps) -> Images:
        """The rest of the way."""
        x = self._doubled(maps.to(self.generator.weights[0].dtype), self.level + 1, len(self.generator.weights))
        return torch.tanh(x.float())

    def _doubled(self, x: Tensor, first: int, last: int) -> Tensor:
        for weight, bias in zip(self.generator.weights[first:last], self.generator.biases[first:last], strict=True):
            x = up(F.relu(x), weight) + bias  # not in place: the maps are still wanted
        return x


@final
@dataclass(frozen=True)
class ResidualSplit:
    """A generator of residual blocks in two parts. Nothing normalises its maps, so they are measured by `scale`."""

    generator: ResidualGenerator
    stages: int
    scale: float
    """by how much a map's values usually differ from their mean"""

    def maps(self, z: Latents) -> Maps:
        """What the generator has drawn after so many stages, as multiples of what is usual."""
        return self.generator.begin(z, None, self.stages) / self.scale

    def images(self, maps: Maps) -> Images:
        """The rest of the way."""
        return self.generator.finish(maps * self.scale, self.stages)


@runtime_checkable
class Parts(Protocol):
    """A generator in two parts, z -> maps -> images."""

    @property
    def generator(self) -> Generator: ...

    def maps(self, z: Latents) -> Maps:
        """What it has drawn after so many stages, as multiples of what is usual."""

    def images(self, maps: Maps) -> Images:
        """The rest of the way."""


def split(generator: Generator) -> Parts | None:
    """The generator in two parts, if it is of a kind that can be taken apart."""
    if isinstance(generator, ResidualGenerator):
        stages = min(LEVEL + 1, len(generator.stages))
        with torch.no_grad():
            usual = generator.begin(generator.prior.sample(range(16)).to(device_of(generator)), None, stages)
        return ResidualSplit(generator, stages, max(1e-6, float(usual.float().std(0).mean())))
    if not isinstance(generator, FusedGenerator):
        return None
    return Split(generator, min(LEVEL, len(generator.weights) - 2))


def tune(
    parts: Parts, objective: Objective, start: Latents, *, steps: int, rate: float, weight: float
) -> Iterator[Step]:
    """Follow the gradient of `objective` in the latents and the maps together, yielding every step, the start included.

    `rate` is Adam's for the maps, falling along half a cosine; `weight` is what a map's value costs that is off by 1.
    Each image moves by its own gradient alone. The terms are the objective's and `tuning`, the price of having moved.
    """
    tuned = Tuned(parts, start.detach())
    d = start.shape[1]

    def with_price(z: Moves, images: Images) -> Terms:
        price = weight * z[:, d:].square().sum(1) + TETHER * (LATENT_STEP * z[:, :d]).square().sum(1)
        return objective(tuned.latents(z), images) | {"tuning": price}

    still = start.new_zeros(len(start), d + parts.maps(start)[0].numel())
    found = search(tuned, with_price, still, steps=steps, optimizer=adam(rate), schedule=cosine, project=tuned.project)
    return (replace(step, z=tuned.latents(step.z)) for step in found)


def device_of(generator: ResidualGenerator) -> torch.device:
    """Where it computes."""
    return next(generator.parameters()).device


@final
@dataclass(frozen=True)
class Tuned:
    """A generator for every image. Its z are moves: of the image's latent from `start`, then of its maps."""

    parts: Parts
    start: Latents

    @property
    def prior(self) -> Prior:
        """That of the latents."""
        return self.parts.generator.prior

    def __call__(self, z: Moves) -> Images:
        maps = self.parts.maps(self.latents(z))
        n, c, h, w = maps.shape
        moved = z[:, self.start.shape[1] :].view(n, h, w, c).permute(0, 3, 1, 2)  # as they lie in memory
        return self.parts.images(maps + moved)

    def latents(self, z: Moves) -> Latents:
        """Where the latents have moved to."""
        return self.start + LATENT_STEP * z[:, : self.start.shape[1]]

    def project(self, z: Moves) -> Moves:
        """The nearest moves that leave the latents where the prior wants them."""
        back = (self.prior.project(self.latents(z)) - self.start) / LATENT_STEP
        return torch.cat([back, z[:, self.start.shape[1] :]], 1)
