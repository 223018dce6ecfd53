"""Residual networks after Huang et al. (2024), "The GAN is dead; long live the GAN!" (R3GAN), for 8 to 256 pixels.

- no layer normalises, so nothing depends on the batch and D's gradients may be penalised; initial weights keep the
  size of the signal (Zhang, Dauphin and Ma 2019, "Fixup"), and a block begins as the identity
- G: z, a dense layer to 4x4, then at each size residual blocks and a doubling; D the same backwards
- the last doubling rearranges four times the channels (Shi et al. 2016), and D's first halving is its inverse. So no
  layer works at the full size, which would take nearly all of the time on a processor
- G ends in tanh: images lie in [-1, 1] as everywhere here (R3GAN's are unbounded)
- for a class, G adds a learned vector to z, and D adds the product of one with its features (Miyato and Koyama 2018,
  "cGANs with projection discriminator")
"""

from copy import deepcopy
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelError
from ..options import Scale
from ..types import Images, Latents, PerImage
from .batch_layers import MinibatchDiscrimination
from .dcgan import SLOPE, START, blank, check_shape, convolve, linear
from .gan import Gan, Prior

EXPANSION = 2  # factor of the maps inside a block
GROUP = 16  # maps in a group of a 3x3 kernel; smaller groups have poor throughput on any processor


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
        y = F.leaky_relu(convolve(x, self.widen), SLOPE)
        y = F.leaky_relu(convolve(y, self.mix, self.groups), SLOPE)
        return x + convolve(y, self.narrow)


@final
class Stage(nn.Module):
    """Blocks at one size. Enters from another width, if that differs, by a 1x1 convolution."""

    def __init__(self, before: int, maps: int, blocks: int) -> None:
        super().__init__()
        self.enter = blank(nn.Conv2d, before, maps, 1) if before != maps else None
        self.blocks = nn.ModuleList(Block(maps) for _ in range(blocks))

    def adapt(self, x: Tensor) -> Tensor:
        """[n, before, h, w] -> [n, maps, h, w]; where sizes change this is done on the smaller side."""
        return x if self.enter is None else convolve(x, self.enter)

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

    def __init__(self, maps: int, channels: int) -> None:
        super().__init__(maps, 4 * channels, 3, padding=1)


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
    for layer in network.modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
            continue
        weight, bias = layer.weight, getattr(layer, "bias", None)
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


# Maps at half the image size; the most maps at any size; blocks at each size; blocks at 8x8 and 4x4, which cost little.
SCALES: dict[Scale, tuple[int, int, int, int]] = {
    "tiny": (48, 384, 1, 2),
    "small": (96, 512, 2, 2),
    "base": (128, 768, 2, 3),
}


@final
class ResidualGenerator(nn.Module):
    """G: latents to images."""

    def __init__(
        self, prior: Prior, size: int = 64, channels: int = 3, scale: Scale = "tiny", classes: int = 0
    ) -> None:
        super().__init__()
        check_shape(size, channels)
        self.precision = torch.float32  # the precision of the layers; parameters keep their own
        self.prior, self.size, self.channels, self.scale = prior, size, channels, scale
        maps = stage_maps(size, scale)[::-1]
        self.project = blank(nn.Linear, prior.dim, maps[0] * START**2)
        self.stages = stages(maps, scale, smallest_first=True)
        self.draw = blank(SubPixels, maps[-1], channels)
        self.classes = blank(nn.Embedding, classes, prior.dim) if classes else None

    def forward(self, z: Latents, labels: Tensor | None = None) -> Images:
        """[n, d], and [n] numbers of classes if it knows any -> [n, channels, size, size] in [-1, 1]."""
        if self.classes is not None and labels is not None:
            z = z + self.classes(labels)
        return self.to_images(self.begin(z, self.depth))

    @property
    def depth(self) -> int:
        """Sizes that it draws maps of."""
        return len(self.stages)

    def begin(self, z: Latents, stages: int) -> Tensor:
        """[n, maps, h, w]: the maps after so many stages."""
        return self._through(self.project_latents(z), 0, stages)

    def finish(self, maps: Tensor, stages: int) -> Images:
        """Images from what `begin` returned."""
        return self.to_images(self._through(maps.to(self.precision), stages, self.depth))

    @torch.no_grad()
    def map_scale(self, z: Latents, stages: int) -> float:
        """The mean standard deviation over 16 latents of the prior: no layer normalises."""
        drawn = self.begin(self.prior.sample(range(16)).to(z.device), stages)
        return max(1e-6, float(drawn.float().std(0).mean()))

    def project_latents(self, z: Latents) -> Tensor:
        """[n, d] -> [n, maps, 4, 4], the input of the first stage."""
        x = linear(z.to(self.precision), self.project)
        # Not len(z), which would be a constant in an exported network.
        return x.view(x.shape[0], -1, START, START).contiguous(memory_format=torch.channels_last)

    def to_images(self, x: Tensor) -> Images:
        """[n, maps, size / 2, size / 2], from its last stage -> [n, channels, size, size]."""
        x = convolve(F.leaky_relu(x, SLOPE), self.draw)
        return torch.tanh(F.pixel_shuffle(x, 2).float())

    def _through(self, x: Tensor, first: int, last: int) -> Tensor:
        for level in range(first, last):
            stage: Any = self.stages[level]
            x = stage(double(stage.adapt(x)) if level else stage.adapt(x))
        return x


@final
class ResidualDiscriminator(nn.Module):
    """D: images to logits; the larger, the more real."""

    def __init__(
        self, size: int = 64, channels: int = 3, scale: Scale = "tiny", classes: int = 0, kernels: int = 0
    ) -> None:
        super().__init__()
        self.precision = torch.float32  # the precision of the layers; parameters keep their own
        self.trunk = Trunk(size, channels, scale)
        maps = self.trunk.maps
        self.gather = blank(nn.Conv2d, maps, maps, START, groups=maps, bias=False)  # a learned 4x4 kernel for each map
        self.batch = MinibatchDiscrimination(maps, kernels) if kernels else None
        self.judge = blank(nn.Linear, maps + kernels, 1)
        self.classes = blank(nn.Embedding, classes, maps) if classes else None

    def forward(self, images: Images, labels: Tensor | None = None) -> PerImage:
        """[n, channels, size, size], and [n] numbers of classes if it knows any -> [n] logits."""
        return self.decide(self.features(images), labels)

    def features(self, images: Images) -> Tensor:
        """[n, d]: the features of each image that the logit is made of."""
        x: Tensor = self.trunk(images.to(self.precision, memory_format=torch.channels_last))
        return (x * self.gather.get_parameter("weight").to(x.dtype).squeeze(1)).sum((2, 3))

    def decide(self, features: Tensor, labels: Tensor | None = None) -> PerImage:
        """[n, d] -> [n] logits; with minibatch discrimination the images of a batch meet here."""
        x = features if self.batch is None else torch.cat([features, self.batch(features)], 1)
        logits = linear(x, self.judge).flatten().float()
        if self.classes is not None and labels is not None:
            logits = logits + (self.classes(labels) * features.float()).sum(1)
        return logits


@final
class ConstantDiscriminator(nn.Module):
    """The discriminator of those who have none: any image may be real. It has no weights, and no gradient but zero."""

    def __init__(self) -> None:
        super().__init__()
        self.precision = torch.float32

    def forward(self, images: Images, labels: Tensor | None = None) -> PerImage:
        """[n, channels, size, size] -> [n] zeros."""
        return images.sum((1, 2, 3)) * 0.0

    def features(self, images: Images) -> Tensor:
        """[n, d]: means of 8x8 blocks, for those who compare."""
        return F.adaptive_avg_pool2d(images, 8).flatten(1)

    def decide(self, features: Tensor, labels: Tensor | None = None) -> PerImage:
        """[n, d] -> [n] zeros."""
        return features.sum(1) * 0.0


@final
class Trunk(nn.Module):
    """Images of any number of channels to maps of 4x4: the layers that D and the encoder share."""

    def __init__(self, size: int, channels: int, scale: Scale) -> None:
        super().__init__()
        check_shape(size, 3)
        maps = stage_maps(size, scale)
        self.maps = maps[-1]
        self.look = blank(nn.Conv2d, 4 * channels, maps[0], 3, padding=1)
        self.stages = stages(maps, scale, smallest_first=False)

    def forward(self, images: Tensor) -> Tensor:
        """[n, channels, size, size] -> [n, maps, 4, 4]."""
        return self.maps_of(images, len(self.stages))[-1]

    def stage_input(self, images: Tensor, level: int) -> Tensor:
        """[n, maps, h, w]: the input of that stage's blocks, counted from 0 at the largest size."""
        x = self.maps_of(images, level)[-1]
        stage: Any = self.stages[level]
        adapted: Tensor = stage.adapt(halve(x) if level else x)
        return adapted

    def maps_of(self, images: Tensor, stages: int) -> list[Tensor]:
        """[n, maps, h, w]: the input of the first stage, and the outputs of the first so many."""
        x = convolve(F.pixel_unshuffle(images, 2).contiguous(memory_format=torch.channels_last), self.look)
        maps = [x]
        for level in range(stages):
            stage: Any = self.stages[level]
            x = stage(stage.adapt(halve(x) if level else x))
            maps.append(x)
        return maps


def stage_maps(size: int, scale: Scale) -> list[int]:
    """Maps at half the image size, a quarter, ... down to 4x4: they double up to the most that the scale has."""
    first, most, _, _ = SCALES[scale]
    levels = size.bit_length() - 3
    # Larger images begin with fewer maps, so that a size costs about as much as the next smaller one.
    first = max(16, first >> max(0, levels - 4))
    return [min(most, first << level) for level in range(levels)]


def stages(maps: list[int], scale: Scale, *, smallest_first: bool) -> nn.ModuleList:
    """A stage for each of these numbers of maps."""
    *_, blocks, small_blocks = SCALES[scale]
    counts = [small_blocks] * min(2, len(maps)) + [blocks] * max(0, len(maps) - 2)
    counts = counts if smallest_first else counts[::-1]
    return nn.ModuleList(Stage(a, b, count) for a, b, count in zip([maps[0], *maps], maps, counts, strict=False))


def class_names(gan: Gan) -> list[str]:
    """The names of its classes, by number; none for a GAN without classes."""
    names = list(gan.about.get("classes", {}))
    return names if len(names) == gan.network.classes else [str(n) for n in range(gan.network.classes)]


def usual_class(gan: Gan) -> str:
    """The class of most of its training pictures."""
    counts = gan.about.get("classes", {})
    return max(class_names(gan), key=lambda name: counts.get(name, 0))


def select_class(gan: Gan, name: str | None = None) -> Gan:
    """The GAN of one class, of the usual one if no name is given; without classes it stays as it is.

    The class's vector goes into a bias of G and the weights of D: both are affine there, so a plain GAN is left.
    Raises ModelError for a name that it does not know.
    """
    names = class_names(gan)
    if not names and name is None:
        return gan
    if name is not None and name not in names:
        known = f"it knows {', '.join(names)}" if names else "it has none"
        raise ModelError(f"the model has no class {name!r}: {known}", "Give one of those, or leave --class out.")
    number = names.index(name or usual_class(gan))
    g, d = deepcopy(gan.generator), deepcopy(gan.discriminator)
    if not isinstance(g, ResidualGenerator) or not isinstance(d, ResidualDiscriminator):
        raise TypeError(f"networks of one class are residual, not {type(g)} and {type(d)}")
    if g.classes is None or d.classes is None:
        raise ValueError("the networks know no classes")
    with torch.no_grad():
        vector = g.classes.get_parameter("weight")[number]
        g.project.get_parameter("bias").add_(g.project.get_parameter("weight") @ vector)
        d.judge.get_parameter("weight")[0, : d.trunk.maps].add_(d.classes.get_parameter("weight")[number])
    g.classes = d.classes = None
    return replace(gan, generator=g, discriminator=d, network=replace(gan.network, classes=0))
