"""Noise on D's input, which gives reals and fakes a common ground where there was none.

Sønderby et al. (2017), "Amortised MAP inference for image super-resolution" (instance noise), and Arjovsky and Bottou
(2017), "Towards principled methods for training generative adversarial networks".
"""

from collections.abc import Sequence

import torch

from ...gan.prior import random
from ...types import Images


def noisy(images: Images, seeds: Sequence[int], sigma: float) -> Images:
    """[n, c, h, w] -> the same with normal noise of that standard deviation, each image's from a seed of its own."""
    if not sigma:
        return images
    noise = torch.empty(images.shape)
    # torch's generator keeps 32 bits of a seed: those of Philox, so that streams still do not run side by side.
    for row, seed in zip(noise, seeds, strict=True):
        row.normal_(generator=torch.Generator().manual_seed(int(random(seed).integers(2**32))))
    return images + sigma * noise.to(images)


def left(sigma: float, done: float) -> float:
    """The standard deviation when a share of the training is done: it falls to nothing along a straight line."""
    return sigma * max(0.0, 1 - done)
