"""A DCGAN that will only be used: batch norm folded into the layers before it, weights in the wanted precision.

A search evaluates the same two networks a thousand times, so what is constant is computed once.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..types import Images, Latents, PerImage
from .dcgan import SLOPE, START, DcganDiscriminator, DcganGenerator
from .gan import Gan
from .prior import Prior
from .stride2 import down, up


@final
@dataclass(frozen=True)
class FusedGenerator:
    """G in inference mode."""

    prior: Prior
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    def __call__(self, z: Latents) -> Images:
        x = F.linear(z.to(self.weights[0].dtype), self.weights[0], self.biases[0])
        x = x.view(len(z), -1, START, START).contiguous(memory_format=torch.channels_last)
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            x = up(F.relu_(x), weight) + bias
        return torch.tanh(x.float())


@final
@dataclass(frozen=True)
class FusedDiscriminator:
    """D in inference mode."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    def __call__(self, images: Images) -> PerImage:
        x = images.to(self.weights[0].dtype, memory_format=torch.channels_last)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = F.leaky_relu_(down(x, weight) + bias, SLOPE)
        return F.linear(x.flatten(1), self.weights[-1], self.biases[-1]).flatten().float()


def fused(gan: Gan, dtype: torch.dtype = torch.float32) -> Gan:
    """The same two functions, faster and for inference alone; networks of other kinds pass through as they are."""
    generator, discriminator = gan.generator, gan.discriminator
    if isinstance(generator, DcganGenerator):
        generator = _fuse_generator(generator, dtype)
    if isinstance(discriminator, DcganDiscriminator):
        discriminator = _fuse_discriminator(discriminator, dtype)
    return Gan(generator, discriminator, gan.network, gan.about)


def _fuse_generator(network: DcganGenerator, dtype: torch.dtype) -> FusedGenerator:
    norms = [_scale_and_shift(norm) for norm in network.norms]
    scale, shift = (t.repeat_interleave(START**2) for t in norms[0])
    weights = [network.project.weight * scale[:, None]]
    biases = [network.project.bias * scale + shift]
    for layer, norm in zip(network.ups, [*norms[1:], None], strict=True):
        channels = layer.weight.shape[1]
        scale, shift = norm or (layer.weight.new_ones(channels), layer.weight.new_zeros(channels))
        weights.append(_layout(layer.weight * scale[:, None, None]))
        biases.append((layer.bias * scale + shift)[:, None, None])
    return FusedGenerator(network.prior, _frozen(weights, dtype), _frozen(biases, dtype))


def _fuse_discriminator(network: DcganDiscriminator, dtype: torch.dtype) -> FusedDiscriminator:
    weights, biases = [], []
    for layer, norm in zip(network.downs, [None, *map(_scale_and_shift, network.norms)], strict=True):
        channels = layer.weight.shape[0]
        scale, shift = norm or (layer.weight.new_ones(channels), layer.weight.new_zeros(channels))
        weights.append(_layout(layer.weight * scale[:, None, None, None]))
        biases.append((layer.bias * scale + shift)[:, None, None])
    weights.append(network.judge.weight)
    biases.append(network.judge.bias)
    return FusedDiscriminator(_frozen(weights, dtype), _frozen(biases, dtype))


def _scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_var is None or norm.running_mean is None:
        raise TypeError(f"expected a batch norm that keeps statistics, not {norm}")
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - norm.running_mean * scale


def _layout(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last)


def _frozen(tensors: list[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().to(dtype, copy=True) for tensor in tensors)
