"""What chains of samples tell: means, spreads, bands, and whether they have come to agree.

Which of the draws from a posterior to show: one that is typical, and others far from it and from each other.

What the numbers of posterior samples mean, in plain words.

Samples from the posterior as completions: what is possible where nothing is known, instead of what is best.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import isfinite
from statistics import NormalDist
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from ..errors import LatentfillError
from ..gan.gan import Gan, Generator
from ..images.incomplete import Incomplete
from ..options import CompleteOptions
from ..seeds import Stream
from ..types import Images, Known, PerImage
from .completion import Completion, best, concatenate
from .held_out import GREY_LEVEL, error, hold_out, without
from .hmc import sample
from .objective import CompletionLoss, Likelihood, Terms, likelihood_of, residuals, total
from .restarts import Race, around, starts
from .search import Step, adam, cosine, search

PARTS = 8  # of a picture along a side, whose mean colours are compared: a feature of a face
KEPT = 64  # samples of each image that are handed on: enough to draw candidates from
Draws = Float[np.ndarray, "chains draws d"]


@final
@dataclass(frozen=True, eq=False)
class Posterior:
    """What is likely of each image: the mean and the deviation of G(z), and samples of z [n, at most 64, d].

    `chain` [samples] says which chain each sample is of. `accepted` is the share of proposals. `rhat` is the largest
    split R-hat of a number of z (1 where the chains agree, and above 1.01 to 1.1 they do not yet), `effective` the
    smallest effective number of samples of one; `picture_rhat` and `picture_effective` are those of the pictures' mean
    colours in 8 x 8 parts: chains that still differ in z may agree in what they show.
    """

    mean: Images
    deviation: Images
    samples: Float[Tensor, "n k d"]
    chain: Int[Tensor, " k"]
    accepted: PerImage
    rhat: PerImage
    effective: PerImage
    picture_rhat: PerImage
    picture_effective: PerImage

    def band(self, share: float = 0.9, noise: PerImage | None = None) -> tuple[Images, Images]:
        """Where each number lies with that probability: from, to. `noise` is how far pictures are off G(z) besides."""
        noise = torch.zeros_like(self.accepted) if noise is None else noise
        spread = (self.deviation.square() + noise.view(-1, 1, 1, 1).square()).sqrt()
        width = NormalDist().inv_cdf((1 + share) / 2) * spread
        return self.mean - width, self.mean + width


@final
class Gathering:
    """Takes the steps of a sampler one by one, and tells what they say together.

    `where` [n, 1, h, w] is 1 in the part of the pictures that the diagnosis is of; by default all of them.
    """

    def __init__(self, chains: int, where: Known | None = None) -> None:
        self.chains, self.where = chains, where
        self._latents: list[Tensor] = []
        self._accepted: list[Tensor] = []
        self._parts: list[Tensor] = []
        self._first = self._shifted = self._squares = torch.empty(0)

    def add(self, step: Step) -> None:
        """One more draw of every chain."""
        images = _by_image(step.images.float(), self.chains)
        if not self._latents:
            self._first = images.mean(1)
            self._shifted, self._squares = torch.zeros_like(self._first), torch.zeros_like(self._first)
        off = images - self._first[:, None]  # small numbers, so that their squares keep digits
        self._shifted, self._squares = self._shifted + off.mean(1), self._squares + off.square().mean(1)
        self._latents.append(_by_image(step.z, self.chains))
        self._accepted.append(_by_image(step.notes["accepted"], self.chains).mean(1))
        self._parts.append(self._coarse(images))

    def told(self) -> Posterior:
        """What the draws so far tell; there must be some."""
        count, first = len(self._latents), self._first
        z, parts = torch.stack(self._latents, 2), torch.stack(self._parts, 2)  # [n, chains, draws, d]
        latents = [diagnose(one.double().cpu().numpy()) for one in z]
        pictures = [diagnose(one[..., one[0, 0].isfinite()].double().cpu().numpy()) for one in parts]
        rhat, effective, seen, worth = (
            first.new_tensor(c) for c in (*zip(*latents, strict=True), *zip(*pictures, strict=True))
        )
        variance = (self._squares / count - (self._shifted / count).square()).clamp_min(0)
        every = z.transpose(1, 2).flatten(1, 2)
        chosen = torch.linspace(0, every.shape[1] - 1, min(KEPT, every.shape[1])).round().long()
        mean, accepted = first + self._shifted / count, torch.stack(self._accepted).mean(0)
        samples, chain = every[:, chosen], chosen % self.chains
        return Posterior(mean, variance.sqrt(), samples, chain, accepted, rhat, effective, seen, worth)

    def _coarse(self, images: Float[Tensor, "n chains c h w"]) -> Float[Tensor, "n chains _"]:
        """The mean colours of the parts; NaN where nothing of one counts."""
        n, chains, c, h, w = images.shape
        where = images.new_ones(n, 1, h, w) if self.where is None else self.where
        side = (min(PARTS, h), min(PARTS, w))
        share = F.adaptive_avg_pool2d(where, side)
        means = F.adaptive_avg_pool2d((images * where[:, None]).flatten(0, 1), side).view(n, chains, c, *side)
        return (means / torch.where(share > 0, share, torch.nan)[:, None]).flatten(2)


def gather(steps: Iterable[Step], *, chains: int, warm_up: int, where: Known | None = None) -> Posterior:
    """Run a sampler to its end; the states up to number `warm_up` are forgotten. Raises ValueError if none is left."""
    gathering, last = Gathering(chains, where), 0
    for step in steps:
        last = step.number
        if last > warm_up:
            gathering.add(step)
    if last <= warm_up:
        raise ValueError(f"nothing was drawn after the warm-up of {warm_up}")
    return gathering.told()


def diagnose(draws: Draws) -> tuple[float, float]:
    """The largest split R-hat of several numbers, and the smallest effective number of samples."""
    if not draws.shape[2]:
        return 1.0, float(draws.shape[0] * draws.shape[1])
    return float(split_rhat(draws).max()), float(effective_samples(draws).min())


def split_rhat(draws: Draws) -> Float[np.ndarray, " d"]:
    """How much wider all draws together are than each half of each chain (Gelman et al. 2013, section 11.4)."""
    halves = _halves(draws)
    count = halves.shape[1]
    within, between = halves.var(1, ddof=1).mean(0), halves.mean(1).var(0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt((count - 1) / count + between / within)
    return np.where(within > 0, ratio, np.where(between > 0, np.inf, 1.0))  # chains that never moved


def effective_samples(draws: Draws) -> Float[np.ndarray, " d"]:
    """So many independent draws would tell the mean as well (Gelman et al. 2013, section 11.5; Geyer 1992's sum)."""
    halves = _halves(draws)
    m, n, _ = halves.shape
    centred = halves - halves.mean(1, keepdims=True)
    spectrum = np.fft.rfft(centred, 2 * n, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :n].mean(0) / n  # [lag, d]
    within = covariance[0] * n / (n - 1)
    total = within * (n - 1) / n + (halves.mean(1).var(0, ddof=1) if m > 1 else 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = 1 - (within - covariance) / total
    correlation[0] = 1
    pairs = (
        correlation[: n // 2 * 2].reshape(n // 2, 2, -1).sum(1)
    )  # of neighbours: positive and falling, but for noise
    pairs = np.minimum.accumulate(np.where(np.minimum.accumulate(pairs > 0, axis=0), pairs, 0), axis=0)
    time = np.maximum(2 * pairs.sum(0) - 1, 1 / np.log10(m * n))
    return np.where(total > 0, m * n / np.where(total > 0, time, 1), 1.0)


def _by_image(rows: Tensor, chains: int) -> Tensor:
    """[n * chains, ...] -> [n, chains, ...]"""
    return rows.reshape(-1, chains, *rows.shape[1:])


def _halves(draws: Draws) -> Float[np.ndarray, "_ _ d"]:
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half :]])


SHOWN = 16  # samples by which it is told how far known pixels are off
Places = Int[Tensor, "n _"]


def typical_first(generator: Generator, found: Posterior, where: Known, count: int) -> Places:
    """[n, count]: the places of samples of each image: first the one nearest to the mean, then ever the farthest.

    Distances are between what they draw where `where` is 1. As long as there are chains of which there is no sample
    yet, the next one is of such.
    """
    rows = []
    for samples, mean, counts in zip(found.samples, found.mean, where, strict=True):
        with torch.no_grad():
            images = generator(samples).float()
        chosen = [int(((images - mean) * counts).square().sum((1, 2, 3)).argmin())]
        nearest = torch.full_like(images[:, 0, 0, 0], torch.inf)
        while len(chosen) < count:
            last = ((images - images[chosen[-1]]) * counts).square().sum((1, 2, 3))
            nearest = torch.minimum(nearest, last)
            taken = found.chain[chosen]
            new = (found.chain[:, None] != taken).all(1).to(nearest)
            # of those of new chains the farthest, if there are any
            chosen.append(int((new * (1 + nearest.max()) + nearest).argmax()))
        rows.append(torch.tensor(chosen))
    return torch.stack(rows)


def unexplained(generator: Generator, incomplete: Incomplete, samples: Float[Tensor, "n _ d"]) -> PerImage:
    """Root mean square of what is known that the samples miss: what the generator cannot draw, and a hidden pixel
    misses as well.
    """
    chosen = samples[:, :: max(1, samples.shape[1] // SHOWN)]
    times, asked = chosen.shape[1], incomplete.repeat(chosen.shape[1])
    with torch.no_grad():
        missed = residuals(asked, generator(chosen.flatten(0, 1)).float())
    squares = torch.stack([r.square().sum((1, 2, 3)) for r in missed.values()]).sum(0)
    count = asked.known.sum((1, 2, 3)) * incomplete.images.shape[1]
    count = count + sum((one.count for one in asked.observations), torch.zeros_like(count))
    return (squares / count.clamp_min(1)).view(-1, times).mean(1).sqrt()


AGREE = 1.1  # R-hat above which chains are commonly said to disagree (Gelman et al. 2013, section 11.4)
FEW = 50  # draws' worth with which a spread is known to a tenth
STUCK = 0.2  # share of proposals; the step size aims at 0.7


def warnings(notes: Terms, row: int) -> tuple[str, ...]:
    """What a user should know of the chains of one image; nothing of a search that has none."""
    if "rhat" not in notes:
        return ()
    rhat, effective, accepted = (notes[name][row].item() for name in ("rhat", "effective", "accepted"))
    told = []
    if accepted < STUCK:
        told.append(f"hardly any proposal was accepted ({100 * accepted:.0f} %): the samples are of little worth")
    if not rhat <= AGREE:
        how = f"R-hat {rhat:.2f}" if isfinite(rhat) else "some never moved"
        told.append(f"the chains disagree ({how}): more is possible than the samples show; give more --steps")
    elif effective < FEW:
        told.append(f"the samples are worth {effective:.0f} independent ones: give more --steps for a surer spread")
    return tuple(told)


FIND_STEPS, FIND_RATE = 60, 0.1  # of the search before the chains, which says how well an image can be drawn
FEWEST = 4  # draws of a chain, whose halves are compared


def draw(gan: Gan, incomplete: Incomplete, options: CompleteOptions) -> Iterator[Completion]:
    """Yield a Completion after every step of a short search, of the warm-up and of the draws, as `watch` does.

    The last one's candidates are draws that lie far apart; its `spread` is that of all, and its `notes` say how well
    the chains agree. Each image has a sampler of its own: chains magnify the smallest rounding, and what is rounded
    how depends on what is computed together.
    """
    if options.updates(warm=False) < FEWEST:
        raise LatentfillError(
            f"{options.updates(warm=False)} draws tell nothing", f"Give {FEWEST} steps at least, better 200."
        )
    if incomplete.lowres is not None:
        raise LatentfillError("posterior samples know nothing of --hole lowres", "Give --observe lowres:8 instead.")
    streams = [_draw(gan, incomplete.select([i]), options) for i in range(len(incomplete))]
    return (concatenate(parts) for parts in zip(*streams, strict=True))


def _draw(gan: Gan, incomplete: Incomplete, o: CompleteOptions) -> Iterator[Completion]:
    """Search, so as to know how wide the likelihood is; run the chains; at last offer draws that lie far apart."""
    k = o.starts
    hidden = hold_out(incomplete, o)
    visible = incomplete if hidden is None else without(incomplete, hidden)
    race, last = Race(1, k, o.candidates), FIND_STEPS + o.warm_up + o.updates(warm=False)
    objective = CompletionLoss(visible.repeat(k), gan.discriminator, lam=0.0, balance="mean")
    z, rate = starts(gan, visible, o), adam(FIND_RATE)
    untold = {name: z.new_full((k,), torch.nan) for name in ("accepted", "rhat", "effective", "unexplained")}

    def told(step: Step) -> Completion:
        terms = {name: term for name, term in step.terms.items() if name != "perceptual"}
        notes = {name: step.notes.get(name, blank) for name, blank in untold.items()}
        return replace(best(replace(step, terms=terms, notes=notes), race, o.candidates, step.loss), total=last)

    for step in search(gan.generator, objective, z, steps=FIND_STEPS, optimizer=rate, schedule=cosine):
        if step.number < FIND_STEPS:
            yield told(step)
    energy = likelihood_of(visible.repeat(k), step.images, k)
    # Where searches end is no place to begin from: often on walls of the cube, and nothing like a draw.
    seeds = [Stream.POSTERIOR.key(o.seed, chain) for chain in range(2 * k)]
    gathering = Gathering(k, 1 - incomplete.known)
    for drawn in sample(
        gan.generator,
        energy,
        around(gan.generator, visible, step.z[step.loss.argmin()][None], seeds[:k]),
        chains=k,
        warm_up=o.warm_up,
        draws=o.updates(warm=False),
        seeds=seeds[k:],
        leapfrog_steps=o.leapfrog_steps,
    ):
        number = FIND_STEPS + drawn.number
        if drawn.number > o.warm_up:
            gathering.add(drawn)
        if number < last:
            yield replace(told(drawn), number=number)
    alone = Likelihood(
        visible, *({name: t[::k] for name, t in part.items()} for part in (energy.sigma, energy.temperature))
    )
    yield _offered(gan, incomplete, hidden, alone, gathering.told(), o.candidates, last)


def _offered(
    gan: Gan,
    incomplete: Incomplete,
    hidden: Known | None,
    energy: Likelihood,
    found: Posterior,
    candidates: int,
    number: int,
) -> Completion:
    """Some of the samples as completions, each with what all of them tell together."""
    places = typical_first(gan.generator, found, 1 - incomplete.known, candidates)
    missed = unexplained(gan.generator, energy.incomplete, found.samples) / GREY_LEVEL
    notes = {"accepted": found.accepted, "rhat": found.picture_rhat, "effective": found.picture_effective}
    notes["unexplained"] = missed
    width = found.deviation.square().mean(1, keepdim=True).sqrt() / GREY_LEVEL
    rows = torch.arange(len(incomplete))
    offered = []
    for place in places.T:
        z = found.samples[rows, place]
        with torch.no_grad():
            images = gan.generator(z)
            terms = energy(z, images)
        held_out = None if hidden is None else error(images, incomplete, hidden)
        chain = found.chain[place]
        one = Completion(number, images, z, terms, total(terms), chain, notes, (), number, held_out, width)
        offered.append(one)
    return replace(offered[0], others=tuple(offered[1:]))
