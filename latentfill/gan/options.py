"""The choices of those who train an encoder or a context encoder; the GAN's are in `latentfill/options.py`."""

from dataclasses import dataclass
from typing import Annotated, Literal, final

from annotated_types import Ge

from ..options import Positive, Share, Size


@final
@dataclass(frozen=True)
class EncoderOptions:
    """What an encoder or a context encoder learns from, and how wide it is. A GAN has no use for it."""

    hole: str = "all"
    """holes to learn from: all kinds in turn, drawn at random, or one: center, half, random:0.8, pattern, thick, ..."""
    held_out: Annotated[int, Ge(0)] = 128
    """pictures never trained on, whose completions are measured; at most a tenth of all"""
    encoder_base: Positive = 64
    """encoder: maps at half the image size; they double at each level, up to eight times as many"""
    encoder_hidden: Positive = 1024
    """encoder: numbers between its maps and the latent"""
    real_share: Share = 0.7
    """encoder: share of pictures in a batch, the rest being images of the generator; without pictures all are"""
    latent_weight: Annotated[float, Ge(0)] = 0.15
    """encoder: weight of the squared error in the latents, which only the generator's images have"""
    adversarial: Share = 0.001
    """context encoder: weight of the adversarial loss; the squared error in the hole has the rest"""
    border: Annotated[int, Ge(0)] = 0
    """context encoder: known pixels around the hole, so far from it, that count too, ten times as much"""
    skips: bool = False
    """context encoder: hand maps over from the encoder to the decoder, as a U-Net does"""


@final
@dataclass(frozen=True)
class ContextOptions:
    """The network of a context encoder. It cannot be changed once a run has begun."""

    size: Size = 64
    channels: Literal[1, 3] = 3
    base: Positive = 64
    """maps at half the image size; they double at each level, up to eight times as many"""
    skips: bool = False
    """hand maps of every size over from the encoder to the decoder: then it is a U-Net, which theirs is not"""
