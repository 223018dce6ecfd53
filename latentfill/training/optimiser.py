"""Trained networks: their optimisers and running averages, and the schedules of rates."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from itertools import islice
from math import cos, pi
from typing import Any, Generic, Literal, NamedTuple, TypeVar, final

import torch
from torch import Tensor, nn

from ..gan.batch_layers import is_virtual
from ..gan.gan import Prior
from ..gan.model_file import AnyGenerator
from ..options import TrainOptions
from ..process_group import average_gradients
from ..seeds import Stream
from ..types import Latents
from .losses import HistoricalAverage

Phase = Literal["redraw", "game", "both"]
"""reconstruction by G and an encoder alone; the game of G and D, on samples alone; or both together"""
WARM_UP = 5_000  # images over which the rate rises, because Adam's first steps have no scale yet
WARM_UP_SHARE = 0.05  # share of an annealed training, at most
FIRST_BETA2, LAST_RATE, LAST_PENALTY = 0.9, 0.25, 0.1  # Huang et al. (2024), appendix; final shares of rate and gamma


class Schedule(NamedTuple):
    """The settings in force at one moment."""

    learning_rate: float
    beta2: float
    penalty: float
    """factor of the penalties"""
    half_life: float
    """of the averaged generator, in images"""
    phase: Phase = "game"


def schedule(options: TrainOptions, seen: int) -> Schedule:
    """The settings in force after `seen` images."""
    o = options
    quarter = o.images_seen // 4
    first = min(o.redraw_first, quarter) if o.trains_encoder else 0
    last = o.images_seen - min(o.reconstruct_last, quarter) if o.reconstruct_last else first  # so far D sees samples
    share = min(1.0, max(0, seen - first) / (o.images_seen - first))  # share of the game
    redraws = o.trains_encoder and not o.trains_completer and seen >= last
    phase: Phase = "redraw" if seen < first else "both" if redraws else "game"
    rate, beta2, penalty, half_life = o.rate, o.beta2, 1.0, float(o.average_half_life)
    if o.decay:
        rate *= min(1.0, (1 - share) / o.decay)
    if o.annealed:
        early = (1 + cos(pi * share)) / 2
        rate *= LAST_RATE + (1 - LAST_RATE) * early
        beta2 += (FIRST_BETA2 - beta2) * early
        penalty *= LAST_PENALTY + (1 - LAST_PENALTY) * early
        half_life *= 1.0 if phase == "redraw" else 1 - early
        # If D begins with Adam's unscaled first steps, it does not recover.
        risen = seen - (0 if phase == "redraw" else first) + o.batch_size
        rate *= min(1.0, risen / short_warm_up(o))
    return Schedule(rate, beta2, penalty, _shorten_half_life(half_life, seen), phase)


def short_warm_up(options: TrainOptions) -> float:
    """The images over which a rate rises, at most a share of the training."""
    return max(1.0, min(float(WARM_UP), WARM_UP_SHARE * options.images_seen))


def regression_rate(options: TrainOptions, seen: int, warm_up: float | None = None) -> float:
    """The learning rate of a regression after `seen` images: it rises at first, and falls to 0 over the last share."""
    o, left = options, max(0.0, 1 - seen / options.images_seen)
    return o.rate * (
        min(1.0, (seen + o.batch_size) / (warm_up or WARM_UP)) * (min(1.0, left / o.decay) if o.decay else 1.0)
    )


def average_decay(images: int, half_life: float) -> float:
    """The share of an average that stays after a number of further images; 0 without a half-life."""
    return 0.5 ** (images / half_life) if half_life else 0.0


def regression_decay(options: TrainOptions, images: int, seen: int) -> float:
    """The same for an average whose half-life does not change by itself, after `seen` images."""
    return average_decay(images, _shorten_half_life(float(options.average_half_life), seen))


def _shorten_half_life(half_life: float, seen: int) -> float:
    """While a run is young its past is not worth keeping: the half-life grows with it (Karras et al. 2020)."""
    return min(half_life, 0.05 * seen)


Network = TypeVar("Network", bound=nn.Module)
Generator = TypeVar("Generator", bound=AnyGenerator)


def blend_parameters(average: nn.Module, now: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * now, parameter by parameter."""
    with torch.no_grad():
        pairs = list(zip(average.parameters(), now.parameters(), strict=True))
        torch._foreach_lerp_([a for a, _ in pairs], [n for _, n in pairs], 1 - decay)


def estimate_statistics(network: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Measure the batch-norm means and variances afresh, on batches of what the network takes.

    Averaged weights have statistics of their own: with those copied from the last generator images turn grey.
    Every batch counts the same, so the batches should be of one size, and large. Virtual batch norm has its statistics
    from its reference batch, whatever comes with it.
    """
    if is_virtual(network):
        batches = islice(batches, 1)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    training, momenta = network.training, [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    network.train()
    with torch.no_grad():
        for batch in batches:
            network(*batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(training)


def frozen_copy(network: Network, batches: Iterable[tuple[Tensor, ...]]) -> Network:
    """A copy that is ready to use, with batch-norm statistics measured on these batches, if it keeps any."""
    copy = deepcopy(network).requires_grad_(False)
    if is_virtual(copy) or any(isinstance(module, nn.BatchNorm2d) for module in copy.modules()):
        estimate_statistics(copy, batches)
    return copy.eval()


def draw_latents(prior: Prior, stream: Stream, seed: int, numbers: Iterable[int]) -> Latents:
    """The latents of these numbers in a stream of a training's seed."""
    return prior.sample([stream.key(seed, number) for number in numbers])


def frozen_generator(generator: Generator, seed: int, images: int) -> Generator:
    """A copy that is ready to use, with statistics measured on so many images from z alone, if it keeps any."""
    device, parts = next(generator.parameters()).device, range(0, images, DRAWN_BATCH)
    batches = (range(first, min(first + DRAWN_BATCH, images)) for first in parts)
    drawn = (draw_latents(generator.prior, Stream.STATISTICS, seed, numbers) for numbers in batches)
    return frozen_copy(generator, ((z.to(device),) for z in drawn))


@final
class TrainedNetwork(Generic[Network]):
    """A network in training mode with its optimiser, and perhaps its running average.

    `name`, `optimizer` and `averaged` are what its parts are called in checkpoints; without the last there is no
    average. `history` weighs how far the weights are held back by all that they have been.
    """

    def __init__(
        self,
        network: Network,
        name: str,
        betas: tuple[float, float],
        averaged: str = "",
        *,
        optimizer: str = "",
        history: float = 0.0,
        weight_decay: float = 0.0,
        largest_norm: float = 0.0,
    ) -> None:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network, self.betas, self.largest_norm = network.train(), betas, largest_norm
        self.names = name, optimizer or f"{name}_optimizer", averaged, f"{name}_history"
        # Parameters that are frozen when training begins stay frozen.
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        # The rate is set before each step.
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.AdamW(self.parameters, betas=betas, weight_decay=weight_decay, fused=True)
            if weight_decay
            else torch.optim.Adam(self.parameters, betas=betas, fused=True)
        )
        self.averaged: Network = deepcopy(network).requires_grad_(False) if averaged else network
        self.pull = history
        self.history = HistoricalAverage(self.parameters) if history else None

    @property
    def learning_rate(self) -> float:
        """The optimiser's step in the last update."""
        return float(self.optimizer.param_groups[0]["lr"])

    def set_rate(self, learning_rate: float, betas: tuple[float, float]) -> None:
        """Set the learning rate from now on."""
        for group in self.optimizer.param_groups:
            group["lr"], group["betas"] = learning_rate, betas

    def require_gradients(self, wanted: bool) -> None:
        """Set whether gradients are computed for the parameters; they pass through to images all the same."""
        for parameter in self.parameters:
            parameter.requires_grad_(wanted)

    def update(self, gradients: Sequence[Tensor | None]) -> None:
        """One step along these gradients, one for each parameter."""
        for parameter, grad in zip(self.parameters, gradients, strict=True):
            absent = torch.zeros_like(parameter) if self.history else None
            parameter.grad = absent if grad is None else _with_strides_of(parameter, grad)
        if self.largest_norm:
            nn.utils.clip_grad_norm_(self.parameters, self.largest_norm)
        if self.history:
            self.history.pull(self.parameters, [p.grad for p in self.parameters if p.grad is not None], self.pull)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.history:
            self.history.remember(self.parameters)

    def average(self, decay: float) -> None:
        """Keep this share of the average, and take the rest from the network."""
        if self.averaged is not self.network:
            blend_parameters(self.averaged, self.network, decay)

    def is_finite(self) -> bool:
        """True if every number of the network and its average still is one; infinite and NaN never heal."""
        tensors = [*self.network.state_dict().values(), *self.averaged.state_dict().values()]
        return all(bool(t.isfinite().all()) for t in tensors if t.is_floating_point())

    def parts(self) -> dict[str, Any]:
        """All that has a state, by the names it has in checkpoints."""
        parts = zip(self.names, (self.network, self.optimizer, self.averaged, self.history), strict=True)
        return {name: part for name, part in parts if name and part is not None}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take all parts from a checkpoint; a history that it has not begins now. Raises KeyError and others."""
        for name, part in self.parts().items():
            if part is not self.history or name in state:
                part.load_state_dict(state[name])
            else:
                self.history = HistoricalAverage(self.parameters)


def _with_strides_of(parameter: Tensor, grad: Tensor) -> Tensor:
    """The same gradient in the memory layout of the parameter: fused Adam walks through both side by side, whatever."""
    return grad if grad.stride() == parameter.stride() else torch.empty_like(parameter).copy_(grad)


def descend(loss: Tensor, *networks: TrainedNetwork[Any]) -> None:
    """One update of these networks together."""
    parameters = [parameter for network in networks for parameter in network.parameters]
    # Some layers have no gradient in some losses: D's bias has none in a loss of differences of logits.
    grads = average_gradients(torch.autograd.grad(loss, parameters, allow_unused=True), parameters)
    for network in networks:
        own, grads = grads[: len(network.parameters)], grads[len(network.parameters) :]
        network.update(own)


WEIGHT_DECAY = 1e-4  # of AdamW: small, because pictures are mirrored and every hole is new
LARGEST_NORM = 1.0  # largest norm of gradients: the few holes with almost no known pixels around them have large ones
STATISTICS_BATCH = 64  # images at a time; bounds the memory
DRAWN_BATCH = 256  # and of what G draws


def regression_network(network: Network, options: TrainOptions) -> TrainedNetwork[Network]:
    """A network that learns alone: by AdamW, with clipped gradients and a running average."""
    betas = options.beta1, options.beta2
    regularised = {"weight_decay": WEIGHT_DECAY, "largest_norm": LARGEST_NORM}
    return TrainedNetwork(network, "network", betas, "averaged", optimizer="optimizer", **regularised)


def descend_alone(trained: TrainedNetwork[Any], options: TrainOptions, loss: Tensor, seen: int) -> None:
    """One update of a network that learns alone, after `seen` images: with a warm-up and a falling rate."""
    trained.set_rate(regression_rate(options, seen), trained.betas)
    descend(loss, trained)
    trained.average(regression_decay(options, options.batch_size, seen + options.batch_size))


def frozen_average(
    trained: TrainedNetwork[Network], batch: Callable[[range], tuple[Tensor, ...]], images: int
) -> Network:
    """The average, ready to use, with batch-norm statistics measured on images of the given numbers."""
    groups = range(max(1, images // STATISTICS_BATCH))
    batches = (batch(range(group * STATISTICS_BATCH, (group + 1) * STATISTICS_BATCH)) for group in groups)
    return frozen_copy(trained.averaged, batches)
