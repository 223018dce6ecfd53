"""Pictures with holes, reconstructed by G from an encoder's latents.

Alone this trains a variational autoencoder (Kingma and Welling 2014) that completes. Beside a game it keeps G from
dropping modes that D does not miss (Larsen et al. 2016, "Autoencoding beyond pixels").
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import LatentfillError
from ..gan.encoder import ResidualEncoder
from ..gan.gan import Generator
from ..options import NetworkOptions
from ..process_group import mean_of_all, weighted_mean
from ..runs.holes import HOLE_STREAM, draw_known
from ..seeds import Stream, philox
from ..types import Images, Known, Latents

WHOLE = 0.3  # share of pictures shown without a hole: these show best what G can draw
SMALLEST_ERROR = 1e-4  # squared, values in [-1, 1]: without a bound, memorised pictures have endless gradients


class Reconstruction(NamedTuple):
    """The reconstructed pictures, the loss, and its terms; means over the batch."""

    pictures: Images
    loss: Tensor
    image: Tensor
    """squared error of the whole picture, values in [-1, 1]"""
    hole: Tensor
    """the same in the holes"""
    kl: Tensor
    """nats by which the latents stray from the prior, for each picture"""

    def metrics(self) -> dict[str, Tensor]:
        """Measurements by the names that a step returns."""
        return {"image": self.image, "hole": self.hole, "divergence": self.kl}


def check_prior(network: NetworkOptions) -> None:
    """Raise LatentfillError unless latents may be described by means and variances."""
    if network.prior != "normal":
        what = f"an encoder beside G needs latents with a normal prior, not a {network.prior} one"
        raise LatentfillError(what, "Give --prior normal, or --reconstruct 0 for a GAN by itself.")


def draw_holes(size: int, numbers: range, seed: int) -> Known:
    """[n, 1, size, size]: holes of all kinds for pictures of these numbers, some with none."""
    known = draw_known(size, numbers, seed, stream=HOLE_STREAM)
    whole = [philox(Stream.VAE_WITHOUT_HOLE.key(seed, n)).random() < WHOLE for n in numbers]
    known[torch.tensor(whole, dtype=torch.bool)] = 1
    return known


def draw_noise(dim: int, numbers: range, seed: int) -> Latents:
    """[n, dim], standard normal, one row for each number whatever the others are."""
    rows = [philox(Stream.VAE_NOISE.key(seed, n)).standard_normal(dim, np.float32) for n in numbers]
    return torch.from_numpy(np.stack(rows))


def reconstruct_batch(
    generator: Generator, encoder: ResidualEncoder, real: Images, numbers: range, seed: int, kl_weight: float
) -> Reconstruction:
    """`reconstruct` for pictures of these numbers in a run of this seed, each with a hole and a noise of its own."""
    known = draw_holes(real.shape[-1], numbers, seed).to(real.device)
    noise = draw_noise(encoder.prior.dim, numbers, seed).to(real.device)
    return reconstruct(generator, encoder, real, known, noise, kl_weight)


def reconstruct(
    generator: Generator, encoder: ResidualEncoder, images: Images, known: Known, noise: Latents, kl_weight: float
) -> Reconstruction:
    """G(E(M * x, M)) against x, with the latent blurred by as much as the encoder is unsure.

    The loss is the negative evidence bound per value with the best constant variance of the error (Rybkin et al. 2021,
    "sigma-VAE", section 3.2), whose gradient is that of log(error)/2: so its weight means the same for any pictures.
    The whole picture and the hole count alike.
    """
    mean, log_variance = encoder.posterior(images, known)
    drawn = generator(mean + noise * (0.5 * log_variance).exp())
    error, hole = (drawn - images).square().mean(1, keepdim=True), 1 - known
    image_error, hole_error = error.mean(), weighted_mean(error, hole)
    nats = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
    loss = sum(
        (0.25 * e / mean_of_all(e.detach()).clamp_min(SMALLEST_ERROR) for e in (image_error, hole_error)),
        kl_weight * nats / images[0].numel(),
    )
    return Reconstruction(drawn, loss, image_error.detach(), hole_error.detach(), nats.detach())
