"""What D's gradient with respect to images may cost it. Each is differentiable again, for D's weights."""

import torch
from torch import Tensor

from ...gan.gan import Discriminator
from ...options import TrainOptions
from ...types import Images, PerImage


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
