"""A network that guesses the latent of an incomplete image: where a search begins, or already its end.

It is trained for one G and sees which pixels it may trust. D's halving convolutions, with a residual block after each,
and a small dense layer: several times D's arithmetic, and still less than one step of a search.
"""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..types import Images, Known, Latents
from .dcgan import SLOPE, START, blank, check_shape, discriminator_maps, parameters
from .layers.batch import BatchNorm
from .prior import Prior, UniformPrior
from .stride2 import down

BASE, HIDDEN = 64, 1024  # as D's; and numbers between the maps and the latent, ten for each of the usual hundred


@final
class DcganEncoder(nn.Module):
    """(M * y, M) -> z: convolutions that halve the size as D's do, a residual block after each but the first."""

    def __init__(self, prior: Prior, size: int = 64, channels: int = 3, base: int = BASE, hidden: int = HIDDEN) -> None:
        super().__init__()
        check_shape(size, channels)
        self.precision = torch.float32  # what the layers compute in; the parameters stay as they are
        self.prior, self.size, self.channels, self.base, self.width = prior, size, channels, base, hidden
        maps = discriminator_maps(size, base)
        self.downs = nn.ModuleList(
            blank(nn.Conv2d, a, b, 5, stride=2) for a, b in zip([channels + 1, *maps], maps, strict=False)
        )
        self.norms = nn.ModuleList(BatchNorm(m) for m in maps[1:])
        self.blocks = nn.ModuleList(ResidualBlock(m) for m in maps[1:])
        self.hidden = blank(nn.Linear, maps[-1] * START**2, hidden)
        self.answer = blank(nn.Linear, hidden, prior.dim)

    def forward(self, images: Images, known: Known) -> Latents:
        """[n, channels, size, size] in [-1, 1] and [n, 1, size, size] -> [n, d]; what is in the hole is not seen."""
        x = visible(images, known).to(self.precision, memory_format=torch.channels_last)
        for level, layer in enumerate(self.downs):
            weight, bias = parameters(layer, x.dtype)
            x = down(x, weight) + bias[:, None, None]
            x = F.leaky_relu(self.norms[level - 1](x) if level else x, SLOPE)
            if level:
                x = self.blocks[level - 1](x)
        x = F.leaky_relu(F.linear(x.flatten(1), *parameters(self.hidden, x.dtype)), SLOPE)
        return within(self.prior, F.linear(x, *parameters(self.answer, x.dtype)).float())


@final
class ResidualBlock(nn.Module):
    """x + a correction by two 3x3 convolutions, which begins as nothing."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(blank(nn.Conv2d, maps, maps, 3, padding=1) for _ in range(2))
        self.norms = nn.ModuleList(BatchNorm(maps) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """[n, maps, h, w] -> the same shape."""
        y = x
        for i, (layer, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            weight, bias = parameters(layer, x.dtype)
            y = norm(F.conv2d(y, weight, bias, padding=1))
            y = y if i else F.leaky_relu(y, SLOPE)
        return x + y


def visible(images: Images, known: Known) -> Tensor:
    """[n, channels + 1, h, w]: the known pixels, 0 in the hole whatever was there, and which they are, as -1 and 1."""
    return torch.cat([(images * known).masked_fill(known == 0, 0.0), known * 2 - 1], 1)  # NaN times 0 would be NaN


def within(prior: Prior, z: Latents) -> Latents:
    """Any numbers as latents of the prior: smoothly for the cube, whose walls would let no gradient through."""
    return torch.tanh(z) if isinstance(prior, UniformPrior) else prior.project(z)


def initialise(network: nn.Module, seed: int) -> None:
    """Fill an encoder's parameters: uniform, as wide as keeps the scale of what flows through; blocks begin as nothing.

    D's sigma of 0.02 suits two players that must start level; alone, such a network learns nothing for a long while.
    """
    rng = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            weight, bias = module.get_parameter("weight"), module.get_parameter("bias")
            fan = weight[0].numel()
            for tensor in (weight, bias):
                nn.init.uniform_(tensor, -(fan**-0.5), fan**-0.5, generator=rng)
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            nn.init.zeros_(module.norms[1].get_parameter("weight"))
