"""A DCGAN that will only be used: batch norm folded into the layers before it, weights in the wanted precision.

A search evaluates the same two networks a thousand times, so what is constant is computed once.
"""

from dataclasses import dataclass, replace
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
    return replace(gan, generator=generator, discriminator=discriminator)


def _fuse_generator(network: DcganGenerator, dtype: torch.dtype) -> FusedGenerator:
    first, *norms = (_scale_and_shift(norm) for norm in network.norms)
    weights, biases = [], []
    weight, bias = _fold(network.project, 0, *(t.repeat_interleave(START**2) for t in first))
    weights.append(weight)
    biases.append(bias)
    for layer, norm in zip(network.ups, [*norms, None], strict=True):
        weight, bias = _fold(layer, 1, *(norm or (None, None)))
        weights.append(weight.contiguous(memory_format=torch.channels_last))
        biases.append(bias[:, None, None])
    return FusedGenerator(network.prior, _frozen(weights, dtype), _frozen(biases, dtype))


def _fuse_discriminator(network: DcganDiscriminator, dtype: torch.dtype) -> FusedDiscriminator:
    weights, biases = [], []
    for layer, norm in zip(network.downs, [None, *map(_scale_and_shift, network.norms)], strict=True):
        weight, bias = _fold(layer, 0, *(norm or (None, None)))
        weights.append(weight.contiguous(memory_format=torch.channels_last))
        biases.append(bias[:, None, None])
    weights.append(network.judge.get_parameter("weight"))
    biases.append(network.judge.get_parameter("bias"))
    return FusedDiscriminator(_frozen(weights, dtype), _frozen(biases, dtype))


def _fold(layer: nn.Module, axis: int, scale: Tensor | None, shift: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer with its norm: y -> scale * y + shift, where outputs lie along `axis`."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    if scale is None or shift is None:
        return weight, bias
    shape = [1] * weight.dim()
    shape[axis] = -1
    return weight * scale.view(shape), bias * scale + shift


def _scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_var is None or norm.running_mean is None:
        raise TypeError(f"expected a batch norm that keeps statistics, not {norm}")
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - norm.running_mean * scale


def _frozen(tensors: list[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().to(dtype, copy=True) for tensor in tensors)
