"""Attempts that differ where nothing is known and agree where something is: for candidates worth looking at.

Around a guess the generator is nearly linear, and what is known ties some directions of the latent far tighter than
others. Latents are drawn with the posterior's deviations in that linear model (Laplace's approximation), and of a few
times too many those are taken whose images lie farthest apart.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float

from ..gan.gan import Generator
from ..gan.prior import NormalPrior, Prior, UniformPrior
from ..images.incomplete import Incomplete
from ..types import Images, Latents
from .objective import likelihood_of, residuals
from .sampling.posterior import bound, free

Varied = Float[torch.Tensor, "_ d"]
TRIED = 3  # latents drawn for each one taken
NARROWER = 0.8  # than the linear model has it, which trusts its straight lines too far: mouths smear at 1
STEP = 0.5  # deviations of the prior over which slopes are taken: as far as the draws go, and far beyond rounding
INSIDE = 0.9  # a guess on the wall of the cube could go nowhere


def can_vary(prior: Prior, incomplete: Incomplete) -> bool:
    """Whether this prior, and what is known here, have a linear model."""
    return isinstance(prior, UniformPrior | NormalPrior) and incomplete.lowres is None


def varied(generator: Generator, incomplete: Incomplete, guesses: Latents, seeds: Sequence[int]) -> Varied:
    """[n * len(seeds), d]: for each image its guess, then latents that agree as well and draw something else.

    They depend on the image, the guess and the seeds alone. `seeds` are one for each, the guess included.
    """
    found = []
    tried = [seed + (t << 32) for seed in seeds for t in range(TRIED)]
    for i in range(len(guesses)):
        one, guess = incomplete.select([i]), guesses[i : i + 1]
        z = torch.cat([guess, around(generator, one, guess, tried, NARROWER)])
        with torch.no_grad():
            images = generator(z).float() * (1 - one.known)
        found.append(z[apart(images, len(seeds))])
    return torch.cat(found)


def around(generator: Generator, one: Incomplete, guess: Latents, seeds: Sequence[int], width: float = 1.0) -> Varied:
    """[len(seeds), d]: latents drawn from the linear model around the guess at one image, `width` times as far off.

    Raises ValueError for a prior that is neither uniform nor normal.
    """
    prior = generator.prior
    start = free(prior, guess.clamp(-INSIDE, INSIDE) if isinstance(prior, UniformPrior) else guess)
    noise = free(prior, prior.sample(seeds).to(guess))
    return bound(prior, start + width * noise @ _deviations(generator, one, start, bound(prior, start)))


def apart(images: Images, count: int) -> list[int]:
    """The numbers of so many images: the first, then ever the one that is farthest from those before."""
    chosen, nearest = [0], torch.full((len(images),), torch.inf, device=images.device)
    while len(chosen) < count:
        nearest = torch.minimum(nearest, (images - images[chosen[-1]]).square().sum((1, 2, 3)))
        chosen.append(int(nearest.argmax()))
    return chosen


@torch.no_grad()
def _deviations(generator: Generator, one: Incomplete, u: Latents, z: Latents) -> Float[torch.Tensor, "d d"]:
    """The root of the posterior's covariance around one latent: noise times it has this covariance."""
    d = u.shape[1]
    likelihood = likelihood_of(one, generator(z).float())
    moves = STEP * torch.eye(d, device=u.device)
    there = generator(bound(generator.prior, torch.cat([u + moves, u - moves]))).float()
    curvature = torch.eye(d, device=u.device)
    for name, off in residuals(one.repeat(2 * d), there).items():
        slopes = ((off[:d] - off[d:]) / (2 * STEP)).flatten(1)
        curvature += slopes @ slopes.T / (likelihood.sigma[name].square() * likelihood.temperature[name])
    values, vectors = torch.linalg.eigh(curvature)
    root: torch.Tensor = (vectors * values.clamp_min(1).rsqrt()) @ vectors.T
    return root
