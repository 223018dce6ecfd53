"""Networks that see an incomplete image: encoders predict its latent, the context encoder predicts the whole image.

An encoder is trained for one G and sees which pixels are known. That of a DCGAN has D's halving convolutions, with a
residual block after each, and a small dense layer: less work than one step of a search. The residual encoder also
predicts a variance for each number.

The context encoder of Pathak et al. (2016) has no latent space. Theirs sees 128 or 227 pixels and has five halvings;
this one halves down to 4x4 whatever the size, like the GAN beside it, and has the same kernels. Between encoder and
decoder is their channel-wise dense layer (section 3.1): each map of 4x4 is mixed by its own matrix, then the maps are
mixed by one convolution of 1x1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..options import Scale
from ..options.training import ContextOptions
from ..types import Images, Known, Latents
from .batch_layers import BatchNorm
from .dcgan import SLOPE, START, blank, check_shape, convolve, convolve_down, convolve_up, discriminator_maps, linear
from .dcgan import initialise as initialise_layers
from .gan import Prior, UniformPrior
from .residual import Trunk

BASE, HIDDEN = 64, 1024  # maps, as in D; and numbers between the maps and the latent, ten for each of the usual hundred


@final
class DcganEncoder(nn.Module):
    """(M * y, M) -> z: convolutions that halve the size as D's do, a residual block after each but the first."""

    def __init__(self, prior: Prior, size: int = 64, channels: int = 3, base: int = BASE, hidden: int = HIDDEN) -> None:
        super().__init__()
        check_shape(size, channels)
        self.precision = torch.float32  # the precision of the layers; parameters keep their own
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
        x = encoder_input(images, known).to(self.precision, memory_format=torch.channels_last)
        for level, layer in enumerate(self.downs):
            x = convolve_down(x, layer)
            x = F.leaky_relu(self.norms[level - 1](x) if level else x, SLOPE)
            if level:
                x = self.blocks[level - 1](x)
        x = F.leaky_relu(linear(x.flatten(1), self.hidden), SLOPE)
        return constrain(self.prior, linear(x, self.answer).float())


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
            y = norm(convolve(y, layer))
            y = y if i else F.leaky_relu(y, SLOPE)
        return x + y


def encoder_input(images: Images, known: Known) -> Tensor:
    """[n, channels + 1, h, w]: the known pixels, 0 in the hole whatever was there, and which they are, as -1 and 1."""
    return torch.cat([(images * known).masked_fill(known == 0, 0.0), known * 2 - 1], 1)  # NaN times 0 would be NaN


def constrain(prior: Prior, z: Latents) -> Latents:
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


RESIDUAL_HIDDEN = 512  # numbers between the maps and the latent
LOG_VARIANCES = -10.0, 2.0  # bounds of a latent's log variance; beyond them exp and its square lose precision


@final
class ResidualEncoder(nn.Module):
    """D's trunk, a dense layer, and two more: the latent, and the logarithm of its variance."""

    def __init__(
        self, prior: Prior, size: int = 64, channels: int = 3, scale: Scale = "tiny", hidden: int = RESIDUAL_HIDDEN
    ) -> None:
        super().__init__()
        self.precision = torch.float32  # the precision of the layers; parameters keep their own
        self.prior, self.size, self.channels, self.scale, self.width = prior, size, channels, scale, hidden
        self.trunk = Trunk(size, channels + 1, scale)
        self.hidden = blank(nn.Linear, self.trunk.maps * START**2, hidden)
        self.answer = blank(nn.Linear, hidden, prior.dim)
        self.spread = blank(nn.Linear, hidden, prior.dim)

    def forward(self, images: Images, known: Known) -> Latents:
        """[n, channels, size, size] in [-1, 1] and [n, 1, size, size] -> [n, d]; what is in the hole is not seen."""
        return self.posterior(images, known)[0]

    def posterior(self, images: Images, known: Known) -> tuple[Latents, Tensor]:
        """The most probable latents [n, d], and the logarithms of their variances [n, d]."""
        x = self.trunk(encoder_input(images, known).to(self.precision, memory_format=torch.channels_last))
        z, log_variances = self.describe(x)
        return constrain(self.prior, z), log_variances

    def describe(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Latents, before `constrain`, and log variances from the trunk's last maps."""
        x = F.leaky_relu(maps, SLOPE).flatten(1)
        x = F.leaky_relu(linear(x, self.hidden), SLOPE)
        return linear(x, self.answer).float(), linear(x, self.spread).float().clamp(*LOG_VARIANCES)


@final
@dataclass(frozen=True)
class ContextEncoder:
    """The contents of a context encoder's model file. `about` is plain JSON: how it was made."""

    module: "ContextModule"
    network: ContextOptions = field(default_factory=ContextOptions)
    about: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, images: Images, known: Known) -> Images:
        """[n, c, h, w] in [-1, 1] and [n, 1, h, w] -> [n, c, h, w], to be blended with the known pixels.

        What is in the hole is not looked at.
        """
        with torch.no_grad():
            predicted: Images = self.module(images, known)
        return predicted

    @property
    def device(self) -> torch.device:
        """The device of its parameters."""
        return next(self.module.parameters()).device


@final
class ContextModule(nn.Module):
    """(M * y, M) -> x: halving convolutions, a channel-wise dense layer, doubling ones, tanh."""

    def __init__(self, options: ContextOptions) -> None:
        super().__init__()
        check_shape(options.size, options.channels)
        self.precision = torch.float32  # the precision of the layers; parameters keep their own
        self.skips = options.skips
        maps = discriminator_maps(options.size, options.base)
        self.downs = _convolutions(nn.Conv2d, [options.channels + 1, *maps[:-1]], maps)
        self.down_norms = nn.ModuleList(BatchNorm(m) for m in maps[1:])
        self.dense = ChannelDense(maps[-1])
        self.mix = blank(nn.Conv2d, maps[-1], maps[-1], 1)
        self.mix_norm = BatchNorm(maps[-1])
        outer = [*maps[-2::-1], options.base if options.skips else options.channels]  # of the doubling convolutions
        inner = [m * (2 if options.skips else 1) for m in maps[::-1]]
        self.ups = _convolutions(nn.ConvTranspose2d, inner, outer)
        self.up_norms = nn.ModuleList(BatchNorm(m) for m in (outer if options.skips else outer[:-1]))
        last = [blank(nn.Conv2d, options.base + options.channels + 1, options.channels, 3, padding=1)]
        self.last = nn.ModuleList(last if options.skips else [])

    def forward(self, images: Images, known: Known) -> Images:
        """[n, c, h, w] in [-1, 1] and [n, 1, h, w] -> [n, c, h, w] in [-1, 1]; what is in the hole is not seen."""
        seen = encoder_input(images, known).to(self.precision, memory_format=torch.channels_last)
        x, skips = seen, []
        for level, layer in enumerate(self.downs):
            x = convolve_down(x, layer)
            x = F.leaky_relu(self.down_norms[level - 1](x) if level else x, SLOPE)
            skips.append(x)
        x = torch.relu(self.mix_norm(convolve(self.dense(x), self.mix)))
        for level, layer in enumerate(self.ups):
            x = convolve_up(torch.cat([x, skips[-1 - level]], 1) if self.skips else x, layer)
            if level < len(self.up_norms):
                x = torch.relu(self.up_norms[level](x))
        for layer in self.last:
            x = convolve(torch.cat([x, seen], 1), layer)
        return torch.tanh(x.float())


@final
class ChannelDense(nn.Module):
    """Every map of 4x4 through a matrix of its own: places learn of each other, maps do not."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(maps, START**2, START**2))
        self.bias = nn.Parameter(torch.empty(maps, START**2))

    def forward(self, x: Tensor) -> Tensor:
        """[n, maps, 4, 4] -> the same shape."""
        y = torch.einsum("nmi,mio->nmo", x.flatten(2), self.weight.to(x.dtype)) + self.bias.to(x.dtype)
        return y.view(x.shape).contiguous(memory_format=torch.channels_last)


def initialise_context_encoder(module: ContextModule, seed: int) -> None:
    """Fill the parameters: sigma 0.02 as in the GAN, and what keeps the scale in the channel-wise dense layer."""
    initialise_layers(module, seed)
    rng = torch.Generator().manual_seed(seed)
    nn.init.normal_(module.dense.weight, std=1 / START, generator=rng)
    nn.init.zeros_(module.dense.bias)


def _convolutions(kind: type[nn.Module], before: list[int], after: list[int]) -> nn.ModuleList:
    return nn.ModuleList(blank(kind, a, b, 5, stride=2) for a, b in zip(before, after, strict=True))
