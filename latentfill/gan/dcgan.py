"""The networks of the post: the DCGAN of Radford et al. (2015) as Amos (2016) wrote it down.

- 5x5 kernels, stride 2, TensorFlow's "same" padding (one pixel before, two after), so shapes and phases agree
- batch norm with eps 1e-5 and decay 0.9; the layers before it keep their biases
- optionally, other norms than the batch's, and statistics of the batch for D (`gan/batch_layers`)
- any power-of-two size from 8 to 256; the original's discriminator worked at 64 only
"""

from collections.abc import Iterator
from typing import Any, final, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..options import NormName, Size, Widths
from ..types import Images, Latents, PerImage
from .batch_layers import MinibatchDiscrimination, VirtualBatchNorm, drop_reference, norm_layer, prepend_reference
from .gan import Prior
from .stride2 import down, up

SIZES: tuple[int, ...] = get_args(Size)
START = 4  # size of the maps next to the latent, in both networks
SLOPE = 0.2  # of the leaky ReLU in D


@final
class DcganGenerator(nn.Module):
    """G: a linear layer to 4x4 maps, then transposed convolutions that double the size, then tanh."""

    def __init__(
        self,
        prior: Prior,
        size: int = 64,
        channels: int = 3,
        base: int = 64,
        widths: Widths = "post",
        norms: NormName = "batch",
    ) -> None:
        super().__init__()
        self.precision = torch.float32  # the precision of the layers; parameters keep their own
        check_shape(size, channels)
        self.prior = prior
        maps = generator_maps(size, base, widths)
        self.project = blank(nn.Linear, prior.dim, maps[0] * START**2)
        self.norms = nn.ModuleList(norm_layer(norms, m) for m in maps)
        self.reference: Latents | None  # the reference batch of virtual batch norm, which files do not hold
        self.register_buffer("reference", None, persistent=False)
        self.ups = nn.ModuleList(
            blank(nn.ConvTranspose2d, a, b, 5, stride=2) for a, b in zip(maps, [*maps[1:], channels], strict=True)
        )

    def forward(self, z: Latents) -> Images:
        """[n, d] -> [n, channels, size, size] in [-1, 1]."""
        z, rows = prepend_reference(self.norms, self.reference, z.to(self.precision), self.training)
        x = linear(z, self.project).view(len(z), -1, START, START).contiguous(memory_format=torch.channels_last)
        for norm, layer in zip(self.norms, self.ups, strict=True):
            x = convolve_up(torch.relu_(norm(x)), layer)
        return torch.tanh(drop_reference(x, rows).float())

    def normalised_layers(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Layers, each with the norm right after it."""
        return zip(list(self.ups)[:-1], list(self.norms)[1:], strict=True)


@final
class DcganDiscriminator(nn.Module):
    """D: convolutions that halve the size down to 4x4, then one logit per image."""

    def __init__(
        self, size: int = 64, channels: int = 3, base: int = 64, norms: NormName = "batch", kernels: int = 0
    ) -> None:
        super().__init__()
        self.precision = torch.float32  # the precision of the layers; parameters keep their own
        check_shape(size, channels)
        maps = discriminator_maps(size, base)
        self.downs = nn.ModuleList(
            blank(nn.Conv2d, a, b, 5, stride=2) for a, b in zip([channels, *maps], maps, strict=False)
        )
        self.norms = nn.ModuleList(norm_layer(norms, m) for m in maps[1:])
        self.reference: Images | None  # the reference batch of virtual batch norm, which files do not hold
        self.register_buffer("reference", None, persistent=False)
        self.batch = MinibatchDiscrimination(maps[-1] * START**2, kernels) if kernels else None
        self.judge = blank(nn.Linear, maps[-1] * START**2 + kernels, 1)

    def forward(self, images: Images) -> PerImage:
        """[n, channels, size, size] -> [n] logits; the larger, the more real."""
        return self.decide(self.features(images))

    def features(self, images: Images) -> Tensor:
        """[n, d]: the features of each image that the logit is made of."""
        x = images.to(self.precision, memory_format=torch.channels_last)
        x, rows = prepend_reference(self.norms, self.reference, x, self.training)
        for level, layer in enumerate(self.downs):
            x = convolve_down(x, layer)
            if level:
                x = self.norms[level - 1](x)
            x = F.leaky_relu_(x, SLOPE)
        return drop_reference(x, rows).flatten(1)

    def decide(self, features: Tensor) -> PerImage:
        """[n, d] -> [n] logits; with minibatch discrimination the images of a batch meet here."""
        x = features if self.batch is None else torch.cat([features, self.batch(features)], 1)
        return linear(x, self.judge).flatten().float()

    def normalised_layers(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Layers, each with the norm right after it."""
        return zip(list(self.downs)[1:], self.norms, strict=True)


def generator_maps(size: int, base: int, widths: Widths) -> list[int]:
    """Channels of G at 4x4, 8x8, ... up to half the image size.

    The post halves them at every level; the final repository starts twice as wide at 8x8 and halves from there.
    """
    levels = range(size.bit_length() - 3)
    shift = 0 if widths == "post" else 1
    return [max(1, 8 * base >> max(0, level - shift)) for level in levels]


def discriminator_maps(size: int, base: int) -> list[int]:
    """Channels of D from half the image size down to 4x4; they double up to eight times the base."""
    return [base * min(8, 2**level) for level in range(size.bit_length() - 3)]


def check_shape(size: int, channels: int) -> None:
    """Raise ValueError unless a DCGAN can be built for such images."""
    if size not in SIZES:
        raise ValueError(f"the size of a DCGAN is one of {SIZES}, not {size}")
    if channels not in (1, 3):
        raise ValueError(f"images have 1 or 3 channels, not {channels}")


def initialise(network: nn.Module, seed: int) -> None:
    """Fill the parameters as the original does: sigma 0.02 everywhere, truncated in convolutions; biases 0."""
    rng = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | VirtualBatchNorm):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d):
            nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04, generator=rng)
            nn.init.zeros_(module.get_parameter("bias"))
        elif isinstance(module, nn.Linear | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.02, generator=rng)
            nn.init.zeros_(module.get_parameter("bias"))
    for module in network.modules():
        if isinstance(module, MinibatchDiscrimination):
            module.initialise(rng)


def blank(kind: type[nn.Module], *shape: int, **options: int) -> nn.Module:
    """A layer whose parameters have no values yet: `initialise` or a file will give them."""
    # torch's skip_init takes four times as long.
    layer: nn.Module = type(kind.__name__, (kind,), {"reset_parameters": lambda self: None})(*shape, **options)
    layer.__class__ = kind
    return layer


def idle_biases(*networks: nn.Module) -> list[nn.Parameter]:
    """Biases that batch norm subtracts again, kept for parity with the original."""
    modules: Iterator[Any] = (module for network in networks for module in network.modules())
    pairs = [pair for module in modules if hasattr(module, "normalised_layers") for pair in module.normalised_layers()]
    return [layer.get_parameter("bias") for layer, norm in pairs if not isinstance(norm, nn.Identity)]


def parameters(layer: nn.Module, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer, to compute with."""
    return layer.get_parameter("weight").to(dtype), layer.get_parameter("bias").to(dtype)


def linear(x: Tensor, layer: nn.Module) -> Tensor:
    """[n, a] -> [n, b] in the precision of x, as the next three."""
    return F.linear(x, *parameters(layer, x.dtype))


def convolve(x: Tensor, layer: nn.Module, groups: int = 1) -> Tensor:
    """[n, a, h, w] -> [n, b, h, w], for an odd kernel."""
    weight, bias = parameters(layer, x.dtype)
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=groups)


def convolve_down(x: Tensor, layer: nn.Module) -> Tensor:
    """[n, a, 2h, 2w] -> [n, b, h, w]."""
    weight, bias = parameters(layer, x.dtype)
    return down(x, weight) + bias[:, None, None]


def convolve_up(x: Tensor, layer: nn.Module) -> Tensor:
    """[n, a, h, w] -> [n, b, 2h, 2w]."""
    weight, bias = parameters(layer, x.dtype)
    return up(x, weight) + bias[:, None, None]
