"""A completer: from an incomplete image and noise to the whole image in one pass; other noise gives another image.

- 1x1 convolutions add the encoder's maps of every size to the input of G's stage of that size. They begin as zero, so
  the completer begins as its encoder and G, to the bit
- the latent is the encoder's plus its deviation times noise: where the hole leaves a choice, images differ
  (Zhao et al. 2021, "Large scale image completion via co-modulated GANs", have the noise beside the encoder's vector)
- the critic sees the hole as one more channel of the completed image

And an upsampler: from a completion and the known pixels of a picture twice as large, to a completion of that size.
"""

from copy import deepcopy
from typing import Any, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelError
from ..types import Images, Known, LargeImages, LargeKnown, Latents, PerImage
from .dcgan import SLOPE, blank, convolve
from .encoder import ResidualEncoder, constrain, encoder_input
from .gan import Condition, Gan, Prior
from .residual import ResidualDiscriminator, ResidualGenerator, SubPixels, double, initialise

MAPS, BLOCKS, WIDER = 48, 4, 4  # of an upsampler; the last divides the side of what its wide layers see
BRANCH = 0.3  # factor of the first weights that end its blocks, so that many blocks begin as little more than one


@final
class ResidualCompleter(nn.Module):
    """Encoder, generator and the convolutions between them; and the critic that they learnt from."""

    def __init__(self, encoder: ResidualEncoder, generator: ResidualGenerator, critic: ResidualDiscriminator) -> None:
        super().__init__()
        self.encoder, self.generator, self.critic = encoder, generator, critic
        widths = zip(_widths(encoder.trunk.stages), _widths(generator.stages)[::-1], strict=True)
        self.skips = nn.ModuleList(blank(nn.Conv2d, a, b, 1) for a, b in widths)

    @property
    def prior(self) -> Prior:
        """The prior of the latents."""
        return self.generator.prior

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.generator.size

    @property
    def precision(self) -> torch.dtype:
        """The dtype that the layers compute in; the parameters keep theirs."""
        return self.generator.precision

    @precision.setter
    def precision(self, dtype: torch.dtype) -> None:
        self.encoder.precision = self.generator.precision = self.critic.precision = dtype

    def forward(self, images: Images, known: Known, noise: Latents | None = None) -> Images:
        """[n, channels, size, size] in [-1, 1], [n, 1, size, size], and noise [n, d], standard normal, or none.

        Known pixels are drawn, too.
        """
        condition = self.encode(images, known)
        return self.draw(self.latents(condition, noise), condition)

    def encode(self, images: Images, known: Known) -> Condition:
        """The condition of incomplete images; what is in their holes is not looked at."""
        e = self.encoder
        seen = encoder_input(images, known).to(e.precision, memory_format=torch.channels_last)
        maps = e.trunk.maps_of(seen, len(e.trunk.stages))[1:]
        mean, log_variance = e.describe(maps[-1])
        added = tuple(convolve(x, skip) for x, skip in zip(maps, self.skips, strict=True))
        return Condition(mean, (log_variance / 2).exp(), added)

    def latents(self, condition: Condition, noise: Latents | None = None) -> Latents:
        """The most probable latents, or with noise [n, d], standard normal, others that are as possible."""
        mean, deviation, _ = condition
        return constrain(self.prior, mean if noise is None else mean + deviation * noise)

    def draw(self, z: Latents, condition: Condition) -> Images:
        """[n, d] -> [n, channels, size, size]."""
        last = len(self.generator.stages)
        return self.finish(self.begin(z, condition, last), condition, last)

    def begin(self, z: Latents, condition: Condition, stages: int) -> Tensor:
        """[n, maps, h, w]: the maps after so many of the generator's stages."""
        return self._through(self.generator.project_latents(z), condition, 0, stages)

    def finish(self, x: Tensor, condition: Condition, stages: int) -> Images:
        """Images from what `begin` returned."""
        x = self._through(x.to(self.precision), condition, stages, len(self.generator.stages))
        return self.generator.to_images(x)

    def judge(self, completed: Images, known: Known) -> PerImage:
        """[n] logits of completed images: the larger, the more real with such a hole."""
        return cast(PerImage, self.critic(torch.cat([completed, 1 - known], 1)))

    def _through(self, x: Tensor, condition: Condition, first: int, last: int) -> Tensor:
        for level in range(first, last):
            stage: Any = self.generator.stages[level]
            x = double(stage.adapt(x)) if level else stage.adapt(x)
            x = stage(x + condition.maps[-1 - level])
        return x


def build_completer(gan: Gan, seed: int = 0) -> ResidualCompleter:
    """A completer that completes as the GAN's encoder and generator do, with a critic that judges as its D does.

    Its own convolutions have no effect yet. A GAN without an encoder gets a fresh one, drawn by the seed.
    Raises ModelError for networks that are not residual, or know classes.
    """
    n, g, d, e = gan.network, gan.generator, gan.discriminator, gan.encoder
    if not isinstance(g, ResidualGenerator) or not isinstance(d, ResidualDiscriminator) or n.classes:
        what = "only a model with residual networks and without classes can have a completer"
        raise ModelError(what, "Give one of `latentfill train --preset modern`, such as faces-128.")
    if not isinstance(e, ResidualEncoder):
        e = ResidualEncoder(g.prior, n.size, n.channels, n.scale)
        initialise(e, seed)
    completer = ResidualCompleter(deepcopy(e), deepcopy(g), ResidualDiscriminator(n.size, n.channels + 1, n.scale))
    with torch.no_grad():
        for skip in completer.skips:
            for parameter in skip.parameters():
                nn.init.zeros_(parameter)
        state = d.state_dict()
        look = torch.zeros_like(completer.critic.trunk.look.get_parameter("weight"))
        look[:, : 4 * n.channels] = state["trunk.look.weight"]
        judge = state["judge.weight"][:, : d.trunk.maps]  # without the weights for features of the batch
        state = {name: tensor for name, tensor in state.items() if not name.startswith("batch.")}
        completer.critic.load_state_dict({**state, "trunk.look.weight": look, "judge.weight": judge})
    return completer


@final
class Upsampler(nn.Module):
    """A network that draws what an enlarged completion lacks (guided upsampling, Zeng et al. 2020, "High-resolution
    image inpainting with iterative confidence feedback and guided upsampling"). It begins with straight lines between
    the completion's pixels. It has no size of its own, and no layer works at the full size.

    The layers are those of Lim et al. 2017 ("Enhanced deep residual networks for single image super-resolution"), which
    learn faster than `residual.Block`. Two further ones see an area four times as wide.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.precision = torch.float32  # the precision of the layers; parameters keep their own

        def layer(before: int, maps: int) -> nn.Module:
            return blank(nn.Conv2d, before, maps, 3, padding=1)

        self.look = layer(5 * channels + 4, MAPS)
        self.around = nn.ModuleList(layer(MAPS, MAPS) for _ in range(2))
        self.blocks = nn.ModuleList(nn.ModuleList(layer(MAPS, MAPS) for _ in range(2)) for _ in range(BLOCKS))
        self.draw = blank(SubPixels, MAPS, channels)

    def forward(self, completed: Images, images: LargeImages, known: LargeKnown) -> LargeImages:
        """Completed images [n, c, s, s] at twice the size, in place of the known pixels, too; not clipped.

        `images` [n, c, 2s, 2s] and `known` [n, 1, 2s, 2s] are the pictures at that size; s is a multiple of 4, and what
        is in their holes is not looked at.
        """
        seen = F.pixel_unshuffle(torch.cat([torch.where(known > 0, images, 0.0), known], 1), 2)
        x = torch.cat([seen, completed], 1).to(self.precision, memory_format=torch.channels_last)
        x = _relu(convolve(x, self.look))
        wide = F.avg_pool2d(x, WIDER)
        for around in self.around:
            wide = _relu(convolve(wide, around))
        x = x + F.interpolate(wide, scale_factor=WIDER, mode="bilinear", align_corners=False)
        for block in self.blocks:
            first, second = cast(nn.ModuleList, block)
            x = x + convolve(_relu(convolve(x, first)), second)
        return double(completed) + F.pixel_shuffle(convolve(_relu(x), self.draw).float(), 2)


def build_upsampler(channels: int, seed: int = 0) -> Upsampler:
    """A fresh upsampler, which only enlarges yet."""
    upsampler = Upsampler(channels)
    initialise(upsampler, seed)
    with torch.no_grad():
        for block in upsampler.blocks:
            cast(nn.ModuleList, block)[1].get_parameter("weight").mul_(BRANCH)
    nn.init.zeros_(upsampler.draw.get_parameter("weight"))
    return upsampler


def _relu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def _widths(stages: nn.ModuleList) -> list[int]:
    """Maps at each size."""
    return [cast(Any, stage).blocks[0].narrow.out_channels for stage in stages]
