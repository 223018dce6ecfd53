"""Both players as one network, to be drawn as a graph."""

from typing import final

import torch
from torch import nn

from ...gan.building import AnyDiscriminator, AnyGenerator
from ...types import Latents, PerImage


@final
class Game(nn.Module):
    """z to G, and its image to D."""

    def __init__(self, generator: AnyGenerator, discriminator: AnyDiscriminator) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        generator.precision = discriminator.precision = torch.float32  # the tracer cannot follow the paths for bf16

    def forward(self, z: Latents) -> PerImage:
        """[n, d] -> [n] logits."""
        logits: PerImage = self.discriminator(self.generator(z))
        return logits
