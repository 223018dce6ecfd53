"""The context encoder of Pathak et al. (2016): one network from an incomplete image to the whole one. No latent space.

Theirs sees 128 or 227 pixels and has five halvings; this one halves down to 4x4 whatever the size, as the GAN beside it
does, and has the same kernels. Between encoder and decoder lies their channel-wise dense layer (section 3.1): every map
of 4x4 is mixed by a matrix of its own, then the maps by one convolution of 1x1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..types import Images, Known
from .dcgan import SLOPE, START, blank, check_shape, discriminator_maps, parameters
from .dcgan import initialise as initialise_layers
from .encoder import visible
from .layers.batch import BatchNorm
from .options import ContextOptions
from .stride2 import down, up


@final
@dataclass(frozen=True)
class ContextEncoder:
    """What the model file of a context encoder holds. `about` is plain JSON: how it was made."""

    module: "ContextModule"
    network: ContextOptions = field(default_factory=ContextOptions)
    about: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, images: Images, known: Known) -> Images:
        """[n, c, h, w] in [-1, 1] and [n, 1, h, w] -> [n, c, h, w]; only what it makes of the hole is of use.

        What is in the hole is not looked at. Blend with the known pixels to finish.
        """
        with torch.no_grad():
            predicted: Images = self.module(images, known)
        return predicted

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.module.parameters()).device


@final
class ContextModule(nn.Module):
    """(M * y, M) -> x: halving convolutions, a channel-wise dense layer, doubling ones, tanh."""

    def __init__(self, options: ContextOptions) -> None:
        super().__init__()
        check_shape(options.size, options.channels)
        self.precision = torch.float32  # what the layers compute in; the parameters stay as they are
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
        seen = visible(images, known).to(self.precision, memory_format=torch.channels_last)
        x, kept = seen, []
        for level, layer in enumerate(self.downs):
            weight, bias = parameters(layer, x.dtype)
            x = down(x, weight) + bias[:, None, None]
            x = F.leaky_relu(self.down_norms[level - 1](x) if level else x, SLOPE)
            kept.append(x)
        x = F.conv2d(self.dense(x), *parameters(self.mix, x.dtype))
        x = torch.relu(self.mix_norm(x))
        for level, layer in enumerate(self.ups):
            weight, bias = parameters(layer, x.dtype)
            x = torch.cat([x, kept[-1 - level]], 1) if self.skips else x
            x = up(x, weight) + bias[:, None, None]
            if level < len(self.up_norms):
                x = torch.relu(self.up_norms[level](x))
        for layer in self.last:
            x = F.conv2d(torch.cat([x, seen], 1), *parameters(layer, x.dtype), padding=1)
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


def initialise(module: ContextModule, seed: int) -> None:
    """Fill the parameters: sigma 0.02 as in the GAN, and what keeps the scale in the channel-wise dense layer."""
    initialise_layers(module, seed)
    rng = torch.Generator().manual_seed(seed)
    nn.init.normal_(module.dense.weight, std=1 / START, generator=rng)
    nn.init.zeros_(module.dense.bias)


def _convolutions(kind: type[nn.Module], before: list[int], after: list[int]) -> nn.ModuleList:
    return nn.ModuleList(blank(kind, a, b, 5, stride=2) for a, b in zip(before, after, strict=True))
