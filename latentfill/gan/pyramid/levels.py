"""An image as a small one and what every doubling of it lacks: the Laplacian pyramid of Burt and Adelson (1983).

Halving takes means of 2x2, as pictures are shrunk everywhere here, and doubling is linear between the pixels. Whatever
the two are, an image is exactly its half, doubled, and the residual.
"""

from collections.abc import Sequence
from itertools import pairwise

from ...types import Images
from ..residual.blocks import double, halve

SMALLEST = 8  # pixels at the top of every pyramid


def shrunk(images: Images) -> list[Images]:
    """The images at 8 pixels, at 16, ... and as they are."""
    sizes = [images]
    while sizes[-1].shape[-1] > SMALLEST:
        sizes.append(halve(sizes[-1]))
    return sizes[::-1]


def decompose(images: Images) -> list[Images]:
    """The images at 8 pixels, then the residuals at 16, ... up to their own size."""
    sizes = shrunk(images)
    return sizes[:1] + [fine - double(coarse) for coarse, fine in pairwise(sizes)]


def rebuild(parts: Sequence[Images]) -> Images:
    """The images that were decomposed into these parts."""
    images = parts[0]
    for residual in parts[1:]:
        images = double(images) + residual
    return images
