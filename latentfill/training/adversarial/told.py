"""Both networks, told the classes of a batch: then they are networks like others."""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ...gan.prior import Prior
from ...types import Images, Latents, PerImage

Labels = Int[Tensor, " n"]


@final
@dataclass(frozen=True)
class ToldGenerator:
    """G for images of these classes, one for each; without labels, as it is."""

    network: nn.Module
    labels: Labels | None

    @property
    def prior(self) -> Prior:
        """That of the network."""
        network: Any = self.network
        found: Prior = network.prior
        return found

    def __call__(self, z: Latents) -> Images:
        images: Images = self.network(z) if self.labels is None else self.network(z, self.labels)
        return images

    def of(self, rows: slice) -> "ToldGenerator":
        """The same for these of the images."""
        return ToldGenerator(self.network, None if self.labels is None else self.labels[rows])


@final
@dataclass(frozen=True)
class ToldDiscriminator:
    """D of images of these classes."""

    network: nn.Module
    labels: Labels | None

    def __call__(self, images: Images) -> PerImage:
        return self.decide(self.features(images))

    def features(self, images: Images) -> Tensor:
        """[n, d]: what D sees in each image."""
        network: Any = self.network
        features: Tensor = network.features(images)
        return features

    def decide(self, features: Tensor) -> PerImage:
        """[n, d] -> [n] logits."""
        network: Any = self.network
        logits: PerImage = network.decide(features) if self.labels is None else network.decide(features, self.labels)
        return logits


def in_turn(count: int, classes: int, device: torch.device) -> Labels | None:
    """[count]: the classes one after the other and again, if there are any."""
    return torch.arange(count, device=device) % classes if classes else None
