"""Incomplete in, Completion out."""

from collections import deque
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar, final

import torch
from jaxtyping import Int
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from ..gan.device import choose_precision
from ..gan.fused import fused
from ..gan.gan import Gan
from ..images.incomplete import Incomplete
from ..options import CompleteOptions
from ..types import Images, Latents, PerImage
from .hmc import hmc
from .objective import CompletionLoss, Objective, Terms
from .search import Step, adam, nesterov, search

START_STREAM, HMC_STREAM = 4, 5  # seeds of different draws must never meet, nor those of the training (1 to 3)

Network = TypeVar("Network")


@final
@dataclass(frozen=True)
class Completion:
    """The best of the attempts at each image after `number` steps. Blend `images` with the known pixels to finish.

    `terms` are the weighted losses, whose sum is `loss`; `attempt` says which start each image comes from, counted
    from 0; `notes` are what the search adds (`accepted` of HMC). `others` are the next best attempts, as many as the
    options ask for candidates, the best of them first.
    """

    number: int
    images: Images
    z: Latents
    terms: Terms
    loss: PerImage
    attempt: Int[Tensor, " n"]
    notes: Terms = field(default_factory=dict)
    others: tuple["Completion", ...] = ()

    @property
    def candidates(self) -> tuple["Completion", ...]:
        """This one and the others, the best first."""
        return (self, *self.others)

    def select(self, rows: slice) -> "Completion":
        """Those images alone."""
        terms, notes = ({name: term[rows] for name, term in group.items()} for group in (self.terms, self.notes))
        others = tuple(other.select(rows) for other in self.others)
        return Completion(
            self.number, self.images[rows], self.z[rows], terms, self.loss[rows], self.attempt[rows], notes, others
        )


def watch(gan: Gan, incomplete: Incomplete, options: CompleteOptions | None = None) -> Iterator[Completion]:
    """Yield a Completion after every step, the start included: for progress bars, animations and logs.

    Close the iterator, or ask for no more, to stop the search. The networks are taken in inference mode and in the
    precision of the options, and come to no harm. Every image starts from the same latents, which depend on the seed
    and the attempt alone, so it is completed as if it were the only one. Raises ValueError for options out of bounds
    and for images that are not like the generator's.
    """
    options = _checked(options or CompleteOptions())
    n, device = len(incomplete), incomplete.images.device
    if not n:
        raise ValueError("there is no image to complete")
    gan = _prepared(gan, choose_precision(options.precision, device))
    objective = loss_of(gan, incomplete.repeat(options.starts), options)
    starts = gan.generator.prior.sample([_seed(options, START_STREAM, i) for i in range(options.starts)])
    steps = _steps(gan, objective, starts.repeat(n, 1).to(incomplete.images), options)
    return (best(step, options.starts, options.candidates) for step in steps)


def complete(gan: Gan, incomplete: Incomplete, options: CompleteOptions | None = None) -> Completion:
    """The last word of `watch`: the images [n, c, h, w] that agree best with what is known."""
    return deque(watch(gan, incomplete, options), maxlen=1).pop()


def loss_of(gan: Gan, incomplete: Incomplete, options: CompleteOptions) -> CompletionLoss:
    """What the options make small; `raw` of it gives the terms without their weights."""
    o = options
    return CompletionLoss(incomplete, gan.discriminator, o.lam, o.context, o.window, o.perceptual, o.balance)


def best(step: Step, attempts: int, candidates: int = 1) -> Completion:
    """Of every `attempts` rows in a row, the one with the smallest loss; with more candidates, the next ones too."""
    losses = step.loss.view(-1, attempts).nan_to_num(nan=torch.inf)  # a search that has broken down never wins
    ranks = losses.sort(dim=1, stable=True).indices[:, :candidates]
    first, *others = (_ranked(step, attempts, ranks[:, k]) for k in range(candidates))
    return replace(first, others=tuple(others))


def _ranked(step: Step, attempts: int, attempt: Int[Tensor, " n"]) -> Completion:
    """One attempt at each image."""
    rows = attempt + attempts * torch.arange(len(attempt), device=attempt.device)
    terms, notes = ({name: term[rows] for name, term in group.items()} for group in (step.terms, step.notes))
    images = step.images if attempts == 1 else step.images[rows]
    return Completion(step.number, images, step.z[rows], terms, step.loss[rows], attempt, notes)


def _steps(gan: Gan, objective: Objective, z: Latents, options: CompleteOptions) -> Iterator[Step]:
    o = options
    if o.method == "hmc":
        seeds = [_seed(o, HMC_STREAM, row % o.starts) for row in range(len(z))]
        return hmc(
            gan.generator,
            objective,
            z,
            steps=o.steps,
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
    return search(gan.generator, objective, z, steps=o.steps, optimizer=optimizer)


def _checked(options: CompleteOptions) -> CompleteOptions:
    try:
        TypeAdapter(CompleteOptions).validate_python(asdict(options))
    except ValidationError as error:
        first = error.errors()[0]
        name, why = first["loc"][0], first["msg"]
        raise ValueError(f"option {name}: {why[0].lower()}{why[1:]}, not {first['input']!r}") from error
    return options


def _seed(options: CompleteOptions, stream: int, number: int) -> int:
    return (options.seed << 72) + (stream << 64) + number


def _prepared(gan: Gan, dtype: torch.dtype) -> Gan:
    """The networks as the search wants them; the caller's stay as they are."""
    resting = Gan(_resting(gan.generator, dtype), _resting(gan.discriminator, dtype), gan.network, gan.about)
    return fused(resting, dtype)


def _resting(network: Network, dtype: torch.dtype) -> Network:
    """A copy in inference mode that shares its numbers with the original, and computes no gradients of them."""
    if not isinstance(network, nn.Module):
        return network
    shared: dict[int, Tensor] = {id(b): b for b in network.buffers()}
    shared |= {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in network.parameters()}
    twin: Any = deepcopy(network, shared).eval()  # what is shared is not copied
    if hasattr(twin, "precision"):
        twin.precision = dtype
    resting: Network = twin
    return resting
