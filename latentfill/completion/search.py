"""Search the latent space: the descent loop, and what every search yields."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from math import cos, pi
from typing import Any, NamedTuple, TypeVar, final

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ..gan.fused import fused
from ..gan.gan import Gan, Generator
from ..types import Images, Latents, PerImage
from .objective import Objective, Terms, total

Optimizer = Callable[[list[Tensor]], torch.optim.Optimizer]
Schedule = Callable[[float], float]  # from the share of the steps that is done to a factor of the optimiser's rate
Rows = Int[Tensor, " _"]
Network = TypeVar("Network")


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


Narrow = Callable[[Step], tuple[Rows, Objective] | None]


def adam(learning_rate: float = 0.01, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimizer:
    """Kingma and Ba (2015), the repository's choice."""
    return partial(torch.optim.Adam, lr=learning_rate, betas=(beta1, beta2), eps=epsilon)


def nesterov(learning_rate: float = 0.01, momentum: float = 0.9) -> Optimizer:
    """The update written out in the post; without momentum plain gradient descent."""
    return partial(torch.optim.SGD, lr=learning_rate, momentum=momentum, nesterov=momentum > 0)


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
    narrow: Narrow | None = None,
) -> Iterator[Step]:
    """Follow the gradient of `objective` from `z`, yielding every step, the start included.

    After each update the latents are projected to where the prior wants them, or by `project`; the optimiser's memory
    is not. Each latent moves by its own gradient alone. `narrow` is asked after each step which rows go on from it, and
    what their objective is; None for all. Stop early by not asking for more.
    """
    z, project = z.detach().clone(), project or generator.prior.project
    descent = optimizer([z])
    rate = descent.param_groups[0]["lr"]
    for number in range(steps + 1):
        point = evaluate(generator, objective, z, differentiate=number < steps)
        step = Step(number, point.z, point.images, point.terms)
        yield step
        gradient = point.gradient
        if gradient is None:
            return
        if narrow and (kept := narrow(step)):
            rows, objective = kept
            gradient, z = gradient[rows], z[rows]
            descent = _narrowed(descent, optimizer, z, rows)
        z.grad = gradient
        descent.param_groups[0]["lr"] = rate * schedule(number / steps)
        descent.step()
        z.copy_(project(z))


def _narrowed(old: torch.optim.Optimizer, optimizer: Optimizer, z: Latents, rows: Rows) -> torch.optim.Optimizer:
    """The optimiser of the rows that go on, with what it remembers of them."""
    new = optimizer([z])
    for memory in old.state.values():
        new.state[z] = {
            name: value[rows] if isinstance(value, Tensor) and value.ndim else value for name, value in memory.items()
        }
    return new


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


def prepared(gan: Gan, dtype: torch.dtype) -> Gan:
    """The networks as a search wants them: in inference mode, computing in `dtype`. The caller's stay as they are."""
    resting = replace(
        gan,
        generator=_resting(gan.generator, dtype),
        discriminator=_resting(gan.discriminator, dtype),
        encoder=_resting(gan.encoder, dtype),
    )
    return fused(resting, dtype)


def _resting(network: Network, dtype: torch.dtype) -> Network:
    """A copy in inference mode that shares its numbers with the original, and computes no gradients of them."""
    if not isinstance(network, nn.Module):
        return network
    shared: dict[int, Tensor] = {id(b): b for b in network.buffers()}
    shared |= {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in network.parameters()}
    twin: Any = deepcopy(network, shared).eval()  # what is shared is not copied
    if hasattr(twin, "precision"):
        twin.precision = dtype
    resting: Network = twin
    return resting
