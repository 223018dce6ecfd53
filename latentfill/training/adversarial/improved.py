"""Salimans et al. (2016), "Improved techniques for training GANs": three of its terms (sections 3.1, 3.3 and 3.4).

Minibatch discrimination and virtual batch norm, its other two, are layers: `gan/layers`.
"""

from collections.abc import Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...gan.layers.across import mean_of_all
from ...types import PerImage

Features = Float[Tensor, "_ d"]


def smoothing(real: PerImage, amount: float) -> PerImage:
    """What D pays more per real image when its target is 1 - amount: cross-entropy is linear in the target.

    One-sided: that of fakes stays 0, or D would reward G for staying where it is.
    """
    return amount * real


def feature_distance(real: Features, fake: Features) -> Float[Tensor, ""]:
    """What G pays: the squared distance of the mean features of a batch of fakes from those of reals.

    Theirs is the sum over the features; this is their mean, as in their code, so that a weight fits every width.
    """
    return (mean_of_all(fake.float().mean(0)) - mean_of_all(real.detach().float().mean(0))).square().mean()


@final
class History:
    """The mean of all that the parameters have been, which holds them back: players that chase each other spiral in."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.means = [p.detach().clone() for p in parameters]
        self.count = 1  # what they were at first counts too

    def pull(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], weight: float) -> None:
        """Add the gradient of weight * ||theta - mean||^2 to the gradients."""
        with torch.no_grad():
            away = torch._foreach_sub([p.detach() for p in parameters], self.means)
            torch._foreach_add_(list(gradients), away, alpha=2 * weight)

    def remember(self, parameters: Sequence[Tensor]) -> None:
        """Count what the parameters are now."""
        self.count += 1
        with torch.no_grad():
            torch._foreach_lerp_(self.means, [p.detach() for p in parameters], 1 / self.count)

    def state_dict(self) -> dict[str, Any]:
        """The means, in the parameters' order, and how many they are of."""
        return {"means": self.means, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError for those of other parameters."""
        if [m.shape for m in state["means"]] != [m.shape for m in self.means]:
            raise ValueError("the history is of other parameters")
        for mean, kept in zip(self.means, state["means"], strict=True):
            mean.copy_(kept)
        self.count = state["count"]
