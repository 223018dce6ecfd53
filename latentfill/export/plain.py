"""The networks in operations that every runtime knows: what an ONNX file can hold."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..gan.dcgan import SLOPE, START, DcganGenerator
from ..gan.encoder import DcganEncoder, visible, within
from ..gan.fused import FusedEncoder, FusedGenerator, fused
from ..gan.gan import Gan
from ..gan.residual.encoder import ResidualEncoder
from ..gan.residual.networks import ResidualGenerator
from ..gan.stride2 import PADDING
from ..types import Images, Known, Latents


@final
class PlainGenerator(nn.Module):
    """G of a DCGAN, batch norm folded in, its stride-2 convolutions torch's own: no runtime knows ours."""

    def __init__(self, network: FusedGenerator) -> None:
        super().__init__()
        self.weights, self.biases = _constants(network.weights), _constants(network.biases)

    def forward(self, z: Latents) -> Images:
        """[n, d] -> [n, channels, size, size] in [-1, 1]."""
        first, *rest = zip(self.weights, self.biases, strict=True)
        x = F.linear(z, *first).view(z.shape[0], -1, START, START)
        for weight, bias in rest:
            # The transpose of one pixel before and two after, which torch's cannot say: one and one, and one less.
            x = F.conv_transpose2d(F.relu(x), weight, stride=2, padding=1)[..., :-1, :-1] + bias
        return torch.tanh(x)


@final
class PlainEncoder(nn.Module):
    """E of a DCGAN, likewise."""

    def __init__(self, network: FusedEncoder) -> None:
        super().__init__()
        self.prior = network.prior
        self.weights, self.biases = _constants(network.weights), _constants(network.biases)

    def forward(self, images: Images, known: Known) -> Latents:
        """[n, channels, size, size] in [-1, 1] and [n, 1, size, size] -> [n, d]; what is in the hole is not seen."""
        first, *rest, hidden, answer = zip(self.weights, self.biases, strict=True)
        x = _down(visible(images, known), *first)
        for level in range(0, len(rest), 3):
            x = _down(x, *rest[level])
            y = F.leaky_relu(F.conv2d(x, *rest[level + 1], padding=1), SLOPE)
            x = x + F.conv2d(y, *rest[level + 2], padding=1)
        x = F.leaky_relu(F.linear(x.flatten(1), *hidden), SLOPE)
        return within(self.prior, F.linear(x, *answer))


def plain_generator(gan: Gan) -> nn.Module:
    """The same G, to be exported. Raises TypeError for networks of other kinds."""
    if isinstance(gan.generator, DcganGenerator):
        gan = fused(gan)
    if isinstance(gan.generator, FusedGenerator):
        return PlainGenerator(gan.generator).eval()
    if isinstance(gan.generator, ResidualGenerator):
        return gan.generator.eval()
    raise TypeError(f"expected a generator that can be exported, not {type(gan.generator).__name__}")


def plain_encoder(gan: Gan) -> nn.Module | None:
    """The same E, to be exported, if there is one. Raises TypeError for networks of other kinds."""
    if isinstance(gan.encoder, DcganEncoder):
        gan = fused(gan)
    if isinstance(gan.encoder, FusedEncoder):
        return PlainEncoder(gan.encoder).eval()
    if isinstance(gan.encoder, ResidualEncoder):
        return gan.encoder.eval()
    if gan.encoder is not None:
        raise TypeError(f"expected an encoder that can be exported, not {type(gan.encoder).__name__}")
    return None


def _down(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu(F.conv2d(F.pad(x, PADDING), weight, bias, stride=2), SLOPE)


def _constants(tensors: tuple[Tensor, ...]) -> nn.ParameterList:
    return nn.ParameterList(nn.Parameter(tensor.float().contiguous(), requires_grad=False) for tensor in tensors)
