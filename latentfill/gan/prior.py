"""p_z, the distribution that latents are drawn from and must stay in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import numpy as np
import torch

from ..types import Latents


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
        rows = [random(seed).random(self.dim, np.float32) for seed in seeds]
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
        rows = [random(seed).standard_normal(self.dim, np.float32) for seed in seeds]
        return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, self.dim)

    def project(self, z: Latents) -> Latents:
        """Shrink to the shell sqrt(dim) that nearly all of the distribution lies within, if outside it."""
        norm = z.norm(dim=1, keepdim=True).clamp_min(1e-12)
        shrunk: Latents = z * (self.dim**0.5 / norm).clamp_max(1)
        return shrunk


PRIORS: dict[str, type[UniformPrior | NormalPrior]] = {"uniform": UniformPrior, "normal": NormalPrior}


def key(seed: int, stream: int, number: int) -> int:
    """What seeds draw `number` of one stream of a run: draws of other streams, numbers or runs never share a key.

    `seed` and `stream` are at least 0, `number` lies in [0, 2**64), and `stream` below 2**8.
    """
    return (seed << 72) + (stream << 64) + number


def random(seed: int) -> np.random.Generator:
    """A stream of its own for each seed. Philox takes 128 bits; torch's own generator silently keeps 32."""
    return np.random.Generator(np.random.Philox(key=seed))
