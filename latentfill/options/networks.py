"""The choices of those who build networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, final

from annotated_types import Ge

from .bounds import Networks, NormName, Positive, PriorName, Scale, Size, Widths


@final
@dataclass(frozen=True)
class NetworkOptions:
    """The two networks. They cannot be changed once a run has begun."""

    size: Size = 64
    """side of the square images, in pixels"""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for colour"""
    networks: Networks = "dcgan"
    """what they are made of: the post's strided convolutions (dcgan), residual blocks without normalisation, or a
    Laplacian pyramid (Denton et al.): 8 pixels, then what each doubling adds"""
    widths: Widths = "post"
    """dcgan: maps of the generator: the post's 512-256-128-64, or the final repository's 512-512-256-128"""
    base: Positive = 64
    """dcgan, pyramid: maps at half the image size; all other widths follow (the DCGAN paper: 128)"""
    scale: Scale = "tiny"
    """residual: how wide and deep: tiny trains on a processor over a night, small and base want a GPU"""
    norm: NormName = "batch"
    """dcgan, pyramid: what images are normalised over: their batch, as in the post; a batch chosen once, so that
    neighbours do not matter (virtual, dcgan); or nothing, as penalties on D's gradients want it"""
    minibatch_kernels: Annotated[int, Ge(0)] = 0
    """statistics of how alike the images of a batch are, which D is told so that G cannot draw one again and again; 0
    for none, 100 in the paper"""
    latent: Positive = 100
    """numbers in z"""
    prior: PriorName = "uniform"
    """distribution of z: uniform on [-1, 1] (the post's) or standard normal"""
    critic: bool = True
    """whether there is a discriminator; an autoencoder has none"""
    classes: Annotated[int, Ge(0)] = 0
    """residual: kinds of pictures that the generator can be asked for; 0 if it is not told any"""


def renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What an older file says of its networks, in today's words."""
    told = dict(fields)
    if "batch_norm" in told:  # when there were two kinds of norm
        told.setdefault("norm", "batch" if told.pop("batch_norm") else "none")
    return told
