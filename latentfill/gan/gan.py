"""A GAN: networks that know nothing of how they were trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, final, runtime_checkable

import torch
from torch import Tensor, nn

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


class Condition(NamedTuple):
    """What a completer knows of incomplete images."""

    mean: Latents
    """[n, d]: the encoder's latents, before they are brought to where the prior wants them"""
    deviation: Latents
    """[n, d]: how far each number may be off"""
    maps: tuple[Tensor, ...]
    """[n, maps, h, w] of each size, the largest first: what is added to the generator's"""

    def select(self, rows: Tensor) -> "Condition":
        """Those images, in that order; a row may come again."""
        return Condition(self.mean[rows], self.deviation[rows], tuple(one[rows] for one in self.maps))


@runtime_checkable
class Completer(Protocol):
    """Incomplete images to whole ones in one pass, with as many answers as there are noises."""

    @property
    def prior(self) -> Prior: ...

    def encode(self, images: Images, known: Known) -> Condition:
        """All that is known of incomplete images; what is in their holes is not looked at."""

    def latents(self, condition: Condition, noise: Latents | None = None) -> Latents:
        """The most probable latents, or with noise [n, d], standard normal, others that are as possible."""

    def draw(self, z: Latents, condition: Condition) -> Images:
        """[n, d] -> [n, channels, size, size], in place of the known pixels too."""

    def begin(self, z: Latents, condition: Condition, stages: int) -> Tensor:
        """[n, maps, h, w]: what it has drawn after so many stages."""

    def finish(self, x: Tensor, condition: Condition, stages: int) -> Images:
        """The rest of the way, from what `begin` gave."""

    def judge(self, completed: Images, known: Known) -> PerImage:
        """[n] logits of completed images: the larger, the more real with such a hole."""


@final
@dataclass(frozen=True)
class Gan:
    """What a model file holds and a completion needs. `about` is plain JSON: how the model was made."""

    generator: Generator
    discriminator: Discriminator
    network: NetworkOptions = field(default_factory=NetworkOptions)
    about: Mapping[str, Any] = field(default_factory=dict)
    encoder: Encoder | None = None
    completer: Completer | None = None

    @property
    def device(self) -> torch.device:
        """Where the generator computes; the CPU if it has no parameters to tell by."""
        first = next(self.generator.parameters(), None) if isinstance(self.generator, nn.Module) else None
        return torch.device("cpu") if first is None else first.device
