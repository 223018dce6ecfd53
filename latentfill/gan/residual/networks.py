"""G and D of residual blocks, symmetric to each other, for images of 8 to 256 pixels.

- G: z, a dense layer to 4x4, then at each size residual blocks and a doubling; D the same backwards
- the last doubling is a rearrangement of four times the channels (Shi et al. 2016), D's first halving its inverse, so
  that no layer works at the full size, where on a processor nearly all of the time would go
- G ends in tanh: images lie in [-1, 1] as everywhere here (R3GAN's are unbounded)
- asked for a class, G adds a learned vector to z, and D adds the product of one with its features (Miyato and Koyama
  2018, "cGANs with projection discriminator")
"""

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...options import Scale
from ...types import Images, Latents, PerImage
from ..dcgan import SLOPE, START, blank, check_shape, parameters
from ..layers.minibatch import MinibatchDiscrimination
from ..prior import Prior
from .blocks import Stage, SubPixels, double, halve, same

# Maps at half the image size, the most there are anywhere; blocks at each size, and at 8x8 and 4x4, which cost little.
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
        self.precision = torch.float32  # what the layers compute in; the parameters stay as they are
        self.prior, self.size, self.channels, self.scale = prior, size, channels, scale
        maps = stage_maps(size, scale)[::-1]
        self.project = blank(nn.Linear, prior.dim, maps[0] * START**2)
        self.stages = stages(maps, scale, smallest_first=True)
        self.draw = blank(SubPixels, maps[-1], channels)
        self.classes = blank(nn.Embedding, classes, prior.dim) if classes else None

    def forward(self, z: Latents, labels: Tensor | None = None) -> Images:
        """[n, d], and [n] numbers of classes if it knows any -> [n, channels, size, size] in [-1, 1]."""
        return self.finish(self.begin(z, labels, len(self.stages)), len(self.stages))

    def begin(self, z: Latents, labels: Tensor | None, stages: int) -> Tensor:
        """[n, maps, h, w]: what it has drawn after so many of its stages."""
        if self.classes is not None and labels is not None:
            z = z + self.classes(labels)
        return self._through(self.project_latents(z), 0, stages)

    def finish(self, x: Tensor, stages: int) -> Images:
        """The rest of the way, from what `begin` gave."""
        return self.to_images(self._through(x.to(self.precision), stages, len(self.stages)))

    def project_latents(self, z: Latents) -> Tensor:
        """[n, d] -> [n, maps, 4, 4]: what its first stage is given."""
        x = F.linear(z.to(self.precision), *parameters(self.project, self.precision))
        # Not len(z), which would be a constant in an exported network.
        return x.view(x.shape[0], -1, START, START).contiguous(memory_format=torch.channels_last)

    def to_images(self, x: Tensor) -> Images:
        """[n, maps, size / 2, size / 2], from its last stage -> [n, channels, size, size]."""
        x = same(F.leaky_relu(x, SLOPE), self.draw)
        return torch.tanh(F.pixel_shuffle(x, 2).float())

    def idle_biases(self) -> list[nn.Parameter]:
        """None: there is no batch norm to undo any."""
        return []

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
        self.precision = torch.float32  # what the layers compute in; the parameters stay as they are
        self.trunk = Trunk(size, channels, scale)
        maps = self.trunk.maps
        self.gather = blank(nn.Conv2d, maps, maps, START, groups=maps, bias=False)  # a learned 4x4 for each map
        self.batch = MinibatchDiscrimination(maps, kernels) if kernels else None
        self.judge = blank(nn.Linear, maps + kernels, 1)
        self.classes = blank(nn.Embedding, classes, maps) if classes else None

    def forward(self, images: Images, labels: Tensor | None = None) -> PerImage:
        """[n, channels, size, size], and [n] numbers of classes if it knows any -> [n] logits."""
        return self.decide(self.features(images), labels)

    def features(self, images: Images) -> Tensor:
        """[n, d]: what it sees in each image, before it judges."""
        x: Tensor = self.trunk(images.to(self.precision, memory_format=torch.channels_last))
        return (x * self.gather.get_parameter("weight").to(x.dtype).squeeze(1)).sum((2, 3))

    def decide(self, features: Tensor, labels: Tensor | None = None) -> PerImage:
        """[n, d] -> [n] logits: the rest of the way, where images of a batch may meet."""
        x = features if self.batch is None else torch.cat([features, self.batch(features)], 1)
        logits = F.linear(x, *parameters(self.judge, x.dtype)).flatten().float()
        if self.classes is not None and labels is not None:
            logits = logits + (self.classes(labels) * features.float()).sum(1)
        return logits

    def idle_biases(self) -> list[nn.Parameter]:
        """None: there is no batch norm to undo any."""
        return []


@final
class Uncritical(nn.Module):
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

    def idle_biases(self) -> list[nn.Parameter]:
        """None."""
        return []


@final
class Trunk(nn.Module):
    """Images of any number of channels to maps of 4x4: what D and the encoder have in common."""

    def __init__(self, size: int, channels: int, scale: Scale) -> None:
        super().__init__()
        check_shape(size, 3)
        maps = stage_maps(size, scale)
        self.maps = maps[-1]
        self.look = blank(nn.Conv2d, 4 * channels, maps[0], 3, padding=1)
        self.stages = stages(maps, scale, smallest_first=False)

    def forward(self, images: Tensor) -> Tensor:
        """[n, channels, size, size] -> [n, maps, 4, 4]."""
        return self.see(images, len(self.stages))[-1]

    def entering(self, images: Tensor, level: int) -> Tensor:
        """[n, maps, h, w]: what the blocks of that stage are given, counted from 0 at the largest size."""
        x = self.see(images, level)[-1]
        stage: Any = self.stages[level]
        adapted: Tensor = stage.adapt(halve(x) if level else x)
        return adapted

    def see(self, images: Tensor, stages: int) -> list[Tensor]:
        """[n, maps, h, w]: what enters the first stage, and what leaves each of the first so many."""
        x = same(F.pixel_unshuffle(images, 2).contiguous(memory_format=torch.channels_last), self.look)
        seen = [x]
        for level in range(stages):
            stage: Any = self.stages[level]
            x = stage(stage.adapt(halve(x) if level else x))
            seen.append(x)
        return seen


def stage_maps(size: int, scale: Scale) -> list[int]:
    """Maps at half the image size, a quarter, ... down to 4x4: they double up to the most that the scale has."""
    first, most, _, _ = SCALES[scale]
    levels = size.bit_length() - 3
    # Larger images begin narrower, so that a size costs about as much as the next smaller one.
    first = max(16, first >> max(0, levels - 4))
    return [min(most, first << level) for level in range(levels)]


def stages(maps: list[int], scale: Scale, *, smallest_first: bool) -> nn.ModuleList:
    """A stage for each of these numbers of maps."""
    *_, blocks, small_blocks = SCALES[scale]
    counts = [small_blocks] * min(2, len(maps)) + [blocks] * max(0, len(maps) - 2)
    counts = counts if smallest_first else counts[::-1]
    return nn.ModuleList(Stage(a, b, count) for a, b, count in zip([maps[0], *maps], maps, counts, strict=False))
