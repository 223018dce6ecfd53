"""Restarts that agree with the known pixels and differ elsewhere: candidates for the user to choose from.

Around a guess the generator is nearly linear, and the known pixels determine some directions of the latent far more
closely than others. Latents are drawn with the posterior's covariance in that linear model (Laplace's approximation).
More are drawn than needed, and those whose images lie farthest apart are kept.
"""

from collections.abc import Sequence
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..gan.gan import Generator, NormalPrior, Prior, UniformPrior
from ..images.incomplete import Incomplete
from ..images.pixels import GREY_LEVEL
from ..types import Images, Latents
from .objective import Terms

Samples = Float[Tensor, "_ d"]
OVERSAMPLING = 3  # latents drawn for each one taken
WIDTH = 0.8  # times the linear model's deviations: it extrapolates too far, and mouths smear at 1
STEP = 0.5  # deviations of the prior over which slopes are taken: as far as the draws reach, and far above rounding
INSIDE = 0.9  # a guess on the boundary of the cube could not move
EDGE = 1e-6  # the least distance from that boundary
REACH = 4  # pixels within which a generator's residuals are correlated


def can_vary(prior: Prior, incomplete: Incomplete) -> bool:
    """True if this prior and these measurements have a linear model."""
    return isinstance(prior, UniformPrior | NormalPrior) and incomplete.lowres is None


def sample_around(generator: Generator, incomplete: Incomplete, guesses: Latents, seeds: Sequence[int]) -> Samples:
    """[n * len(seeds), d]: for each image its guess, then latents that agree as well and draw something else.

    They depend on the image, the guess and the seeds alone. `seeds` are one for each, the guess included. Raises
    ValueError for a prior that is neither uniform nor normal.
    """
    samples = []
    more_seeds = [seed + (t << 32) for seed in seeds for t in range(OVERSAMPLING)]
    for i in range(len(guesses)):
        one, guess = incomplete.select([i]), guesses[i : i + 1]
        z = torch.cat([guess, _sample_posterior(generator, one, guess, more_seeds)])
        with torch.no_grad():
            images = generator(z).float() * (1 - one.known)
        samples.append(z[farthest_points(images, len(seeds))])
    return torch.cat(samples)


def farthest_points(images: Images, count: int) -> list[int]:
    """Indices of images: the first, then always the image that is farthest from those chosen."""
    chosen, nearest = [0], torch.full((len(images),), torch.inf, device=images.device)
    while len(chosen) < count:
        nearest = torch.minimum(nearest, (images - images[chosen[-1]]).square().sum((1, 2, 3)))
        chosen.append(int(nearest.argmax()))
    return chosen


def to_normal(prior: Prior, z: Latents) -> Latents:
    """Latents as numbers that are standard normal where z is drawn from the prior: z = erf(u / sqrt 2) if uniform."""
    if isinstance(prior, UniformPrior):
        return sqrt(2) * torch.erfinv(z.clamp(EDGE - 1, 1 - EDGE))
    return _check_normal(prior, z)


def from_normal(prior: Prior, u: Latents) -> Latents:
    """Invert `to_normal`."""
    return torch.erf(u / sqrt(2)) if isinstance(prior, UniformPrior) else _check_normal(prior, u)


def residual_variances(incomplete: Incomplete, images: Images) -> Terms:
    """The variance that images' residuals have, times how many of them count as one, by term.

    The variance is their mean square, and at least the observation's noise. A generator's residuals are correlated
    within REACH pixels and across channels, so they are worth fewer than they are.
    """
    variances: Terms = {}
    counts = {"contextual": incomplete.known.sum((1, 2, 3)) * images.shape[1]}
    counts |= {one.operator.name: one.count for one in incomplete.observations}
    noise = {one.operator.name: one.operator.sigma for one in incomplete.observations}
    for name, r in _residuals(incomplete, images).items():
        squares = r.square().sum((1, 2, 3))
        least = max(noise.get(name, 0.0), GREY_LEVEL)  # no value is known more precisely
        summed = r.sum(1, keepdim=True)
        around = F.avg_pool2d(summed, 2 * REACH + 1, stride=1, padding=REACH) * (2 * REACH + 1) ** 2
        correlated = (summed * around).sum((1, 2, 3)) / squares.clamp_min(1e-12)
        sigma = (squares / counts[name].clamp_min(1)).sqrt().clamp_min(least)
        variances[name] = sigma.square() * torch.where(squares > 0, correlated, 1).clamp_min(1)
    return variances


def _sample_posterior(generator: Generator, one: Incomplete, guess: Latents, seeds: Sequence[int]) -> Samples:
    """[len(seeds), d]: latents drawn from the linear model around the guess at one image."""
    prior = generator.prior
    start = to_normal(prior, guess.clamp(-INSIDE, INSIDE) if isinstance(prior, UniformPrior) else guess)
    noise = to_normal(prior, prior.sample(seeds).to(guess))
    root = _root_of_covariance(generator, one, start, from_normal(prior, start))
    return from_normal(prior, start + WIDTH * noise @ root)


@torch.no_grad()
def _root_of_covariance(generator: Generator, one: Incomplete, u: Latents, z: Latents) -> Float[Tensor, "d d"]:
    """The symmetric root of the posterior's covariance around one latent: noise times it has this covariance."""
    d = u.shape[1]
    variances = residual_variances(one, generator(z).float())
    moves = STEP * torch.eye(d, device=u.device)
    moved = generator(from_normal(generator.prior, torch.cat([u + moves, u - moves]))).float()
    curvature = torch.eye(d, device=u.device)
    for name, r in _residuals(one.repeat(2 * d), moved).items():
        slopes = ((r[:d] - r[d:]) / (2 * STEP)).flatten(1)
        curvature += slopes @ slopes.T / variances[name]
    values, vectors = torch.linalg.eigh(curvature)
    root: Tensor = (vectors * values.clamp_min(1).rsqrt()) @ vectors.T
    return root


def _residuals(incomplete: Incomplete, images: Images) -> dict[str, Float[Tensor, "n _ _ _"]]:
    """Differences from the known values: `contextual` for the pixels, and each measurement's under its name."""
    terms = {"contextual": incomplete.known * (images - incomplete.images)}
    return terms | {one.operator.name: one.residual(images) for one in incomplete.observations}


def _check_normal(prior: Prior, z: Latents) -> Latents:
    if isinstance(prior, NormalPrior):
        return z
    raise ValueError(f"a linear model needs a uniform or a normal prior, not {type(prior).__name__}")
