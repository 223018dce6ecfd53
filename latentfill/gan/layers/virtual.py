"""Virtual batch norm: an image is normalised by a batch that was chosen once, and by itself, not by its neighbours.

Salimans et al. (2016), section 3.5. In training the reference batch goes through the network in front of each batch
(`begin`, `rest`), which costs as much as doubling it. For inference its statistics are kept and the batch is not: a
model file is no place for somebody's pictures.
"""

from collections.abc import Iterable
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...options import NormName
from .batch import BatchNorm

Maps = Float[Tensor, "_ c _ _"]
EPSILON = 1e-5  # batch norm's


@final
class VirtualBatchNorm(nn.Module):
    """[n, maps, h, w] -> the same shape; in training the first rows are those of the reference batch."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.rows = 0  # of the reference batch that leads in training; 0 while there is none
        self.weight, self.bias = nn.Parameter(torch.ones(maps)), nn.Parameter(torch.zeros(maps))
        self.running_mean: Tensor
        self.running_square: Tensor
        self.running_count: Tensor
        self.register_buffer("running_mean", torch.zeros(maps))
        self.register_buffer("running_square", torch.ones(maps))
        self.register_buffer("running_count", torch.ones(1))

    def forward(self, x: Maps) -> Maps:
        """The reference batch by its own mean and variance, each other image by these and its own share in them."""
        means, squares = x.float().mean((2, 3)), x.float().square().mean((2, 3))  # [n, maps]
        if not self.training:
            return self._scaled(x, *self._joined(self.running_mean, self.running_square, means, squares))
        rows = self.rows or len(x)  # while there is no reference, the batch is its own
        mean, square = means[:rows].mean(0), squares[:rows].mean(0)
        with torch.no_grad():
            self.running_mean.copy_(mean)
            self.running_square.copy_(square)
            self.running_count.fill_(rows)
        rest = self._joined(mean, square, means[rows:], squares[rows:])
        first = mean.expand(rows, -1), square.expand(rows, -1)
        return self._scaled(x, *(torch.cat(pair) for pair in zip(first, rest, strict=True)))

    def _joined(self, mean: Tensor, square: Tensor, means: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
        """The statistics of the reference batch and of one image more, for each image."""
        share = 1 / (self.running_count + 1)
        return mean + share * (means - mean), square + share * (squares - square)

    def _scaled(self, x: Maps, mean: Float[Tensor, "_ c"], square: Float[Tensor, "_ c"]) -> Maps:
        scale = self.weight * ((square - mean.square()).clamp_min(0) + EPSILON).rsqrt()
        shift = self.bias - mean * scale
        return x * scale[:, :, None, None].to(x.dtype) + shift[:, :, None, None].to(x.dtype)

    def reset_parameters(self) -> None:
        """As it was made."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)


def norm_layer(kind: NormName, maps: int) -> nn.Module:
    """The layer of that name."""
    if kind == "none":
        return nn.Identity()
    return VirtualBatchNorm(maps) if kind == "virtual" else BatchNorm(maps)


def is_virtual(network: nn.Module) -> bool:
    """Whether there is such a layer."""
    return any(isinstance(module, VirtualBatchNorm) for module in network.modules())


def begin(norms: Iterable[nn.Module], reference: Tensor | None, inputs: Tensor, training: bool) -> tuple[Tensor, int]:
    """The inputs with the reference batch in front of them, and how many rows that is; outside of training none."""
    rows = len(reference) if reference is not None and training else 0
    for layer in norms:
        if isinstance(layer, VirtualBatchNorm):
            layer.rows = rows
    return (torch.cat([reference.to(inputs), inputs]), rows) if reference is not None and rows else (inputs, 0)


def rest(x: Tensor, rows: int) -> Tensor:
    """What is left without the reference batch."""
    return x[rows:] if rows else x
