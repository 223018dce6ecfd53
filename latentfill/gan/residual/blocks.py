"""What the residual networks are made of, after Huang et al. (2024), "The GAN is dead; long live the GAN!" (R3GAN).

No layer normalises, so nothing depends on the batch and D's gradients may be penalised; that the signal keeps its size
is seen to when the weights are first drawn (Zhang, Dauphin and Ma 2019, "Fixup"): a block begins as the identity.
"""

from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..dcgan import SLOPE, blank, parameters
from ..layers.minibatch import MinibatchDiscrimination

EXPANSION = 2  # inside a block there are so many times the maps
GROUP = 16  # maps that a 3x3 kernel sees together; fewer are slower for their arithmetic on any processor


@final
class Block(nn.Module):
    """x + a correction: wider by 1x1, grouped 3x3, narrower by 1x1."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        inner = maps * EXPANSION
        self.widen = blank(nn.Conv2d, maps, inner, 1)
        self.groups = max(1, inner // GROUP)
        self.mix = blank(nn.Conv2d, inner, inner, 3, groups=self.groups)
        self.narrow = blank(nn.Conv2d, inner, maps, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, maps, h, w] -> the same shape."""
        y = F.leaky_relu(F.conv2d(x, *parameters(self.widen, x.dtype)), SLOPE)
        y = F.leaky_relu(F.conv2d(y, *parameters(self.mix, x.dtype), padding=1, groups=self.groups), SLOPE)
        return x + F.conv2d(y, *parameters(self.narrow, x.dtype))


@final
class Stage(nn.Module):
    """Blocks at one size. Enters from another width, if that differs, by a 1x1 convolution."""

    def __init__(self, before: int, maps: int, blocks: int) -> None:
        super().__init__()
        self.enter = blank(nn.Conv2d, before, maps, 1) if before != maps else None
        self.blocks = nn.ModuleList(Block(maps) for _ in range(blocks))

    def adapt(self, x: Tensor) -> Tensor:
        """[n, before, h, w] -> [n, maps, h, w]; where sizes change this is done on the smaller side."""
        return x if self.enter is None else F.conv2d(x, *parameters(self.enter, x.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """[n, maps, h, w] -> the same shape."""
        for block in self.blocks:
            x = block(x)
        return x


@final
class SubPixels(nn.Conv2d):
    """A 3x3 convolution to four times the channels, the pixels of an image twice as large (Shi et al. 2016).

    The four begin alike, so that a fresh G draws no pattern (Aitken et al. 2017, "ICNR").
    """

    def __init__(self, maps: int, channels: int, device: str | None = None) -> None:
        super().__init__(maps, 4 * channels, 3, padding=1, device=device)


def same(x: Tensor, layer: nn.Module) -> Tensor:
    """A 3x3 convolution that keeps the size."""
    return F.conv2d(x, *parameters(layer, x.dtype), padding=1)


def double(x: Tensor) -> Tensor:
    """[n, c, h, w] -> [n, c, 2h, 2w], by straight lines between the pixels."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def halve(x: Tensor) -> Tensor:
    """[n, c, 2h, 2w] -> [n, c, h, w], by means of 2x2."""
    return F.avg_pool2d(x, 2)


def initialise(network: nn.Module, seed: int) -> None:
    """Fill the parameters: normal, as wide as keeps the signal's size; blocks begin as nothing, biases at 0.

    In a block of three layers of which the last is zero, the others are drawn narrower by the number of blocks to the
    power of -1/4 (Fixup, section 3), so that the first update does not overshoot with the depth.
    """
    rng = torch.Generator().manual_seed(seed)
    depth = max(1, sum(isinstance(module, Block) for module in network.modules()))
    inside = {id(layer) for module in network.modules() if isinstance(module, Block) for layer in module.children()}
    for layer in _layers(network):
        weight, bias = layer.get_parameter("weight"), getattr(layer, "bias", None)
        gain = depth**-0.25 * 2**0.5 if id(layer) in inside else 1.0
        nn.init.normal_(weight, std=gain * weight[0].numel() ** -0.5, generator=rng)
        if bias is not None:
            nn.init.zeros_(bias)
        if isinstance(layer, SubPixels):
            with torch.no_grad():
                weight.copy_(weight[::4].repeat_interleave(4, 0))
    for module in network.modules():
        if isinstance(module, MinibatchDiscrimination):
            module.initialise(rng)
        if isinstance(module, Block):
            nn.init.zeros_(module.narrow.get_parameter("weight"))


def _layers(network: nn.Module) -> Iterator[nn.Module]:
    return (module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding))
