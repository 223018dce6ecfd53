"""G and D of a Laplacian pyramid (Denton et al. 2015), as one generator of one latent and one discriminator.

An image is exactly its halved copy, doubled, plus a residual (Burt and Adelson 1983). Halving takes means of 2x2, as
everywhere in this package, and doubling interpolates linearly.

- a DCGAN draws the image of 8 pixels; each level then doubles the image before it and adds a residual
- every level has its own numbers of z; a learned linear layer expands them to the size of the image before it, as the
  "colour plane" of noise that the paper gives to each generator
- a level's layers see the image before it at that image's size and draw four times the channels, rearranged to twice
  the size (Shi et al. 2016); the paper's layers see the doubled image, which is the same in four times the pixels
- each level has a discriminator of the image with its residual added; the paper's begin by adding the two
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import LatentfillError
from ..options.bounds import NormName
from ..types import Images, Latents, PerImage
from .batch_layers import BatchNorm
from .dcgan import DcganDiscriminator, DcganGenerator, blank, check_shape, convolve, linear
from .dcgan import initialise as initialise_layers
from .gan import NormalPrior, UniformPrior
from .residual import double, halve

Sizes = Sequence[Tensor]  # images [n, c, 8, 8], [n, c, 16, 16], ...: the same images, or their parts
AnySize = Float[Tensor, "n c _ _"]  # one of these
SMALLEST = 8  # pixels at the top of every pyramid


def gaussian_pyramid(images: Images) -> list[Tensor]:
    """The images at 8 pixels, at 16, ... and as they are."""
    sizes: list[Tensor] = [images]
    while sizes[-1].shape[-1] > SMALLEST:
        sizes.append(halve(sizes[-1]))
    return sizes[::-1]


def laplacian_pyramid(images: Images) -> list[Tensor]:
    """The images at 8 pixels, then the residuals at 16, ... up to their own size."""
    sizes = gaussian_pyramid(images)
    return sizes[:1] + [fine - double(coarse) for coarse, fine in pairwise(sizes)]


def reconstruct(parts: Sizes) -> Images:
    """The images that were decomposed into these parts."""
    images = parts[0]
    for residual in parts[1:]:
        images = double(images) + residual
    return images


Shares = Float[Tensor, "n _"]  # some of a latent's numbers
SHARE = 8  # each level gets this fraction (1/8) of the latent's numbers, the image of 8 pixels the rest
KERNEL = 5  # as in the post's networks; the last layer of a level has 3
# Initial factors of a level's last layer and of the noise, because residuals are small. A G fills its images with noise
# at first, until D has learnt what real ones look like; small factors shorten this.
FAINT, NOISE = 0.1, 0.3


@final
class PyramidGenerator(nn.Module):
    """G: latents to images, over all sizes."""

    def __init__(
        self,
        prior: UniformPrior | NormalPrior,
        size: int = 64,
        channels: int = 3,
        base: int = 64,
        norm: NormName = "batch",
    ) -> None:
        super().__init__()
        check_shape(size, channels)
        if prior.dim < SHARE:
            raise LatentfillError(
                f"a latent of {prior.dim} numbers is too small for a pyramid", f"Give --latent {SHARE} or more."
            )
        self.prior = prior
        sizes = pyramid_sizes(size)
        self.numbers = prior.dim // SHARE  # numbers of each level
        first = prior.dim - self.numbers * len(sizes[1:])
        self.smallest = DcganGenerator(replace(prior, dim=first), SMALLEST, channels, base, norms=norm)
        self.levels = nn.ModuleList(Level(self.numbers, s // 2, channels, base, norm) for s in sizes[1:])

    def forward(self, z: Latents) -> Images:
        """[n, d] -> [n, channels, size, size] in [-1, 1]; each level sees what the one before has drawn."""
        first, *others = self.split_latents(z)
        images: Images = self.smallest(first)
        for level, numbers in zip(self.levels, others, strict=True):
            images = level(images, numbers).clamp(-1, 1)
        return images

    def draw_over(self, z: Latents, real: Sizes) -> list[Tensor]:
        """Each level's drawing over real images of the size before its own: coarse to fine, not clipped."""
        first, *others = self.split_latents(z)
        levels = zip(self.levels, real, others, strict=False)
        return [self.smallest(first), *(level(images, numbers) for level, images, numbers in levels)]

    def split_latents(self, z: Latents) -> list[Tensor]:
        """The latent's numbers for the image of 8 pixels, and for each level."""
        first = self.smallest.prior.dim
        return list(torch.split(z, [first] + [self.numbers] * len(self.levels), 1))

    @property
    def precision(self) -> torch.dtype:
        """The dtype that the layers compute in; the parameters keep theirs."""
        return self.smallest.precision

    @precision.setter
    def precision(self, dtype: torch.dtype) -> None:
        parts: Any = [self.smallest, *self.levels]
        for part in parts:
            part.precision = dtype


@final
class Level(nn.Module):
    """Images of one size and a few numbers to images of twice the size."""

    def __init__(self, numbers: int, size: int, channels: int, base: int, norm: NormName) -> None:
        super().__init__()
        self.precision = torch.float32  # the precision of the layers; parameters keep their own
        self.size = size
        self.noise = blank(nn.Linear, numbers, size**2)
        self.look = blank(nn.Conv2d, channels + 1, base, KERNEL)
        self.mix = blank(nn.Conv2d, base, base, KERNEL)
        self.norms = nn.ModuleList(BatchNorm(base) if norm == "batch" else nn.Identity() for _ in range(2))
        self.draw = blank(nn.Conv2d, base, 4 * channels, 3)

    def forward(self, images: AnySize, numbers: Shares) -> AnySize:
        """[n, channels, size, size] in [-1, 1] and [n, numbers] -> [n, channels, 2 size, 2 size], near [-1, 1]."""
        return double(images) + self.residual(images, numbers)

    def residual(self, images: AnySize, numbers: Shares) -> AnySize:
        """[n, channels, 2 size, 2 size]: the residual of the doubled images."""
        noise = linear(numbers.to(self.precision), self.noise)
        x = torch.cat([images.to(self.precision), noise.view(-1, 1, self.size, self.size)], 1)
        x = x.contiguous(memory_format=torch.channels_last)
        for layer, norm in zip((self.look, self.mix), self.norms, strict=True):
            x = torch.relu(norm(convolve(x, layer)))
        return FAINT * F.pixel_shuffle(convolve(x, self.draw), 2).float()

    def normalised_layers(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Layers, each with the norm right after it."""
        return zip((self.look, self.mix), self.norms, strict=True)


@final
class PyramidDiscriminator(nn.Module):
    """D: images to logits, the sum of those that each level's D has for the images at its size.

    An image's probability is that of its smallest version times, level by level, that of its residual given the one
    before. So the sum of the levels' log odds is the log odds of the whole.
    """

    def __init__(self, size: int = 64, channels: int = 3, base: int = 64, norm: NormName = "batch") -> None:
        super().__init__()
        self.levels = nn.ModuleList(DcganDiscriminator(s, channels, base, norm) for s in pyramid_sizes(size))

    def forward(self, images: Images) -> PerImage:
        """[n, channels, size, size] -> [n] logits; the larger, the more real."""
        logits: PerImage = torch.stack(self.judge(gaussian_pyramid(images))).sum(0)
        return logits

    def features(self, images: Images) -> Tensor:
        """[n, d]: the features of all levels, side by side."""
        levels: Any = self.levels
        return torch.cat(
            [level.features(seen) for level, seen in zip(levels, gaussian_pyramid(images), strict=True)], 1
        )

    def decide(self, features: Tensor) -> PerImage:
        """[n, d] -> [n] logits."""
        levels: Any = self.levels
        shares = torch.split(features, [level.judge.in_features for level in levels], 1)
        parts = [level.decide(share) for level, share in zip(levels, shares, strict=True)]
        logits: PerImage = torch.stack(parts).sum(0)
        return logits

    def judge(self, sizes: Sizes) -> list[Tensor]:
        """The logits of each level for images of its size, coarse to fine."""
        return [level(images) for level, images in zip(self.levels, sizes, strict=True)]

    @property
    def precision(self) -> torch.dtype:
        """The dtype that the layers compute in; the parameters keep theirs."""
        first: Any = self.levels[0]
        precision: torch.dtype = first.precision
        return precision

    @precision.setter
    def precision(self, dtype: torch.dtype) -> None:
        levels: Any = self.levels
        for level in levels:
            level.precision = dtype


def pyramid_sizes(size: int) -> list[int]:
    """8, 16, ... up to the size."""
    return [SMALLEST << level for level in range((size // SMALLEST).bit_length())]


def initialise(network: PyramidGenerator | PyramidDiscriminator, seed: int) -> None:
    """Fill the parameters as in the post's networks; levels begin by adding nothing."""
    initialise_layers(network, seed)
    rng = torch.Generator().manual_seed(seed)
    for level in network.modules():
        if isinstance(level, Level):
            weight = level.noise.get_parameter("weight")
            nn.init.normal_(weight, std=NOISE * weight.shape[1] ** -0.5, generator=rng)
            nn.init.zeros_(level.draw.get_parameter("weight"))
