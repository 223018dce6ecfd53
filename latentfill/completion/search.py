"""Search the latent space: the descent loop, and what every search yields."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, final

import torch

from ..gan.gan import Generator
from ..types import Images, Latents, PerImage
from .objective import Objective, Terms, total

Optimizer = Callable[[list[torch.Tensor]], torch.optim.Optimizer]


@final
@dataclass(frozen=True)
class Step:
    """Where a search stands after `number` updates. `notes` are what a search has to say beside its losses."""

    number: int
    z: Latents
    images: Images
    terms: Terms
    notes: Terms = field(default_factory=dict)

    @property
    def loss(self) -> PerImage:
        return total(self.terms)


def adam(learning_rate: float = 0.01, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimizer:
    """Kingma and Ba (2015), the repository's choice."""
    return partial(torch.optim.Adam, lr=learning_rate, betas=(beta1, beta2), eps=epsilon)


def nesterov(learning_rate: float = 0.01, momentum: float = 0.9) -> Optimizer:
    """The update written out in the post; without momentum plain gradient descent."""
    return partial(torch.optim.SGD, lr=learning_rate, momentum=momentum, nesterov=momentum > 0)


def search(
    generator: Generator, objective: Objective, z: Latents, *, steps: int, optimizer: Optimizer
) -> Iterator[Step]:
    """Follow the gradient of `objective` from `z`, yielding every step, the start included.

    After each update the latents are projected to where the prior wants them; the optimiser's memory is not. Each
    latent moves by its own gradient alone. Stop early by not asking for more.
    """
    z = z.detach().clone()
    descent = optimizer([z])
    for number in range(steps + 1):
        point = evaluate(generator, objective, z, differentiate=number < steps)
        yield Step(number, point.z, point.images, point.terms)
        if point.gradient is not None:
            z.grad = point.gradient
            descent.step()
            z.copy_(generator.prior.project(z))


class Point(NamedTuple):
    """A latent of each image, what it draws, how good that is, and where the loss rises."""

    z: Latents
    images: Images
    terms: Terms
    gradient: Latents | None


def evaluate(generator: Generator, objective: Objective, z: Latents, *, differentiate: bool) -> Point:
    """Everything a search wants to know of `z`. Nothing returned holds on to the computation behind it."""
    z = z.detach().clone().requires_grad_(differentiate)
    gradient = None
    with torch.set_grad_enabled(differentiate):
        images = generator(z)
        terms = objective(z, images)
        if differentiate:
            # Of the sum: so each latent gets its own image's gradient, and the networks' parameters get none.
            (gradient,) = torch.autograd.grad(total(terms).sum(), z)
    return Point(z.detach(), images.detach(), {name: term.detach() for name, term in terms.items()}, gradient)
