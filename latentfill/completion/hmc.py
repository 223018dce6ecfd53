"""Hamiltonian Monte Carlo: latents drawn from the density exp(-beta * loss(z)), not only the best one.

As in the final repository (it is not in the paper): unit mass and a fixed step. A latent that would leave the prior is
projected back. That is not reversible, so the density is exact only away from the prior's boundary.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from ..gan.gan import Generator
from ..seeds import philox
from ..types import Latents, PerImage
from .objective import Objective, total
from .search import Point, Step, evaluate


def hmc(
    generator: Generator,
    objective: Objective,
    z: Latents,
    *,
    steps: int,
    seeds: Sequence[int],
    beta: float = 0.2,
    step_size: float = 0.001,
    leapfrog_steps: int = 100,
    anneal: float = 1.0,
) -> Iterator[Step]:
    """Make `steps` proposals to every latent, yielding the state after each, the start included.

    Each image has a random stream of its own, from its seed in [0, 2**128), and is accepted or not on its own loss.
    `notes["accepted"]` is 1 where the last proposal was accepted; the start counts as accepted. `beta`, the inverse
    temperature, is multiplied by `anneal` after each proposal. A proposal costs `leapfrog_steps` gradients.
    """
    if len(seeds) != len(z):
        raise ValueError(f"each of the {len(z)} latents needs a seed, but {len(seeds)} came")
    streams = [philox(seed) for seed in seeds]
    here = evaluate(generator, objective, z, differentiate=steps > 0)
    yield _step(0, here, torch.ones(len(z), dtype=torch.bool, device=z.device))
    for number in range(1, steps + 1):
        # Drawn in this order, so that a stream means the same for every loss.
        v = torch.from_numpy(np.stack([s.standard_normal(z.shape[1], np.float32) for s in streams])).to(z)
        chance = torch.tensor([s.random() for s in streams]).to(z)
        there, v_there = leapfrog(generator, objective, here, v, beta=beta, step_size=step_size, steps=leapfrog_steps)
        accepted = chance < torch.exp(energy(here, v, beta) - energy(there, v_there, beta))
        here = _where(accepted, there, here)
        yield _step(number, here, accepted)
        beta *= anneal


def leapfrog(
    generator: Generator,
    objective: Objective,
    start: Point,
    v: Latents,
    *,
    beta: float,
    step_size: float,
    steps: int,
) -> tuple[Point, Latents]:
    """Let latents with velocities `v` roll over the loss; reversible as long as the prior projects nothing."""
    point = start
    for _ in range(steps):
        v = v - step_size / 2 * beta * _gradient(point)
        z = generator.prior.project(point.z + step_size * v)
        point = evaluate(generator, objective, z, differentiate=True)
        v = v - step_size / 2 * beta * _gradient(point)
    return point, v


def energy(point: Point, v: Latents, beta: float) -> PerImage:
    """beta * loss + |v|^2 / 2: what a perfect leapfrog would keep."""
    return beta * total(point.terms) + v.square().sum(1) / 2


def _gradient(point: Point) -> Latents:
    if point.gradient is None:
        raise ValueError("a leapfrog step starts from a point with its gradient")
    return point.gradient


def _where(accepted: Bool[Tensor, " n"], there: Point, here: Point) -> Point:
    """Every image's own of two points."""

    def choose(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(accepted.view(-1, *[1] * (a.ndim - 1)), a, b)

    terms = {name: choose(there.terms[name], here.terms[name]) for name in here.terms}
    gradient = choose(_gradient(there), _gradient(here))
    return Point(choose(there.z, here.z), choose(there.images, here.images), terms, gradient)


def _step(number: int, point: Point, accepted: Bool[Tensor, " n"]) -> Step:
    return Step(number, point.z, point.images, point.terms, {"accepted": accepted.to(point.z.dtype)})
