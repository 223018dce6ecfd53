"""What an encoder learns while D does not play: with G before the game, and of the finished G after it."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from ...gan.building import AnyGenerator
from ...gan.residual.encoder import ResidualEncoder
from ...options import TrainOptions
from ...types import Images
from ..adversarial.player import Player, descend
from ..adversarial.schedule import Phase
from ..adversarial.told import Labels, ToldGenerator
from .reconstruction import redraw_batch


def redraw_alone(
    g: Player[Any],
    e: Player[ResidualEncoder],
    finished: AnyGenerator | None,
    real: Images,
    labels: Labels | None,
    numbers: range,
    options: TrainOptions,
) -> dict[str, Tensor]:
    """One update of G and the encoder, or of the encoder alone if G is `finished`; returns what that cost."""
    if finished is None:
        drawn = redraw_batch(ToldGenerator(g.network, labels), e.network, real, numbers, options)
    else:  # the latents need leave no room for samples any more: the plain evidence bound
        options = replace(options, divergence=min(1.0, options.divergence))
        drawn = redraw_batch(ToldGenerator(finished, labels), e.network, real, numbers, options)
    descend(drawn.loss, (g, e) if finished is None else (e,))
    return drawn.told()


def kept(e: Player[ResidualEncoder] | None, phase: Phase, options: TrainOptions) -> dict[str, ResidualEncoder | None]:
    """The encoders that model files should hold, by the ending of their names.

    None in a game that it has no part in: there it falls behind G.
    """
    if e is None or (phase == "game" and not options.reconstruct):
        return {"": None, "-raw": None}
    return {"": e.averaged, "-raw": e.network}
