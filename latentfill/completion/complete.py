"""From Incomplete to Completion: search from each restart, then tune the best of them."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, replace

import torch

from ..device import choose_precision
from ..gan.fused import PARTS, fuse
from ..gan.gan import Gan, StagedGenerator
from ..images.incomplete import Incomplete
from ..options import CompleteOptions, choose_search, refuse_removed
from ..options.validation import check_bounds
from ..seeds import Stream
from ..types import Known, Latents, PerImage
from .completion import Completion as Completion
from .completion import best_of, standard_deviation
from .held_out import hide_pixels, hold_out, rmse
from .hmc import hmc
from .ilo import LATENT_STEP, optimise_maps
from .objective import Objective, completion_loss
from .one_pass import uses_completer, watch_conditional
from .restarts import CUTS, SuccessiveHalving, encoder_guess, initial_latents, uses_encoder
from .search import Halving, Rows, Step, adam, choose_optimizer, choose_schedule, cosine, search

HEAD_START = 1.5  # an encoder's first guess is best on average, so others must be better by more than chance


def watch(gan: Gan, incomplete: Incomplete, options: CompleteOptions | str | None = None) -> Iterator[Completion]:
    """Yield a Completion after every step, the start included: for progress bars, animations and logs.

    `options` may be the name of a preset. Close the iterator, or ask for no more, to stop the search. The networks are
    taken in inference mode and in the precision of the options, and come to no harm. Random starts depend on the seed
    and the restart alone, and what is hidden on the seed and the hole, so every image is completed as if it were the
    only one. Raises ValueError for options out of bounds and for images that are not like the generator's,
    LatentfillError for want of an encoder.
    """
    options = _check_options(choose_search(options))
    if not len(incomplete):
        raise ValueError("there is no image to complete")
    conditional = uses_completer(gan, incomplete, options)
    # In a conditional search this is the completer alone, which saves half the time.
    precision = choose_precision(options.precision, incomplete.images.device)
    gan = fuse(gan, precision, ("completer",) if conditional else PARTS)
    completion_loss(incomplete, gan.discriminator, options)  # so that bad options raise before the first step
    if conditional:
        return watch_conditional(gan, incomplete, options)
    uses_encoder(gan, options)
    return _watch(gan, incomplete, options)


def complete(gan: Gan, incomplete: Incomplete, options: CompleteOptions | str | None = None) -> Completion:
    """The last step of `watch`: the images [n, c, h, w] that agree best with what is known."""
    return deque(watch(gan, incomplete, options), maxlen=1).pop()


def _watch(gan: Gan, incomplete: Incomplete, o: CompleteOptions) -> Iterator[Completion]:
    """Search from all restarts on the pixels that are not hidden; then refine the best of them on all that is known."""
    steps = o.updates(warm=uses_encoder(gan, o))
    hidden = hold_out(incomplete, o)
    refines = bool(o.tune_steps) or hidden is not None
    for completion in _search_restarts(gan, incomplete, hidden, steps, o):
        if completion.number < steps or not refines:
            yield replace(completion, total=steps + o.tune_steps)
    if refines:
        yield from _refine(gan, incomplete, hidden, completion, o)


def _search_restarts(
    gan: Gan, incomplete: Incomplete, hidden: Known | None, steps: int, o: CompleteOptions
) -> Iterator[Completion]:
    visible = incomplete if hidden is None else hide_pixels(incomplete, hidden)
    cuts = tuple(round(cut * steps) for cut in CUTS) if o.prune else ()
    restarts = SuccessiveHalving(len(incomplete), o.starts, o.candidates, cuts)

    def held_out_error(step: Step) -> PerImage | None:
        if hidden is None:
            return None
        return rmse(step.images, incomplete.select(restarts.images), hidden[restarts.images])

    def score(step: Step) -> PerImage:
        """The held-out error, or the loss where nothing is hidden; with a head start for the first guess."""
        error = held_out_error(step)
        error = step.loss if error is None else torch.where(error.isnan(), step.loss, error)
        if not uses_encoder(gan, o):
            return error
        return torch.where(restarts.labels.flatten().to(error) > 0, HEAD_START * error, error)

    def halve(step: Step) -> tuple[Rows, Objective] | None:
        rows = restarts.halve(step.number, score(step))
        if rows is None:
            return None
        return rows, completion_loss(visible.select(restarts.images), gan.discriminator, o)

    z = initial_latents(gan, visible, o)
    objective = completion_loss(visible.repeat(o.starts), gan.discriminator, o)
    for step in _search(gan, objective, z, steps, o, halve):
        completion = best_of(step, restarts, o.candidates, score(step), held_out_error(step))
        yield replace(completion, spread=standard_deviation(step.images, restarts.left))


def _refine(
    gan: Gan, incomplete: Incomplete, hidden: Known | None, before: Completion, o: CompleteOptions
) -> Iterator[Completion]:
    """Go on from the candidates with nothing hidden: in the generator's maps too, if it can be taken apart."""
    chosen = before.candidates
    z = torch.stack([one.z for one in chosen], 1)
    if hidden is not None and uses_encoder(gan, o):
        # Once the encoder sees the hidden pixels, its guess changes; that change is added to every restart.
        z = z + (encoder_guess(gan, incomplete) - encoder_guess(gan, hide_pixels(incomplete, hidden)))[:, None]
    z = gan.generator.prior.project(z.flatten(0, 1))
    objective = completion_loss(incomplete.repeat(len(chosen)), gan.discriminator, o)
    if isinstance(gan.generator, StagedGenerator):
        steps = optimise_maps(gan.generator, objective, z, steps=o.tune_steps, rate=o.tune_rate, weight=o.tune_weight)
    else:
        optimizer = adam(LATENT_STEP * o.tune_rate)
        steps = search(gan.generator, objective, z, steps=o.tune_steps, optimizer=optimizer, schedule=cosine)
    restarts = SuccessiveHalving(len(incomplete), len(chosen), len(chosen))
    for step in steps:
        number = before.number + step.number
        after = best_of(step, restarts, len(chosen), restarts.labels.flatten().to(z))  # the restarts keep their order
        candidates = [
            replace(new, number=number, total=before.number + o.tune_steps, attempt=old.attempt, held_out=old.held_out)
            for new, old in zip(after.candidates, chosen, strict=True)
        ]
        yield replace(candidates[0], others=tuple(candidates[1:]), spread=before.spread)


def _search(
    gan: Gan, objective: Objective, z: Latents, steps: int, o: CompleteOptions, halve: Halving
) -> Iterator[Step]:
    """Search by the options' method."""
    if o.method == "hmc":
        return hmc(
            gan.generator,
            objective,
            z,
            steps=steps,
            seeds=[Stream.HMC.key(o.seed, row % o.starts) for row in range(len(z))],
            beta=o.hmc_beta,
            step_size=o.hmc_step_size,
            leapfrog_steps=o.hmc_leapfrog_steps,
            anneal=o.hmc_anneal,
        )
    return search(
        gan.generator,
        objective,
        z,
        steps=steps,
        optimizer=choose_optimizer(o),
        schedule=choose_schedule(o),
        halve=halve,
    )


def _check_options(options: CompleteOptions) -> CompleteOptions:
    refuse_removed(asdict(options))
    check_bounds(options)
    return options
