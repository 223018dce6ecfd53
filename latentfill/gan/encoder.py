"""A network that guesses the latent of an incomplete image: where a search begins, or already its end."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..types import Images, Known, Latents
from .dcgan import SLOPE, START, check_shape, discriminator_maps
from .prior import Prior, UniformPrior
from .stride2 import down

HIDDEN = 1024  # numbers between the maps and the latent


@final
class DcganEncoder(nn.Module):
    """(M * y, M) -> z: convolutions that halve the size as D's do, a residual block after each but the first."""

    def __init__(self, prior: Prior, size: int = 64, channels: int = 3, base: int = 64) -> None:
        super().__init__()
        check_shape(size, channels)
        self.precision = torch.float32  # what the layers compute in; the parameters stay as they are
        self.prior = prior
        maps = discriminator_maps(size, base)
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 5, stride=2) for a, b in zip([channels + 1, *maps], maps, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(m) for m in maps[1:])
        self.blocks = nn.ModuleList(_Block(m) for m in maps[1:])
        self.hidden = nn.Linear(maps[-1] * START**2, HIDDEN)
        self.answer = nn.Linear(HIDDEN, prior.dim)

    def forward(self, images: Images, known: Known) -> Latents:
        """[n, channels, size, size] in [-1, 1] and [n, 1, size, size] -> [n, d]; what is in the hole is not seen."""
        x = torch.cat([images * known, known * 2 - 1], 1).to(self.precision, memory_format=torch.channels_last)
        for level, layer in enumerate(self.downs):
            weight, bias = (layer.get_parameter(name).to(x.dtype) for name in ("weight", "bias"))
            x = down(x, weight) + bias[:, None, None]
            x = F.leaky_relu(self.norms[level - 1](x) if level else x, SLOPE)
            if level:
                x = self.blocks[level - 1](x)
        x = F.leaky_relu(_linear(self.hidden, x.flatten(1)), SLOPE)
        z = _linear(self.answer, x).float()
        return torch.tanh(z) if isinstance(self.prior, UniformPrior) else z


@final
class _Block(nn.Module):
    """x + a correction by two 3x3 convolutions, which begins as nothing."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(maps, maps, 3, padding=1) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(maps) for _ in range(2))
        nn.init.zeros_(self.norms[1].get_parameter("weight"))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i, (layer, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            weight, bias = (layer.get_parameter(name).to(x.dtype) for name in ("weight", "bias"))
            y = norm(F.conv2d(y, weight, bias, padding=1))
            y = y if i else F.leaky_relu(y, SLOPE)
        return x + y


def _linear(layer: nn.Module, x: Tensor) -> Tensor:
    return F.linear(x, *(layer.get_parameter(name).to(x.dtype) for name in ("weight", "bias")))
