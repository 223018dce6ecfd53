"""The interfaces of a GAN's networks, and p_z, the prior that latents are drawn from and must stay in.

Networks know nothing of how they were trained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, final, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from ..options import NetworkOptions
from ..seeds import philox
from ..types import Images, Known, LargeImages, LargeKnown, Latents, PerImage


@runtime_checkable
class Prior(Protocol):
    """A distribution of latents."""

    @property
    def dim(self) -> int: ...

    def sample(self, seeds: Sequence[int]) -> Latents:
        """One latent for each seed, whatever the other seeds are."""

    def project(self, z: Latents) -> Latents:
        """The nearest latent that the generator was trained on."""


@final
@dataclass(frozen=True)
class UniformPrior:
    """Uniform on [-1, 1]^dim, as in the post."""

    dim: int = 100

    def sample(self, seeds: Sequence[int]) -> Latents:
        """Draw [len(seeds), dim] in [-1, 1); a seed is any integer in [0, 2**128)."""
        rows = [philox(seed).random(self.dim, np.float32) for seed in seeds]
        return torch.from_numpy(np.stack(rows) * 2 - 1) if rows else torch.empty(0, self.dim)

    def project(self, z: Latents) -> Latents:
        """Clip to the cube: the post's clip(z, -1, 1)."""
        return z.clamp(-1, 1)


@final
@dataclass(frozen=True)
class NormalPrior:
    """Standard normal in dim dimensions, as most later generators use it."""

    dim: int = 100

    def sample(self, seeds: Sequence[int]) -> Latents:
        """Draw [len(seeds), dim]; a seed is any integer in [0, 2**128)."""
        rows = [philox(seed).standard_normal(self.dim, np.float32) for seed in seeds]
        return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, self.dim)

    def project(self, z: Latents) -> Latents:
        """Shrink to the shell sqrt(dim) that nearly all of the distribution lies within, if outside it."""
        norm = z.norm(dim=1, keepdim=True).clamp_min(1e-12)
        shrunk: Latents = z * (self.dim**0.5 / norm).clamp_max(1)
        return shrunk


PRIORS: dict[str, type[UniformPrior | NormalPrior]] = {"uniform": UniformPrior, "normal": NormalPrior}


@runtime_checkable
class Generator(Protocol):
    """G: latents to images."""

    @property
    def prior(self) -> Prior: ...

    def __call__(self, z: Latents) -> Images: ...


@runtime_checkable
class StagedGenerator(Protocol):
    """A generator in two parts, z -> maps -> images, as intermediate-layer optimisation needs it."""

    @property
    def prior(self) -> Prior: ...

    @property
    def depth(self) -> int:
        """The number of stages before its images."""

    def __call__(self, z: Latents) -> Images: ...

    def begin(self, z: Latents, stages: int) -> Tensor:
        """[n, maps, h, w]: the maps after the first `stages` stages."""

    def finish(self, maps: Tensor, stages: int) -> Images:
        """Images from what `begin` returned for as many stages."""

    def map_scale(self, z: Latents, stages: int) -> float | Tensor:
        """The usual deviation of the values of these maps from their mean; a Tensor broadcasts to the maps."""


@runtime_checkable
class Discriminator(Protocol):
    """D: images to logits; the larger, the more real."""

    def __call__(self, images: Images) -> PerImage: ...


@runtime_checkable
class Encoder(Protocol):
    """E: incomplete images to the latents whose images complete them. What is in the hole is not looked at."""

    def __call__(self, images: Images, known: Known) -> Latents: ...


class Condition(NamedTuple):
    """Incomplete images, as a completer encodes them."""

    mean: Latents
    """[n, d]: the encoder's latents, before they are brought to where the prior wants them"""
    deviation: Latents
    """[n, d]: how far each number may be off"""
    maps: tuple[Tensor, ...]
    """[n, maps, h, w] of each size, the largest first: added to the generator's"""

    def select(self, rows: Tensor) -> "Condition":
        """The condition of these rows; a row may come again."""
        return Condition(self.mean[rows], self.deviation[rows], tuple(one[rows] for one in self.maps))


@runtime_checkable
class Completer(Protocol):
    """Incomplete images to whole ones in one pass; other noise, another image."""

    @property
    def prior(self) -> Prior: ...

    def encode(self, images: Images, known: Known) -> Condition:
        """The condition of incomplete images; what is in their holes is not looked at."""

    def latents(self, condition: Condition, noise: Latents | None = None) -> Latents:
        """The most probable latents, or with noise [n, d], standard normal, others that are as possible."""

    def draw(self, z: Latents, condition: Condition) -> Images:
        """[n, d] -> [n, channels, size, size], in place of the known pixels too."""

    def begin(self, z: Latents, condition: Condition, stages: int) -> Tensor:
        """[n, maps, h, w]: the maps after so many stages."""

    def finish(self, x: Tensor, condition: Condition, stages: int) -> Images:
        """Images from what `begin` returned."""

    def judge(self, completed: Images, known: Known) -> PerImage:
        """[n] logits of completed images: the larger, the more real with such a hole."""


@runtime_checkable
class Upsampler(Protocol):
    """Completed images, and pictures twice as large with their known pixels, to completed images of that size."""

    def __call__(self, completed: Images, images: LargeImages, known: LargeKnown) -> LargeImages: ...


@final
@dataclass(frozen=True)
class Gan:
    """The contents of a model file, all that a completion needs. `about` is plain JSON: how the model was made."""

    generator: Generator
    discriminator: Discriminator
    network: NetworkOptions = field(default_factory=NetworkOptions)
    about: Mapping[str, Any] = field(default_factory=dict)
    encoder: Encoder | None = None
    completer: Completer | None = None
    upsampler: Upsampler | None = None

    @property
    def device(self) -> torch.device:
        """The device of the generator; the CPU if it has no parameters."""
        first = next(self.generator.parameters(), None) if isinstance(self.generator, nn.Module) else None
        return torch.device("cpu") if first is None else first.device
