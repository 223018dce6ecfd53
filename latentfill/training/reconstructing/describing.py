"""What an encoder of a finished G learns: of which latents pictures with holes are the images."""

from typing import NamedTuple

from torch import Tensor

from ...gan.gan import Encoder, Generator
from ...gan.layers.across import crew, weighted_mean
from ...types import Images, Known


class Described(NamedTuple):
    """The pictures as G draws them from what the encoder says, and mean errors over the batch."""

    pictures: Images
    image: Tensor
    """absolute error of the whole picture, values in [-1, 1]"""
    hole: Tensor
    """the same in the holes"""
    latent: Tensor
    """squared error of the latents of samples, which are known"""

    def loss(self, latent_weight: float) -> Tensor:
        """What the encoder minimises."""
        return self.image + self.hole + latent_weight * self.latent


def describe(
    generator: Generator, encoder: Encoder, images: Images, known: Known, latents: Tensor, samples: int
) -> Described:
    """G(E(M * x, M)) against x, G being frozen; the last images are those of these `latents`.

    `samples` is how many such images the batch has, of which other processes may have more than this one.
    """
    z = encoder(images, known)
    drawn = generator(z)
    error = (drawn - images).abs().mean(1, keepdim=True)
    image_error, hole_error = error.mean(), weighted_mean(error, 1 - known)
    sampled = z[len(images) - len(latents) :]
    share = len(latents) * crew().size / max(1, samples)
    latent_error = share * (sampled - latents).square().mean() if len(latents) else image_error.new_zeros(())
    return Described(drawn, image_error, hole_error, latent_error)
