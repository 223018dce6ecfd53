"""Samples from the posterior as completions: what is possible where nothing is known, instead of what is best."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from ..errors import LatentfillError
from ..gan.gan import Gan
from ..images.incomplete import Incomplete
from ..options import CompleteOptions
from ..types import Known
from .answer import Completion, best, concatenate
from .attempts import Race, seed_of, starts
from .diversity import around
from .held_out import GREY_LEVEL, error, hide, without
from .objective import CompletionLoss, Likelihood, likelihood_of, total
from .sampling.chains import Gathering, Posterior
from .sampling.draws import typical_first, unexplained
from .sampling.posterior import sample
from .search import Step, adam, cosine, search

HIDDEN_STREAM, POSTERIOR_STREAM = 7, 9  # seeds of different draws must never meet
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
    hidden = hide(incomplete.known, o.held_out, seed_of(o, HIDDEN_STREAM, 0)) if o.held_out else None
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
    seeds = [seed_of(o, POSTERIOR_STREAM, chain) for chain in range(2 * k)]
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
