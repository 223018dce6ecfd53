"""Minibatch discrimination: D sees how alike the images of a batch are, so G cannot draw one image again and again.

Salimans et al. (2016), section 3.2. Then D depends on the batch. In inference it must not: there the statistic is what
it usually was, a running average as batch norm keeps one, so that a picture is judged as if it lay in a usual batch.
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .across import gathered, mean_of_all

DIMENSIONS = 5  # numbers that each kernel compares images by; theirs
MOMENTUM = 0.1  # of the running average; batch norm's


@final
class MinibatchDiscrimination(nn.Module):
    """Features [n, d] -> [n, kernels]: for each kernel, how near the others of the batch are, from 0 to 1.

    Theirs is the sum over the batch; this is the mean over the others, so that a batch may have any size.
    """

    def __init__(self, features: int, kernels: int) -> None:
        super().__init__()
        self.kernels = kernels
        self.tensor = nn.Parameter(torch.empty(kernels * DIMENSIONS, features))
        self.running_nearness: Tensor
        self.register_buffer("running_nearness", torch.zeros(kernels))

    def forward(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n _"]:
        """In training of the batch itself, in inference what is usual."""
        if not self.training:
            return self.running_nearness.to(features.dtype).expand(len(features), -1)
        near = self.nearness(features)
        with torch.no_grad():
            self.running_nearness.lerp_(mean_of_all(near.mean(0)), MOMENTUM)
        return near.to(features.dtype)

    def nearness(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n _"]:
        """o(x_i)_b = mean over j != i of exp(-||M_ib - M_jb||_1); 0 for an image alone."""
        rows = F.linear(features, self.tensor.to(features.dtype)).float().view(len(features), self.kernels, DIMENSIONS)
        others = gathered(rows) if self.training else rows
        alike = (rows[:, None] - others[None]).abs().sum(3).neg().exp()  # [n, n, kernels]; 1 for an image and itself
        return (alike.sum(1) - 1) / max(1, len(others) - 1)

    def initialise(self, rng: torch.Generator) -> None:
        """So wide that features of size 1 come to lie about 1 apart: much farther, and no gradient would be left."""
        nn.init.normal_(self.tensor, std=self.tensor.shape[1] ** -0.5 / DIMENSIONS, generator=rng)
        self.running_nearness.zero_()
