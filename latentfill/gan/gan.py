"""A GAN: networks that know nothing of how they were trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import nn

from ..options import NetworkOptions
from ..types import Images, Known, Latents, PerImage
from .prior import Prior


@runtime_checkable
class Generator(Protocol):
    """G: latents to images."""

    @property
    def prior(self) -> Prior: ...

    def __call__(self, z: Latents) -> Images: ...


@runtime_checkable
class Discriminator(Protocol):
    """D: images to logits; the larger, the more real."""

    def __call__(self, images: Images) -> PerImage: ...


@runtime_checkable
class Encoder(Protocol):
    """E: incomplete images to the latents whose images complete them. What is in the hole is not looked at."""

    def __call__(self, images: Images, known: Known) -> Latents: ...


@final
@dataclass(frozen=True)
class Gan:
    """What a model file holds and a completion needs. `about` is plain JSON: how the model was made."""

    generator: Generator
    discriminator: Discriminator
    network: NetworkOptions = field(default_factory=NetworkOptions)
    about: Mapping[str, Any] = field(default_factory=dict)
    encoder: Encoder | None = None

    @property
    def device(self) -> torch.device:
        """Where the generator computes; the CPU if it has no parameters to tell by."""
        first = next(self.generator.parameters(), None) if isinstance(self.generator, nn.Module) else None
        return torch.device("cpu") if first is None else first.device
