"""The parts of a GAN's training in which no game is played: before it, and after it."""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from ...gan.building import AnyGenerator
from ...gan.layers.across import crew, mine, weighted_mean
from ...gan.options import EncoderOptions
from ...options import TrainOptions
from ...types import Images, Latents
from ..adversarial.player import Player, descend
from ..adversarial.schedule import Phase
from ..adversarial.told import Labels, ToldGenerator
from ..completers import draw_known
from .describing import describe
from .reconstruction import redraw_batch

DESCRIBED = EncoderOptions()  # the shares and weights of an encoder that learns alone


@final
class Unplayed:
    """G and the encoder beside it, of which one step is taken without D. `finish` makes the generator that stays."""

    def __init__(
        self, options: TrainOptions, g: Player[AnyGenerator], e: Player[Any], finish: Callable[[], AnyGenerator]
    ) -> None:
        self.options, self.g, self.e, self.finish = options, g, e, finish
        self.finished: AnyGenerator | None = None

    def step(self, phase: Phase, real: Images, labels: Labels | None, numbers: range, z: Latents) -> dict[str, Tensor]:
        """Learn from a batch of pictures, these being their `numbers` and latents; returns squared errors."""
        if phase == "redraw":
            g, o = ToldGenerator(self.g.network, labels), self.options
            drawn = redraw_batch(g, self.e.network, real, numbers, o.seed, o.first_divergence)
            descend(drawn.loss, (self.g, self.e))
            return drawn.told()
        if self.finished is None:
            self.finished = self.finish()
        return self._describe(ToldGenerator(self.finished, labels), real, numbers, z)

    def _describe(self, g: ToldGenerator, real: Images, numbers: range, z: Latents) -> dict[str, Tensor]:
        """The encoder alone learns, of pictures and, in the place of the last of them, samples."""
        whole = len(real) * crew().size
        pictures = round(DESCRIBED.real_share * whole)
        own = len(mine(range(pictures)))
        with torch.no_grad():
            images = torch.cat([real[:own], g.of(slice(own, None))(z[own:])])
        known = draw_known(real.shape[-1], numbers, self.options.seed).to(real.device)
        told = describe(g, self.e.network, images, known, z[own:], whole - pictures)
        descend(told.loss(DESCRIBED.latent_weight), (self.e,))
        error = (told.pictures.detach() - images).square().mean(1, keepdim=True)
        return {"image": error.mean(), "hole": weighted_mean(error, 1 - known)}
