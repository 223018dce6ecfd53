"""The choices of those who build networks."""

from dataclasses import dataclass
from typing import Annotated, Literal, final

from annotated_types import Ge

from .bounds import Networks, Positive, PriorName, Scale, Size, Widths


@final
@dataclass(frozen=True)
class NetworkOptions:
    """The two networks. They cannot be changed once a run has begun."""

    size: Size = 64
    """side of the square images, in pixels"""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for colour"""
    networks: Networks = "dcgan"
    """what they are made of: the post's strided convolutions (dcgan), or residual blocks without normalisation"""
    widths: Widths = "post"
    """dcgan: maps of the generator: the post's 512-256-128-64, or the final repository's 512-512-256-128"""
    base: Positive = 64
    """dcgan: maps at half the image size; all other widths follow (the DCGAN paper: 128)"""
    scale: Scale = "tiny"
    """residual: how wide and deep: tiny trains on a processor over a night, small and base want a GPU"""
    batch_norm: bool = True
    """dcgan: normalise over the batch, as the post does; penalties on D's gradients want it off"""
    latent: Positive = 100
    """numbers in z"""
    prior: PriorName = "uniform"
    """distribution of z: uniform on [-1, 1] (the post's) or standard normal"""
    critic: bool = True
    """residual: whether there is a discriminator; an autoencoder has none"""
    classes: Annotated[int, Ge(0)] = 0
    """residual: kinds of pictures that the generator can be asked for; 0 if it is not told any"""
