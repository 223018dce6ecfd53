"""A residual GAN of twice the size that begins by imitating the smaller one.

A growing GAN (Karras et al. 2018, "Progressive growing of GANs") keeps the layers of the small sizes and gets one more
stage. Here the stage is fitted before the training instead of faded in during it. G's stage learns to draw the smaller
G's images enlarged; those of D and the encoder learn to pass on what the smaller ones see. It needs no pictures.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import chain
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelError
from ..options import NetworkOptions, Size
from ..seeds import Stream, philox
from ..types import Images, Known
from .dcgan import SIZES
from .encoder import ResidualEncoder, encoder_input
from .gan import Gan
from .residual import ConstantDiscriminator, ResidualDiscriminator, ResidualGenerator, initialise, stage_maps

STEPS, BATCH, RATE = 1000, 16, 1e-2
LASTING = ("alignment", "classes")  # facts about a model that remain true for its twin
CELLS, KNOWN = 8, 0.6  # cells on a side of the holes, and the share that is known: the encoder must see some
CRITICS = ResidualDiscriminator, ConstantDiscriminator

Tell = Callable[[int, int], None]


class Parts(NamedTuple):
    """A GAN's networks."""

    generator: ResidualGenerator
    discriminator: ResidualDiscriminator | ConstantDiscriminator
    encoder: ResidualEncoder | None

    def image_networks(self) -> Iterator[ResidualDiscriminator | ResidualEncoder]:
        """The networks that see images."""
        return (part for part in self[1:] if isinstance(part, ResidualDiscriminator | ResidualEncoder))

    def all(self) -> Iterator[ResidualGenerator | ResidualDiscriminator | ResidualEncoder]:
        """The networks with weights."""
        return chain([self.generator], self.image_networks())


def grow(gan: Gan, seed: int = 0, steps: int = STEPS, tell: Tell = lambda done, total: None) -> Gan:
    """The GAN of twice the size, with its encoder if that is residual; the same for the same seed and steps.

    It has to be trained on: of what the larger images show beyond the smaller ones it knows nothing yet. `tell` is
    given how many of the steps are done. Raises ModelError for networks that have no such twin.
    """
    small = _parts(gan)
    if small is None:
        what = f"a model of {gan.network.size} pixels with such networks cannot grow to {2 * gan.network.size}"
        raise ModelError(what, "Begin anew, without --begin, or with a model of that size.")
    network = replace(gan.network, size=cast(Size, 2 * gan.network.size))
    large = _build_networks(network, small, seed)
    optimiser = torch.optim.Adam(_copy_weights(small, large), RATE, betas=(0.9, 0.99))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * (1 - step / steps)
        optimiser.zero_grad()
        distance = _distance(small, large, range(step * BATCH, (step + 1) * BATCH), seed)
        distance.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        tell(step + 1, steps)
    for part in large.all():
        part.requires_grad_(False).eval()
    about = {name: gan.about[name] for name in LASTING if name in gan.about}
    return Gan(large.generator, large.discriminator, network, about, large.encoder)


def _parts(gan: Gan) -> Parts | None:
    """Frozen copies, computing in float32 on the processor; None where twice the size has other layers."""
    n, g, d, e = gan.network, gan.generator, gan.discriminator, gan.encoder
    if not isinstance(g, ResidualGenerator) or not isinstance(d, CRITICS) or n.size == SIZES[-1]:
        return None
    if stage_maps(2 * n.size, n.scale)[1:] != stage_maps(n.size, n.scale):
        return None
    parts = deepcopy(Parts(g, d, e if isinstance(e, ResidualEncoder) else None))
    for part in parts.all():
        part.cpu().requires_grad_(False).eval()
        part.precision = torch.float32
    return parts


def _build_networks(n: NetworkOptions, small: Parts, seed: int) -> Parts:
    """Networks of these options, otherwise like the small ones, with all parameters frozen."""
    prior, e = small.generator.prior, small.encoder
    generator = ResidualGenerator(prior, n.size, n.channels, n.scale, n.classes)
    discriminator = ResidualDiscriminator(n.size, n.channels, n.scale, n.classes, n.minibatch_kernels)
    encoder = None if e is None else ResidualEncoder(prior, n.size, n.channels, e.scale, e.width)
    critical = isinstance(small.discriminator, ResidualDiscriminator)
    parts = Parts(generator, discriminator if critical else ConstantDiscriminator(), encoder)
    for number, part in enumerate(parts.all()):
        initialise(part, 3 * seed + number)
        part.requires_grad_(False)
    return parts


def _copy_weights(small: Parts, large: Parts) -> list[nn.Parameter]:
    """Give the large networks all weights of the small ones; returns those of their own, which may now learn."""
    own: list[nn.Module] = [large.generator.stages[-1], large.generator.draw]
    for new, old in zip(large.generator.stages, small.generator.stages, strict=False):
        new.load_state_dict(old.state_dict())
    for seer, smaller in zip(large.image_networks(), small.image_networks(), strict=True):
        first, *rest = seer.trunk.stages
        own += [seer.trunk.look, first, rest[0].get_submodule("enter")]
        for new, old in zip(rest, smaller.trunk.stages, strict=True):
            new.load_state_dict(old.state_dict(), strict=False)  # the smaller one's first layer has no place here
    for new_part, old_part in zip(large.all(), small.all(), strict=True):
        for name, layer in old_part.named_children():
            if name not in ("trunk", "stages", "draw"):
                new_part.get_submodule(name).load_state_dict(layer.state_dict())
    learning = [parameter for module in own for parameter in module.parameters()]
    for parameter in learning:
        parameter.requires_grad_(True)
    return learning


def _distance(small: Parts, large: Parts, numbers: range, seed: int) -> Tensor:
    """The squared differences of the large networks' images and first maps from the small ones', for these numbers."""
    z = small.generator.prior.sample([Stream.GROWING_LATENTS.key(seed, n) for n in numbers])
    known, levels = _holes(small.generator.size, numbers, seed), len(small.generator.stages)
    with torch.no_grad():
        images, maps = small.generator(z), large.generator.begin(z, levels)
        enlarged = _enlarge(images)
    total = (large.generator.finish(maps, levels) - enlarged).square().mean()
    for new, old in zip(large.image_networks(), small.image_networks(), strict=True):
        narrow, wide = images, enlarged
        if isinstance(new, ResidualEncoder):
            narrow, wide = encoder_input(images, known), encoder_input(enlarged, F.interpolate(known, scale_factor=2))
        with torch.no_grad():
            target = old.trunk.stage_input(narrow, 0)
        total = total + (new.trunk.stage_input(wide, 1) - target).square().mean()
    return total


def _enlarge(images: Images) -> Tensor:
    return F.interpolate(images, scale_factor=2, mode="bicubic", align_corners=False).clamp(-1, 1)


def _holes(size: int, numbers: range, seed: int) -> Known:
    """[n, 1, size, size]: every cell of a coarse grid known or not, and every fourth image whole."""
    rows = [
        philox(Stream.GROWING_HOLES.key(seed, n)).random((CELLS, CELLS)) < (1 if n % 4 == 0 else KNOWN) for n in numbers
    ]
    cells = torch.from_numpy(np.stack(rows).astype(np.float32))[:, None]
    return F.interpolate(cells, size=size, mode="nearest")
