"""Networks for inference alone: batch norm folded into the layers before it, weights in the wanted precision.

A search evaluates the same networks a thousand times, so what is constant is computed once.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal, final, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..types import Images, Known, Latents, PerImage
from .batch_layers import is_virtual
from .completer import ResidualCompleter
from .dcgan import SLOPE, START, DcganDiscriminator, DcganGenerator
from .encoder import DcganEncoder, ResidualEncoder, constrain, encoder_input
from .gan import Gan, Prior
from .residual import ResidualDiscriminator, ResidualGenerator
from .stride2 import by_patches, down, patches, up


@final
@dataclass(frozen=True)
class FusedGenerator:
    """G in inference mode."""

    prior: Prior
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    def __call__(self, z: Latents) -> Images:
        return torch.tanh(self.begin(z, len(self.weights)).float())

    @property
    def depth(self) -> int:
        """Sizes that it draws maps of."""
        return len(self.weights) - 1

    def begin(self, z: Latents, stages: int) -> Tensor:
        """[n, maps, h, w]: the maps after so many stages, before the activation."""
        x = F.linear(z.to(self.weights[0].dtype), self.weights[0], self.biases[0])
        x = x.view(len(z), -1, START, START).contiguous(memory_format=torch.channels_last)
        return self._through(x, 1, stages)

    def finish(self, maps: Tensor, stages: int) -> Images:
        """Images from what `begin` returned."""
        x = maps.to(self.weights[0].dtype, copy=True)  # the activation would overwrite the caller's
        return torch.tanh(self._through(x, stages, len(self.weights)).float())

    def map_scale(self, z: Latents, stages: int) -> float:
        """1, by batch norm."""
        return 1.0

    def _through(self, x: Tensor, first: int, last: int) -> Tensor:
        for weight, bias in zip(self.weights[first:last], self.biases[first:last], strict=True):
            x = up(F.relu_(x), weight) + bias
        return x


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


@final
@dataclass(frozen=True)
class FusedEncoder:
    """E in inference mode. Each convolution, then the two of its residual block if there is one; then the dense two."""

    prior: Prior
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    def __call__(self, images: Images, known: Known) -> Latents:
        x = encoder_input(images, known).to(self.weights[0].dtype, memory_format=torch.channels_last)
        first, *rest, hidden, answer = zip(self.weights, self.biases, strict=True)
        x = _down(x, *first)
        for level in range(0, len(rest), 3):
            x = _down(x, *rest[level])
            y = F.leaky_relu_(_same(x, *rest[level + 1]), SLOPE)
            x = x + _same(y, *rest[level + 2])
        x = F.leaky_relu_(_dense(x.flatten(1), *hidden), SLOPE)
        return constrain(self.prior, _dense(x, *answer).float())


Part = Literal["generator", "discriminator", "encoder", "completer"]
PARTS: tuple[Part, ...] = get_args(Part)


def fuse(gan: Gan, dtype: torch.dtype = torch.float32, parts: Sequence[Part] = PARTS) -> Gan:
    """The same functions, faster and for inference alone; networks of other kinds are copied, with shared numbers.

    Where not all `parts` are wanted, the others stay as they are, which saves time.
    """
    fused: dict[str, Any] = {part: _fuse(getattr(gan, part), dtype) for part in parts}
    return replace(gan, **fused)


def _fuse(network: Any, dtype: torch.dtype) -> Any:
    if isinstance(network, ResidualGenerator | ResidualDiscriminator | ResidualEncoder | ResidualCompleter):
        # Nothing to fold: a copy whose weights need no conversion at every step.
        network = _freeze(network, dtype).to(dtype=dtype, memory_format=torch.channels_last)
    elif isinstance(network, DcganEncoder):
        return _fuse_encoder(network, dtype)
    elif isinstance(network, DcganGenerator) and not is_virtual(network):
        return _fuse_generator(network, dtype)
    elif isinstance(network, DcganDiscriminator) and not is_virtual(network):
        return _fuse_discriminator(network, dtype)
    elif isinstance(network, nn.Module):
        return _freeze(network, dtype)
    return network


def _freeze(network: nn.Module, dtype: torch.dtype) -> Any:
    """A copy in inference mode that shares its numbers with the original, and computes no gradients of them."""
    shared: dict[int, Tensor] = {id(b): b for b in network.buffers()}
    shared |= {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in network.parameters()}
    twin: Any = deepcopy(network, shared).eval()  # shared weights are not copied
    if hasattr(twin, "precision"):
        twin.precision = dtype
    return twin


def _fuse_generator(network: DcganGenerator, dtype: torch.dtype) -> FusedGenerator:
    first, *norms = (_scale_and_shift(norm) for norm in network.norms)
    repeated = [t if t is None else t.repeat_interleave(START**2) for t in first]  # one per map, for all its values
    weight, bias = _fold(network.project, 0, *repeated)
    weights, biases = [weight], [bias]
    for layer, norm in zip(network.ups, [*norms, (None, None)], strict=True):
        weight, bias = _fold(layer, 1, *norm)
        weights.append(weight.contiguous(memory_format=torch.channels_last))
        biases.append(bias[:, None, None])
    return FusedGenerator(network.prior, _copy(weights, dtype), _copy(biases, dtype))


def _fuse_discriminator(network: DcganDiscriminator, dtype: torch.dtype) -> FusedDiscriminator:
    weights, biases = [], []
    for layer, norm in zip(network.downs, [(None, None), *map(_scale_and_shift, network.norms)], strict=True):
        weight, bias = _fold(layer, 0, *norm)
        weights.append(weight.contiguous(memory_format=torch.channels_last))
        biases.append(bias[:, None, None])
    weight, bias = network.judge.get_parameter("weight"), network.judge.get_parameter("bias")
    if network.batch is not None:  # its features are constant in inference
        own = weight.shape[1] - network.batch.kernels
        weight, bias = weight[:, :own], bias + weight[:, own:] @ network.batch.running_nearness
    weights.append(weight)
    biases.append(bias)
    return FusedDiscriminator(_copy(weights, dtype), _copy(biases, dtype))


def _fuse_encoder(network: DcganEncoder, dtype: torch.dtype) -> FusedEncoder:
    layers: list[tuple[nn.Module, nn.Module]] = [(network.downs[0], nn.Identity())]
    for layer, norm, block in zip(list(network.downs)[1:], network.norms, network.blocks, strict=True):
        inner: Any = block
        layers += [(layer, norm), *zip(inner.convolutions, inner.norms, strict=True)]
    weights, biases = [], []
    for layer, norm in layers:
        weight, bias = _fold(layer, 0, *_scale_and_shift(norm))
        weights.append(weight.contiguous(memory_format=torch.channels_last))
        biases.append(bias)
    for layer in (network.hidden, network.answer):
        weights.append(layer.get_parameter("weight"))
        biases.append(layer.get_parameter("bias"))
    return FusedEncoder(network.prior, _copy(weights, dtype), _copy(biases, dtype))


def _down(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu_(down(x, weight) + bias[:, None, None], SLOPE)


def _same(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    n, _, h, w = x.shape
    if not by_patches(x, 4):
        return F.conv2d(x, weight, bias, padding=1)
    y = F.linear(patches(x, 3, 1, 1, 1), weight.permute(0, 2, 3, 1).flatten(1), bias)
    return y.view(n, h, w, -1).permute(0, 3, 1, 2)


def _dense(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    # Reading the weights takes most of the time. Multiplying by them last is faster than F.linear by a third.
    y = (weight @ x[0])[None] if len(x) == 1 else (weight @ x.T).T
    return y + bias


def _fold(layer: nn.Module, axis: int, scale: Tensor | None, shift: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer with its norm: y -> scale * y + shift, where outputs lie along `axis`."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    if scale is None or shift is None:
        return weight, bias
    shape = [1] * weight.dim()
    shape[axis] = -1
    return weight * scale.view(shape), bias * scale + shift


def _scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor] | tuple[None, None]:
    if isinstance(norm, nn.Identity):
        return None, None
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_var is None or norm.running_mean is None:
        raise TypeError(f"expected a batch norm that keeps statistics, not {norm}")
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - norm.running_mean * scale


def _copy(tensors: list[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().to(dtype, copy=True) for tensor in tensors)
