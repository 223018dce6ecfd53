"""Adversarial losses, as functions of logits. Every pair has the same signature, so they can be swapped."""

from typing import NamedTuple, Protocol

from torch.nn.functional import softplus

from ..types import PerImage


class LogitLoss(Protocol):
    """A loss of the logits of real images and of fake ones."""

    def __call__(self, real: PerImage, fake: PerImage) -> PerImage: ...


class GeneratorLoss(Protocol):
    """A loss of the logits of fake images."""

    def __call__(self, fake: PerImage) -> PerImage: ...


class AdversarialLoss(NamedTuple):
    """What the two players minimise."""

    discriminator: LogitLoss
    generator: GeneratorLoss


def mistaken_for_fake(real: PerImage) -> PerImage:
    """-log D(x): what each real image costs D, the first half of the post's loss."""
    return softplus(-real)


def mistaken_for_real(fake: PerImage) -> PerImage:
    """-log(1 - D(G(z))): what each fake one costs it, the second half."""
    return softplus(fake)


# Goodfellow et al. (2014): cross-entropy on logits, with the non-saturating generator; the post's choice.
non_saturating = AdversarialLoss(
    discriminator=lambda real, fake: mistaken_for_fake(real) + mistaken_for_real(fake),
    generator=lambda fake: softplus(-fake),
)
LOSSES = {"non-saturating": non_saturating}
