"""Losses: adversarial losses of the logits of real and fake images, penalties on D's slopes, and further terms.

Adversarial losses have one signature, so they can be swapped. Penalties can be differentiated again, for D's weights.
Three terms are of Salimans et al. (2016), "Improved techniques for training GANs" (sections 3.1, 3.3 and 3.4); its
other two, minibatch discrimination and virtual batch norm, are layers: `gan/batch_layers`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from ..gan.gan import Discriminator
from ..options import LossName, TrainOptions
from ..process_group import mean_of_all
from ..types import Images, PerImage


class LogitLoss(Protocol):
    """A loss of the logits of real images and of fake ones."""

    def __call__(self, real: PerImage, fake: PerImage) -> PerImage: ...


class AdversarialLoss(NamedTuple):
    """The losses that the two players minimise."""

    discriminator: LogitLoss
    generator: LogitLoss
    pairs: bool = False
    """whether G's loss looks at real images too"""


def real_loss(real: PerImage) -> PerImage:
    """-log D(x): what each real image costs D, the first half of the post's loss."""
    return softplus(-real)


def fake_loss(fake: PerImage) -> PerImage:
    """-log(1 - D(G(z))): what each fake one costs it, the second half."""
    return softplus(fake)


def cross_entropy(real: PerImage, fake: PerImage) -> PerImage:
    """D's loss in the post, and in Goodfellow et al. (2014), equation 1."""
    return real_loss(real) + fake_loss(fake)


LOSSES: dict[LossName, AdversarialLoss] = {
    # Goodfellow et al. (2014), section 3: G maximises log D(G(z)), whose gradient does not vanish; the post uses it.
    "non-saturating": AdversarialLoss(cross_entropy, lambda real, fake: softplus(-fake)),
    # The same, equation 1: the original minimax game.
    "minimax": AdversarialLoss(cross_entropy, lambda real, fake: -softplus(fake)),
    # Jolicoeur-Martineau (2018), paired as in Huang et al. (2024): D says which of the two is real.
    "relativistic": AdversarialLoss(
        lambda real, fake: softplus(fake - real), lambda real, fake: softplus(real - fake), pairs=True
    ),
    # Arjovsky et al. (2017): the distance between the means; a penalty must keep D's slopes small.
    "wasserstein": AdversarialLoss(lambda real, fake: fake - real, lambda real, fake: -fake),
}


def logit_metrics(real: PerImage, fake: PerImage) -> dict[str, PerImage]:
    """Metrics of D's logits: them, and what each would cost D by the post's loss, whatever the loss is."""
    costs = {"discriminator_real": real_loss(real), "discriminator_fake": fake_loss(fake)}
    return {"real": real, "fake": fake, **costs}


def squared_slope(discriminator: Discriminator, images: Images) -> PerImage:
    """|grad D(x)|^2 at each image: R1 at real images, R2 at fake ones (Mescheder et al. 2018, equation 9)."""
    images = images.detach().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    return slope.square().sum((1, 2, 3))


def off_unit_slope(discriminator: Discriminator, real: Images, fake: Images, share: PerImage) -> PerImage:
    """(|grad D| - 1)^2 somewhere between each real image and a fake one (Gulrajani et al. 2017, algorithm 1).

    `share` in [0, 1] says how far from the fake one, for each pair.
    """
    between = torch.lerp(fake.detach(), real, share[:, None, None, None])
    return (squared_slope(discriminator, between).clamp_min(1e-12).sqrt() - 1).square()


def penalty(
    discriminator: Discriminator, real: Images, fake: Images, share: PerImage, options: TrainOptions
) -> tuple[Tensor | None, dict[str, Tensor]]:
    """All that the options ask for, or None; and squared slopes as they were, detached, [n] each.

    `share` is that of `off_unit_slope`.
    """
    o, terms, slopes = options, [], {}
    for name, gamma, images in (("slope_real", o.r1, real), ("slope_fake", o.r2, fake)):
        if gamma:
            slope = squared_slope(discriminator, images)
            terms.append(gamma / 2 * slope.mean())
            slopes[name] = slope.detach()
    if o.gradient_penalty:
        terms.append(o.gradient_penalty * off_unit_slope(discriminator, real, fake, share).mean())
    return sum(terms[1:], terms[0]) if terms else None, slopes


Features = Float[Tensor, "_ d"]


def label_smoothing(real: PerImage, amount: float) -> PerImage:
    """D's extra loss per real image when its target is 1 - amount: cross-entropy is linear in the target.

    One-sided: that of fakes stays 0, or D would reward G for staying where it is.
    """
    return amount * real


def feature_distance(real: Features, fake: Features) -> Float[Tensor, ""]:
    """G's loss: the squared distance of the mean features of a batch of fakes from those of reals.

    Theirs is the sum over the features; this is their mean, as in their code, so that a weight fits every width.
    """
    return (mean_of_all(fake.float().mean(0)) - mean_of_all(real.detach().float().mean(0))).square().mean()


@final
class HistoricalAverage:
    """The mean of all that the parameters have been, which holds them back: players that chase each other spiral in."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.means = [p.detach().clone() for p in parameters]
        self.count = 1  # the initial values count too

    def pull(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], weight: float) -> None:
        """Add the gradient of weight * ||theta - mean||^2 to the gradients."""
        with torch.no_grad():
            away = torch._foreach_sub([p.detach() for p in parameters], self.means)
            torch._foreach_add_(list(gradients), away, alpha=2 * weight)

    def remember(self, parameters: Sequence[Tensor]) -> None:
        """Add the present parameters to the mean."""
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
