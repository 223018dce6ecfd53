"""Incomplete in, Completion out."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, replace

import torch
from pydantic import TypeAdapter, ValidationError

from ..device import choose_precision
from ..gan.gan import Gan, StagedGenerator
from ..images.incomplete import Incomplete
from ..options import COMPLETE_PRESETS, CompleteOptions, refuse_removed
from ..seeds import Stream
from ..types import Known, Latents, PerImage
from .completion import Completion as Completion
from .completion import best_of, standard_deviation
from .conditional import uses_completer, watch_conditional
from .held_out import hide_pixels, hold_out, rmse
from .hmc import hmc
from .ilo import LATENT_STEP, optimise_maps
from .objective import CompletionLoss, Objective
from .restarts import CUTS, SuccessiveHalving, encoder_guess, initial_latents, uses_encoder
from .search import Halving, Rows, Step, adam, constant, cosine, nesterov, prepare, search

HEAD_START = 1.5  # an encoder's first guess is the best on average; another has to be better by more than chance


def watch(gan: Gan, incomplete: Incomplete, options: CompleteOptions | None = None) -> Iterator[Completion]:
    """Yield a Completion after every step, the start included: for progress bars, animations and logs.

    Close the iterator, or ask for no more, to stop the search. The networks are taken in inference mode and in the
    precision of the options, and come to no harm. Random starts depend on the seed and the attempt alone, and what is
    hidden on the seed and the hole, so every image is completed as if it were the only one. Raises ValueError for
    options out of bounds and for images that are not like the generator's, LatentfillError for want of an encoder.
    """
    options = _checked(options or COMPLETE_PRESETS["best"])
    if not len(incomplete):
        raise ValueError("there is no image to complete")
    conditional = uses_completer(gan, incomplete, options)
    gan = prepare(gan, choose_precision(options.precision, incomplete.images.device), conditional=conditional)
    loss_of(gan, incomplete, options)
    if conditional:
        return watch_conditional(gan, incomplete, options)
    uses_encoder(gan, options)
    return _watch(gan, incomplete, options)


def complete(gan: Gan, incomplete: Incomplete, options: CompleteOptions | None = None) -> Completion:
    """The last word of `watch`: the images [n, c, h, w] that agree best with what is known."""
    return deque(watch(gan, incomplete, options), maxlen=1).pop()


def loss_of(gan: Gan, incomplete: Incomplete, options: CompleteOptions) -> CompletionLoss:
    """What the options make small; `raw` of it gives the terms without their weights."""
    o = options
    return CompletionLoss(incomplete, gan.discriminator, o.lam, o.context, o.window, o.perceptual, o.balance)


def _watch(gan: Gan, incomplete: Incomplete, o: CompleteOptions) -> Iterator[Completion]:
    """First the attempts, on the pixels that are not hidden; then the best of them, on all that is known."""
    steps = o.updates(warm=uses_encoder(gan, o))
    hidden = hold_out(incomplete, o)
    more = bool(o.tune_steps) or hidden is not None
    for found in _attempt(gan, incomplete, hidden, steps, o):
        if found.number < steps or not more:
            yield replace(found, total=steps + o.tune_steps)
    if more:
        yield from _finish(gan, incomplete, hidden, found, o)


def _attempt(
    gan: Gan, incomplete: Incomplete, hidden: Known | None, steps: int, o: CompleteOptions
) -> Iterator[Completion]:
    visible = incomplete if hidden is None else hide_pixels(incomplete, hidden)
    race = SuccessiveHalving(
        len(incomplete), o.starts, o.candidates, tuple(round(cut * steps) for cut in CUTS) if o.prune else ()
    )

    def missed(step: Step) -> PerImage | None:
        return None if hidden is None else rmse(step.images, incomplete.select(race.images), hidden[race.images])

    def score(step: Step) -> PerImage:
        """The error on the hidden pixels, or the loss where nothing is hidden; with a start for the first guess."""
        found = missed(step)
        found = step.loss if found is None else torch.where(found.isnan(), step.loss, found)
        return (
            torch.where(race.labels.flatten().to(found) > 0, HEAD_START * found, found)
            if uses_encoder(gan, o)
            else found
        )

    def narrow(step: Step) -> tuple[Rows, Objective] | None:
        rows = race.halve(step.number, score(step))
        return None if rows is None else (rows, loss_of(gan, visible.select(race.images), o))

    objective = loss_of(gan, visible.repeat(o.starts), o)
    for step in _steps(gan, objective, initial_latents(gan, visible, o), steps, o, narrow):
        found = best_of(step, race, o.candidates, score(step), missed(step))
        yield replace(found, spread=standard_deviation(step.images, race.left))


def _finish(
    gan: Gan, incomplete: Incomplete, hidden: Known | None, found: Completion, o: CompleteOptions
) -> Iterator[Completion]:
    """Go on from the best attempts with nothing hidden: tune the generator, or what of it can be."""
    chosen = found.candidates
    z = torch.stack([one.z for one in chosen], 1)
    if hidden is not None and uses_encoder(gan, o):
        # What the encoder makes of the pixels that were hidden from it moves every attempt alike.
        z = z + (encoder_guess(gan, incomplete) - encoder_guess(gan, hide_pixels(incomplete, hidden)))[:, None]
    z = gan.generator.prior.project(z.flatten(0, 1))
    objective = loss_of(gan, incomplete.repeat(len(chosen)), o)
    if isinstance(gan.generator, StagedGenerator):
        steps = optimise_maps(gan.generator, objective, z, steps=o.tune_steps, rate=o.tune_rate, weight=o.tune_weight)
    else:
        rate = adam(LATENT_STEP * o.tune_rate)
        steps = search(gan.generator, objective, z, steps=o.tune_steps, optimizer=rate, schedule=cosine)
    race = SuccessiveHalving(len(incomplete), len(chosen), len(chosen))
    for step in steps:
        number = found.number + step.number
        made = best_of(step, race, len(chosen), race.labels.flatten().to(z))  # they keep their order
        candidates = [
            replace(new, number=number, total=found.number + o.tune_steps, attempt=old.attempt, held_out=old.held_out)
            for new, old in zip(made.candidates, chosen, strict=True)
        ]
        yield replace(candidates[0], others=tuple(candidates[1:]), spread=found.spread)


def _steps(
    gan: Gan, objective: Objective, z: Latents, steps: int, options: CompleteOptions, narrow: Halving
) -> Iterator[Step]:
    o = options
    if o.method == "hmc":
        seeds = [Stream.HMC.key(o.seed, row % o.starts) for row in range(len(z))]
        return hmc(
            gan.generator,
            objective,
            z,
            steps=steps,
            seeds=seeds,
            beta=o.hmc_beta,
            step_size=o.hmc_step_size,
            leapfrog_steps=o.hmc_leapfrog_steps,
            anneal=o.hmc_anneal,
        )
    if o.method == "nesterov":
        optimizer = nesterov(o.learning_rate, o.momentum)
    else:
        optimizer = adam(o.learning_rate, o.beta1, o.beta2, o.epsilon)
    schedule = cosine if o.schedule == "cosine" else constant
    return search(gan.generator, objective, z, steps=steps, optimizer=optimizer, schedule=schedule, narrow=narrow)


def _checked(options: CompleteOptions) -> CompleteOptions:
    refuse_removed(asdict(options))
    try:
        TypeAdapter(CompleteOptions).validate_python(asdict(options))
    except ValidationError as error:
        first = error.errors()[0]
        name, why = first["loc"][0], first["msg"]
        raise ValueError(f"option {name}: {why[0].lower()}{why[1:]}, not {first['input']!r}") from error
    return options
