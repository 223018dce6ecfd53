"""Adversarial losses, as functions of the logits of real and fake images; of one signature, so they can be swapped."""

from typing import NamedTuple, Protocol

from torch.nn.functional import softplus

from ...options import LossName
from ...types import PerImage


class LogitLoss(Protocol):
    """A loss of the logits of real images and of fake ones."""

    def __call__(self, real: PerImage, fake: PerImage) -> PerImage: ...


class AdversarialLoss(NamedTuple):
    """What the two players minimise."""

    discriminator: LogitLoss
    generator: LogitLoss
    pairs: bool = False
    """whether G's loss looks at real images too"""


def mistaken_for_fake(real: PerImage) -> PerImage:
    """-log D(x): what each real image costs D, the first half of the post's loss."""
    return softplus(-real)


def mistaken_for_real(fake: PerImage) -> PerImage:
    """-log(1 - D(G(z))): what each fake one costs it, the second half."""
    return softplus(fake)


def cross_entropy(real: PerImage, fake: PerImage) -> PerImage:
    """D's loss in the post, and in Goodfellow et al. (2014), equation 1."""
    return mistaken_for_fake(real) + mistaken_for_real(fake)


LOSSES: dict[LossName, AdversarialLoss] = {
    # Goodfellow et al. (2014), section 3: G maximises log D(G(z)), whose gradient does not vanish; the post's choice.
    "non-saturating": AdversarialLoss(cross_entropy, lambda real, fake: softplus(-fake)),
    # The same, equation 1: the game as it is written down.
    "minimax": AdversarialLoss(cross_entropy, lambda real, fake: -softplus(fake)),
    # Jolicoeur-Martineau (2018), as paired by Huang et al. (2024): which of the two is real?
    "relativistic": AdversarialLoss(
        lambda real, fake: softplus(fake - real), lambda real, fake: softplus(real - fake), pairs=True
    ),
    # Arjovsky et al. (2017): the distance between the means; D must be held to gentle slopes by a penalty.
    "wasserstein": AdversarialLoss(lambda real, fake: fake - real, lambda real, fake: -fake),
}
