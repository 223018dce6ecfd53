"""An encoder of residual blocks: (M * y, M) -> z, and how sure of each number it is."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...options import Scale
from ...types import Images, Known, Latents
from ..dcgan import SLOPE, START, blank, parameters
from ..encoder import visible, within
from ..prior import Prior
from .networks import Trunk

HIDDEN = 512  # numbers between the maps and the latent
LOG_VARIANCES = -10.0, 2.0  # a latent no surer than this and no vaguer: beyond, exp and its square lose their numbers


@final
class ResidualEncoder(nn.Module):
    """D's trunk, a dense layer, and two more: the latent, and the logarithm of its variance."""

    def __init__(
        self, prior: Prior, size: int = 64, channels: int = 3, scale: Scale = "tiny", hidden: int = HIDDEN
    ) -> None:
        super().__init__()
        self.precision = torch.float32  # what the layers compute in; the parameters stay as they are
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
        x = self.trunk(visible(images, known).to(self.precision, memory_format=torch.channels_last))
        z, log_variances = self.describe(x)
        return within(self.prior, z), log_variances

    def describe(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """What `posterior` says, of the trunk's last maps; the latents are not yet where the prior wants them."""
        x = F.leaky_relu(maps, SLOPE).flatten(1)
        x = F.leaky_relu(F.linear(x, *parameters(self.hidden, x.dtype)), SLOPE)
        z = F.linear(x, *parameters(self.answer, x.dtype)).float()
        return z, F.linear(x, *parameters(self.spread, x.dtype)).float().clamp(*LOG_VARIANCES)
