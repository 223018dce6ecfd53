"""Attempts that differ where nothing is known and agree where something is: for candidates worth looking at.

Around a guess the generator is nearly linear, and what is known ties some directions of the latent far tighter than
others. Latents are drawn with the posterior's deviations in that linear model (Laplace's approximation), and of a few
times too many those are taken whose images lie farthest apart.

Several attempts at each image: where they start, which is ahead, and which are given up.
"""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import LatentfillError
from ..gan.gan import Gan, Generator, NormalPrior, Prior, UniformPrior
from ..images.incomplete import Incomplete
from ..options import CompleteOptions
from ..seeds import Stream
from ..types import Images, Known, Latents, PerImage
from .held_out import hide
from .hmc import bound, free
from .objective import likelihood_of, residuals
from .search import Rows

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


TYPICAL = 64  # images whose mean shows what colours are usual where
THINNED = 0.25  # share of the known pixels that the encoder is not shown in a further attempt
NOISE = 0.1  # of the prior's draws, added to the guess once in the second attempt, twice in the third, ...
LOUDEST = 0.5  # beyond it, nothing is left of the guess
CUTS = (0.25, 0.5, 0.75)  # shares of the steps after which half of the attempts are given up
Numbers = Int[Tensor, "_ _"]  # of attempts


def warm(gan: Gan, options: CompleteOptions) -> bool:
    """Whether the search starts from an encoder's guess. Raises LatentfillError if it should and there is none."""
    if options.start == "encoder" and gan.encoder is None:
        raise LatentfillError(
            "the model has no encoder to start from", "Start with auto or random, or take a model that has one."
        )
    return options.start != "random" and gan.encoder is not None


def starts(gan: Gan, incomplete: Incomplete, options: CompleteOptions) -> Latents:
    """[n * options.starts, d]: where the attempts at each image begin, its own in a row.

    They depend on the image, the seed and the attempt's number alone. Random ones are the same for every image; those
    of an encoder are first its guess, then guesses from fewer pixels with growing noise, or where candidates are asked
    for, latents that agree as well with what is known and differ elsewhere.
    """
    n, k = len(incomplete), options.starts
    seeds = [Stream.STARTS.key(options.seed, i) for i in range(k)]
    drawn = gan.generator.prior.sample(seeds).to(incomplete.images)
    if not warm(gan, options):
        return drawn.repeat(n, 1)
    if options.candidates > 1 and can_vary(gan.generator.prior, incomplete):
        return varied(gan.generator, incomplete, guess(gan, incomplete), seeds)
    found = []
    for i in range(k):
        noise = min(NOISE * i, LOUDEST) * drawn[i]
        found.append(
            gan.generator.prior.project(guess(gan, incomplete, Stream.THINNED.key(options.seed, i), i) + noise)
        )
    return torch.stack(found, 1).flatten(0, 1)


def guess(gan: Gan, incomplete: Incomplete, seed: int = 0, attempt: int = 0) -> Latents:
    """What the encoder makes of all that can be seen; in a further attempt, of fewer pixels."""
    if gan.encoder is None:
        raise ValueError("a guess needs an encoder")
    images, known = _coloured(gan, incomplete)
    if attempt:
        known = known - hide(known, THINNED, seed, anywhere=True)
    with torch.no_grad():
        return gan.encoder(images, known)


def _coloured(gan: Gan, incomplete: Incomplete) -> tuple[Images, Known]:
    """All that can be seen, and where no colours were seen, those that the generator's images have on average.

    An encoder that is shown a grey face finds a pale one.
    """
    images, known = incomplete.shown
    for one in incomplete.observations:
        if one.seen.shape[1] < images.shape[1]:
            where = one.where.repeat_interleave(images.shape[-1] // one.where.shape[-1], 3)
            where = where.repeat_interleave(images.shape[-2] // one.where.shape[-2], 2)
            z = gan.generator.prior.sample([Stream.MEAN_COLOURS.key(number=i) for i in range(TYPICAL)]).to(images)
            with torch.no_grad():
                mean = gan.generator(z).float().mean(0, keepdim=True)
            tint = mean - one.observer.picture(one.observer.observe(mean), one.where[:1] * 0 + 1, mean)
            images = (images + where * (1 - incomplete.known) * tint).clamp(-1, 1)
    return images, known


@final
class Race:
    """Which attempt each row of a search is. Rows are image by image, equally many for each, and become fewer."""

    def __init__(self, images: int, attempts: int, survivors: int, cuts: tuple[int, ...] = ()) -> None:
        self.labels = torch.arange(attempts).expand(images, -1)  # [images, attempts that are left]
        self.survivors, self.cuts = survivors, cuts

    @property
    def left(self) -> int:
        """Attempts at each image that are still running."""
        return self.labels.shape[1]

    @property
    def images(self) -> Rows:
        """The number of each row's image."""
        return torch.arange(len(self.labels)).repeat_interleave(self.left)

    def halve(self, number: int, score: PerImage) -> Rows | None:
        """The rows to go on with after step `number`: of each image's the half with the smaller scores."""
        fewer = max(self.survivors, (self.left + 1) // 2)
        if number not in self.cuts or fewer == self.left:
            return None
        order = ranks(score, self.left)[:, :fewer].sort(1).values  # in the order in which they came
        self.labels = self.labels.gather(1, order.to(self.labels))
        return (
            order + torch.arange(len(order), device=order.device)[:, None] * (score.numel() // len(order))
        ).flatten()


def ranks(score: PerImage, attempts: int) -> Numbers:
    """Of every `attempts` rows in a row: which has the smallest score, the next one, ...; a NaN comes last."""
    scores = score.view(-1, attempts).nan_to_num(nan=torch.inf)  # a search that has broken down never wins
    return scores.sort(dim=1, stable=True).indices
