"""Search the latent space by gradient descent: the loop, its optimisers, and the steps that every search yields."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import cos, pi
from typing import NamedTuple, Protocol, final, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

from ..gan.gan import Generator
from ..options import CompleteOptions
from ..types import Images, Latents, PerImage
from .objective import Objective, Terms, total

Schedule = Callable[[float], float]  # from the share of the steps that are done to a factor of the optimiser's rate
Rows = Int[Tensor, " _"]


@final
@dataclass(frozen=True)
class Step:
    """The state of a search after `number` updates. `notes` are what it reports beside its losses."""

    number: int
    z: Latents
    images: Images
    terms: Terms
    notes: Terms = field(default_factory=dict)

    @property
    def loss(self) -> PerImage:
        return total(self.terms)


Halving = Callable[[Step], tuple[Rows, Objective] | None]


@runtime_checkable
class Descent(Protocol):
    """An optimiser and its memory. torch's own import its compiler, which takes 0.7 s."""

    def step(self, z: Latents, gradient: Latents, factor: float) -> None:
        """Move `z` in place, by the rate times `factor`."""

    def select(self, rows: Rows) -> None:
        """Forget the other rows."""


Optimizer = Callable[[], Descent]


@final
class Adam:
    """Kingma and Ba (2015), algorithm 1; to the bit what torch.optim.Adam does."""

    def __init__(self, learning_rate: float, beta1: float, beta2: float, epsilon: float) -> None:
        self.rate, self.betas, self.epsilon = learning_rate, (beta1, beta2), epsilon
        self.count = 0
        self.mean = self.square = torch.empty(0)

    def step(self, z: Latents, gradient: Latents, factor: float) -> None:
        if not self.count:
            self.mean, self.square = torch.zeros_like(z), torch.zeros_like(z)
        self.count += 1
        self.mean.lerp_(gradient, 1 - self.betas[0])
        self.square.mul_(self.betas[1]).addcmul_(gradient, gradient, value=1 - self.betas[1])
        first, second = (1 - beta**self.count for beta in self.betas)
        below = (self.square.sqrt() / second**0.5).add_(self.epsilon)
        z.addcdiv_(self.mean, below, value=-self.rate * factor / first)

    def select(self, rows: Rows) -> None:
        if self.count:
            self.mean, self.square = self.mean[rows], self.square[rows]


@final
class Nesterov:
    """The update written out in the post: v <- momentum v - rate g, then by v looked ahead; as torch.optim.SGD."""

    def __init__(self, learning_rate: float, momentum: float) -> None:
        self.rate, self.momentum = learning_rate, momentum
        self.speed: Latents | None = None

    def step(self, z: Latents, gradient: Latents, factor: float) -> None:
        self.speed = gradient.clone() if self.speed is None else self.speed.mul_(self.momentum).add_(gradient)
        ahead = gradient.add(self.speed, alpha=self.momentum) if self.momentum else gradient
        z.add_(ahead, alpha=-self.rate * factor)

    def select(self, rows: Rows) -> None:
        if self.speed is not None:
            self.speed = self.speed[rows]


def adam(learning_rate: float = 0.01, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimizer:
    """The repository's choice."""
    return partial(Adam, learning_rate, beta1, beta2, epsilon)


def nesterov(learning_rate: float = 0.01, momentum: float = 0.9) -> Optimizer:
    """The post's; without momentum plain gradient descent."""
    return partial(Nesterov, learning_rate, momentum)


def choose_optimizer(options: CompleteOptions) -> Optimizer:
    """The optimiser of the options' method."""
    o = options
    if o.method == "nesterov":
        return nesterov(o.learning_rate, o.momentum)
    return adam(o.learning_rate, o.beta1, o.beta2, o.epsilon)


def choose_schedule(options: CompleteOptions) -> Schedule:
    """The schedule that the options name."""
    return cosine if options.schedule == "cosine" else constant


def constant(done: float) -> float:
    """The same rate to the end."""
    return 1.0


def cosine(done: float) -> float:
    """Down to nothing along half a cosine (Loshchilov and Hutter 2017)."""
    return (1 + cos(pi * done)) / 2


def search(
    generator: Generator,
    objective: Objective,
    z: Latents,
    *,
    steps: int,
    optimizer: Optimizer,
    schedule: Schedule = constant,
    project: Callable[[Latents], Latents] | None = None,
    halve: Halving | None = None,
) -> Iterator[Step]:
    """Follow the gradient of `objective` from `z`, yielding every step, the start included.

    After each update the latents are projected to where the prior wants them, or by `project`; the optimiser's memory
    is not. Each latent moves by its own gradient alone. `halve` says after each step which rows go on from it, and what
    their objective is; None for all. Stop early by not asking for more.
    """
    z, project = z.detach().clone(), project or generator.prior.project
    descent = optimizer()
    for number in range(steps + 1):
        point = evaluate(generator, objective, z, differentiate=number < steps)
        step = Step(number, point.z, point.images, point.terms)
        yield step
        gradient = point.gradient
        if gradient is None:
            return
        if halve and (kept := halve(step)):
            rows, objective = kept
            gradient, z = gradient[rows], z[rows]
            descent.select(rows)
        descent.step(z, gradient, schedule(number / steps))
        z.copy_(project(z))


class Point(NamedTuple):
    """A latent of each image, its image, its losses, and the gradient of their sum."""

    z: Latents
    images: Images
    terms: Terms
    gradient: Latents | None


def evaluate(generator: Generator, objective: Objective, z: Latents, *, differentiate: bool) -> Point:
    """Evaluate the objective at `z`. Nothing returned holds on to the computation behind it."""
    z = z.detach().clone().requires_grad_(differentiate)
    gradient = None
    with torch.set_grad_enabled(differentiate):
        images = generator(z)
        terms = objective(z, images)
        if differentiate:
            # The gradient of the sum: each latent gets its own image's gradient, and the networks' parameters get none.
            (gradient,) = torch.autograd.grad(total(terms).sum(), z)
    return Point(z.detach(), images.detach(), {name: term.detach() for name, term in terms.items()}, gradient)
