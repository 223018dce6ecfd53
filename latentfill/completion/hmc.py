"""Hamiltonian Monte Carlo: latents drawn from the density exp(-beta * loss(z)), not only the best one.

As in the final repository (it is not in the paper): unit mass, a fixed step, and where a latent would leave the prior
it is projected back, which is not reversible, so the density is met only as far as the walls are not.

Hamiltonian Monte Carlo done right: latents drawn from p(z | what is known), not only the best one.

Unlike the original's (`hmc`) it meets no walls: a uniform latent is z = erf(u / sqrt 2) of a standard normal u, and a
normal one is u itself, so that exp(-energy(z) - |u|^2 / 2) is sampled over all of space, with the prior in it. The mass
is the curvature where the chains are, since what is known ties some directions twenty times tighter than others, and
none of them to one number of z. The step size is found by dual averaging (Hoffman and Gelman 2014, section 3.2). Both
are learnt in the warm-up, by each image's own chains. Trajectories differ in length, so that none returns to its start.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..gan.gan import Generator, NormalPrior, Prior, UniformPrior
from ..seeds import Stream, philox
from ..types import Images, Latents, PerImage
from .objective import Objective, Terms, total
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
        # In this order, so that a stream means the same whatever the loss.
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


EDGE = 1e-6  # a latent on a wall of the cube starts so far inside
FIRST_STEP = 0.3  # where the curvature is 1; the warm-up finds its own in some ten proposals
LOOKS = (0.0, 0.1, 0.4)  # shares of the warm-up after which the curvature is measured; the rest settles the step
APART = 0.1  # how far apart gradients are compared, in deviations of the prior: little, but more than rounding
GAMMA, DELAY, FORGET = 0.05, 10.0, 0.75  # of dual averaging, as Hoffman and Gelman have them


def sample(
    generator: Generator,
    energy: Objective,
    z: Latents,
    *,
    chains: int,
    warm_up: int,
    draws: int,
    seeds: Sequence[int],
    leapfrog_steps: int = 10,
    target: float = 0.7,
) -> Iterator[Step]:
    """Yield the start, `warm_up` states that are to be forgotten, then `draws` from exp(-energy) times the prior.

    The rows of `z` are image by image, `chains` in a row for each, every one with a seed in [0, 2**128) of its own. A
    proposal takes 1 to 2 * `leapfrog_steps` - 1 gradients; `target` is the share accepted that the step size is tuned
    to. `notes` are `accepted` (1 or 0), `chance` (of being accepted) and `step_size`. Raises ValueError for numbers
    that do not fit, and for a prior that is neither uniform nor normal.
    """
    if chains < 1 or len(z) % chains or len(seeds) != len(z):
        raise ValueError(f"{len(z)} latents in chains of {chains} need as many seeds, but {len(seeds)} came")
    streams = [philox(seed) for seed in seeds]
    here = _evaluate(generator, energy, free(generator.prior, z.detach()))
    adaptation = Adaptation(len(z) // chains, chains, target, like=z)
    sure = torch.ones_like(here.energy)
    yield _step_posterior(0, here, accepted=sure, chance=sure, step_size=adaptation.step_size)
    looks = {round(share * warm_up) for share in LOOKS}
    for number in range(1, warm_up + draws + 1):
        if number - 1 in looks and number <= warm_up:
            adaptation.bend(_curvature(generator, energy, here, chains))
        step_size = adaptation.step_size[:, None]
        # In this order, so that a stream means the same whatever the energy.
        v = torch.from_numpy(np.stack([s.standard_normal(z.shape[1], np.float32) for s in streams])).to(z)
        uniform = torch.tensor([s.random() for s in streams]).to(z)
        there, v_there = here, v
        for _ in range(int(philox(Stream.HMC_LENGTHS.key(number=number)).integers(1, 2 * leapfrog_steps))):
            v_there = v_there - step_size / 2 * adaptation.scaled(there.gradient)
            there = _evaluate(generator, energy, there.u + step_size * adaptation.scaled(v_there))
            v_there = v_there - step_size / 2 * adaptation.scaled(there.gradient)
        lost = there.energy - here.energy + (v_there.square() - v.square()).sum(1) / 2
        chance = (-lost).clamp(max=0).exp().nan_to_num(nan=0.0)  # what has broken down is never accepted
        accepted = uniform < chance
        here = _where_posterior(accepted, there, here)
        if number <= warm_up:
            adaptation.learn(chance, last=number == warm_up)
        yield _step_posterior(number, here, accepted=accepted.to(z), chance=chance, step_size=step_size[:, 0])


def free(prior: Prior, z: Latents) -> Latents:
    """Latents as numbers that are standard normal where z is drawn from the prior."""
    if isinstance(prior, UniformPrior):
        return sqrt(2) * torch.erfinv(z.clamp(EDGE - 1, 1 - EDGE))
    return _normal(prior, z)


def bound(prior: Prior, u: Latents) -> Latents:
    """The inverse of `free`."""
    return torch.erf(u / sqrt(2)) if isinstance(prior, UniformPrior) else _normal(prior, u)


@final
@dataclass(frozen=True)
class _Point:
    """Where a chain is, what it draws, and its energy with the prior's."""

    u: Latents
    z: Latents
    images: Images
    terms: Terms
    energy: PerImage
    gradient: Latents


@final
class Adaptation:
    """What the chains of each image learn of it together: how far to step, and in which directions further."""

    def __init__(self, images: int, chains: int, target: float, like: Latents) -> None:
        self.chains, self.target = chains, target
        self.scale = torch.eye(like.shape[1]).to(like).repeat(images, 1, 1)
        self._count = 0
        self._short = like.new_zeros(images)
        self._logarithm = self._settled = like.new_full((images,), log(FIRST_STEP))
        self._aim = self._logarithm + log(10)  # larger steps are tried first: they are cheaper
        self.step_size = self._logarithm.exp().repeat_interleave(chains)

    def learn(self, chance: Float[Tensor, " rows"], *, last: bool) -> None:
        """How likely the last proposals were to be accepted. After the last of the warm-up the step size stays."""
        self._count += 1
        weight = 1 / (self._count + DELAY)
        self._short = (1 - weight) * self._short + weight * (self.target - chance.view(-1, self.chains).mean(1))
        self._logarithm = self._aim - sqrt(self._count) / GAMMA * self._short
        share = self._count**-FORGET
        self._settled = share * self._logarithm + (1 - share) * self._settled
        now = self._settled if last else self._logarithm
        self.step_size = now.exp().repeat_interleave(self.chains)

    def bend(self, curvature: Float[Tensor, "n d d"]) -> None:
        """Take the energy's second derivatives as the mass, and find the step size for them anew.

        The prior's part of it is 1, so that is the least in any direction; what is hollow counts as if it were not.
        """
        values, vectors = torch.linalg.eigh(curvature)
        self.scale = (vectors * values.abs().clamp_min(1).rsqrt()[:, None]) @ vectors.mT
        self._count, self._short = 0, torch.zeros_like(self._short)
        self._logarithm = self._settled = torch.full_like(self._short, log(FIRST_STEP))
        self._aim = self._logarithm + log(10)

    def scaled(self, v: Float[Tensor, "rows d"]) -> Float[Tensor, "rows d"]:
        """Velocities or gradients where the curvature is 1, in the numbers u."""
        return (v.view(len(self.scale), self.chains, -1) @ self.scale).view(v.shape)


def _curvature(generator: Generator, energy: Objective, here: "_Point", chains: int) -> Float[Tensor, "n d d"]:
    """The second derivatives, from gradients a little apart, on average over the chains of each image."""
    rows, d = here.u.shape
    apart = APART * (1 - 2 * (torch.arange(rows) % chains % 2)).to(
        here.u
    )  # forth and back by turns, to the same effect
    columns = []
    for k in range(d):
        moved = here.u.clone()
        moved[:, k] += apart
        columns.append((_evaluate(generator, energy, moved).gradient - here.gradient) / apart[:, None])
    measured = torch.stack(columns, 2).nan_to_num(0.0).view(rows // chains, chains, d, d).mean(1)
    return (measured + measured.mT) / 2


def _evaluate(generator: Generator, energy: Objective, u: Latents) -> _Point:
    """Nothing returned holds on to the computation behind it."""
    with torch.enable_grad():
        u = u.detach().requires_grad_()
        z = bound(generator.prior, u)
        images = generator(z)
        terms = energy(z, images)
        whole = total(terms) + u.square().sum(1) / 2
        (gradient,) = torch.autograd.grad(whole.sum(), u)
    kept = {name: term.detach() for name, term in terms.items()}
    return _Point(u.detach(), z.detach(), images.detach(), kept, whole.detach(), gradient)


def _where_posterior(accepted: Bool[Tensor, " n"], there: _Point, here: _Point) -> _Point:
    """Every chain's own of two points."""

    def choose(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(accepted.view(-1, *[1] * (a.ndim - 1)), a, b)

    return _Point(
        choose(there.u, here.u),
        choose(there.z, here.z),
        choose(there.images, here.images),
        {name: choose(there.terms[name], here.terms[name]) for name in here.terms},
        choose(there.energy, here.energy),
        choose(there.gradient, here.gradient),
    )


def _step_posterior(number: int, point: _Point, **notes: PerImage) -> Step:
    return Step(number, point.z, point.images, point.terms, notes)


def _normal(prior: Prior, z: Latents) -> Latents:
    if isinstance(prior, NormalPrior):
        return z
    raise ValueError(f"posterior samples need a uniform or a normal prior, not {type(prior).__name__}")
