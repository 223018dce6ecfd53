"""An image as a small one and what every doubling of it lacks: the Laplacian pyramid of Burt and Adelson (1983).

Halving takes means of 2x2, as pictures are shrunk everywhere here, and doubling is linear between the pixels. Whatever
the two are, an image is exactly its half, doubled, and the residual.
"""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

from ...types import Images
from ..residual.blocks import double, halve

Sizes = Sequence[Tensor]  # images [n, c, 8, 8], [n, c, 16, 16], ...: the same ones, or parts of them
AnySize = Float[Tensor, "n c _ _"]  # one of these
SMALLEST = 8  # pixels at the top of every pyramid


def shrunk(images: Images) -> list[Tensor]:
    """The images at 8 pixels, at 16, ... and as they are."""
    sizes: list[Tensor] = [images]
    while sizes[-1].shape[-1] > SMALLEST:
        sizes.append(halve(sizes[-1]))
    return sizes[::-1]


def decompose(images: Images) -> list[Tensor]:
    """The images at 8 pixels, then the residuals at 16, ... up to their own size."""
    sizes = shrunk(images)
    return sizes[:1] + [fine - double(coarse) for coarse, fine in pairwise(sizes)]


def rebuild(parts: Sizes) -> Images:
    """The images that were decomposed into these parts."""
    images = parts[0]
    for residual in parts[1:]:
        images = double(images) + residual
    return images
