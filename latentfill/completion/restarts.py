"""Restarts: the starting points of each image's searches, and successive halving, which drops the worse half of them.

Jamieson and Talwalkar (2016), "Non-stochastic best arm identification and hyperparameter optimization".
"""

from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from ..errors import LatentfillError
from ..gan.gan import Gan
from ..images.incomplete import Incomplete
from ..options import CompleteOptions
from ..seeds import Stream
from ..types import Images, Known, Latents, PerImage
from .diverse_candidates import can_vary, sample_around
from .held_out import choose_hidden
from .search import Rows

TYPICAL = 64  # images whose mean shows which colours are usual at each position
THINNED = 0.25  # share of the known pixels that the encoder is not shown in a further restart
NOISE = 0.1  # factor of the prior's draws, added to the guess once in the second restart, twice in the third, ...
LOUDEST = 0.5  # largest factor; beyond it, nothing is left of the guess
CUTS = (0.25, 0.5, 0.75)  # shares of the steps after which half of the restarts are dropped
Numbers = Int[Tensor, "_ _"]  # of restarts


def uses_encoder(gan: Gan, options: CompleteOptions) -> bool:
    """Say whether the search starts from an encoder's guess. Raises LatentfillError if it should and there is none."""
    if options.start == "encoder" and gan.encoder is None:
        raise LatentfillError(
            "the model has no encoder to start from", "Start with auto or random, or take a model that has one."
        )
    return options.start != "random" and gan.encoder is not None


def initial_latents(gan: Gan, incomplete: Incomplete, options: CompleteOptions) -> Latents:
    """[n * options.starts, d]: where the restarts of each image begin, its own in a row.

    They depend on the image, the seed and the restart's number alone. Random ones are the same for every image; those
    of an encoder are first its guess, then guesses from fewer pixels with growing noise, or where candidates are asked
    for, latents that agree as well with what is known and differ elsewhere.
    """
    n, k = len(incomplete), options.starts
    seeds = [Stream.STARTS.key(options.seed, i) for i in range(k)]
    samples = gan.generator.prior.sample(seeds).to(incomplete.images)
    if not uses_encoder(gan, options):
        return samples.repeat(n, 1)
    if options.candidates > 1 and can_vary(gan.generator.prior, incomplete):
        return sample_around(gan.generator, incomplete, encoder_guess(gan, incomplete), seeds)
    guesses = []
    for i in range(k):
        noise = min(NOISE * i, LOUDEST) * samples[i]
        guess = encoder_guess(gan, incomplete, Stream.THINNED.key(options.seed, i), i)
        guesses.append(gan.generator.prior.project(guess + noise))
    return torch.stack(guesses, 1).flatten(0, 1)


def encoder_guess(gan: Gan, incomplete: Incomplete, seed: int = 0, restart: int = 0) -> Latents:
    """The encoder's latents for all that can be seen; in a further restart, for fewer pixels."""
    if gan.encoder is None:
        raise ValueError("a guess needs an encoder")
    images, known = _add_usual_colours(gan, incomplete)
    if restart:
        known = known - choose_hidden(known, THINNED, seed, anywhere=True)
    with torch.no_grad():
        return gan.encoder(images, known)


def _add_usual_colours(gan: Gan, incomplete: Incomplete) -> tuple[Images, Known]:
    """Add the generator's mean colours to all that can be seen, where no colours were.

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
            tint = mean - one.operator.to_images(one.operator.measure(mean), one.where[:1] * 0 + 1, mean)
            images = (images + where * (1 - incomplete.known) * tint).clamp(-1, 1)
    return images, known


@final
class SuccessiveHalving:
    """The restart of each row of a search. Rows are image by image, equally many for each, and become fewer."""

    def __init__(self, images: int, restarts: int, survivors: int, cuts: tuple[int, ...] = ()) -> None:
        self.labels = torch.arange(restarts).expand(images, -1)  # [images, remaining restarts]
        self.survivors, self.cuts = survivors, cuts

    @property
    def left(self) -> int:
        """Restarts of each image that are still running."""
        return self.labels.shape[1]

    @property
    def images(self) -> Rows:
        """The number of each row's image."""
        return torch.arange(len(self.labels)).repeat_interleave(self.left)

    def halve(self, number: int, score: PerImage) -> Rows | None:
        """The rows to go on with after step `number`: the better half of each image's. None for all."""
        fewer = max(self.survivors, (self.left + 1) // 2)
        if number not in self.cuts or fewer == self.left:
            return None
        order = rank_rows(score, self.left)[:, :fewer].sort(1).values  # in their original order
        self.labels = self.labels.gather(1, order.to(self.labels))
        before = torch.arange(len(order), device=order.device)[:, None] * (score.numel() // len(order))
        return (order + before).flatten()


def rank_rows(score: PerImage, restarts: int) -> Numbers:
    """[n, restarts]: of every image's rows, the numbers from the smallest score up; a NaN comes last."""
    scores = score.view(-1, restarts).nan_to_num(nan=torch.inf)  # a diverged search never wins
    return scores.sort(dim=1, stable=True).indices
