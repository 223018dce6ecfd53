"""The running average of a network, and the batch-norm statistics that belong to it.

How settings change over a training: not at all, to zero at the end, or all together as R3GAN's do.

One network that is trained beside others: its parameters, its optimiser, perhaps its running average.

What the training of a GAN measures.

Both players as one network, to be drawn as a graph.

Both networks, told the classes of a batch: then they are networks like others.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from math import cos, pi
from typing import Any, Generic, Literal, NamedTuple, TypeVar, final

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ..gan.checkpoint import AnyDiscriminator, AnyGenerator
from ..gan.gan import Prior
from ..gan.layers import average_gradients, is_virtual
from ..options import TrainOptions
from ..runs.record import PACE, Curve, Curves
from ..types import Images, Latents, PerImage
from .losses import HistoricalAverage


def blend_parameters(average: nn.Module, now: nn.Module, decay: float) -> None:
    """average <- keep * average + (1 - keep) * now, parameter by parameter."""
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


def frozen_copy(generator: AnyGenerator, seeds: Sequence[int], batch: int = 256) -> AnyGenerator:
    """A frozen copy, ready to use, with statistics measured on the latents of these seeds, if it keeps any."""
    copy = deepcopy(generator).requires_grad_(False)
    if is_virtual(copy) or any(isinstance(module, nn.BatchNorm2d) for module in copy.modules()):
        device, size = next(copy.parameters()).device, min(batch, len(seeds))
        parts = (seeds[first : first + size] for first in range(0, len(seeds), size))
        estimate_statistics(copy, ((copy.prior.sample(part).to(device),) for part in parts))
    return copy.eval()


Phase = Literal["redraw", "game", "both"]
"""G and an encoder beside it learn to redraw, D not playing yet; the game, on samples alone; or both together"""
WARM_UP = 5_000  # images over which the rate rises: the first steps of Adam know no scale yet
WARM_UP_SHARE = 0.05  # of an annealed training, at most
FIRST_BETA2, LAST_RATE, LAST_PENALTY = 0.9, 0.25, 0.1  # Huang et al. (2024), appendix: of rate and gamma, what is left


class Schedule(NamedTuple):
    """What is in force at one moment."""

    learning_rate: float
    beta2: float
    penalty: float
    """factor of the penalties"""
    half_life: float
    """of the averaged generator, in images"""
    phase: Phase = "game"


def average_decay(images: int, half_life: float) -> float:
    """The share of an average that stays after so many images more; without a half-life nothing does."""
    return 0.5 ** (images / half_life) if half_life else 0.0


def schedule(options: TrainOptions, seen: int) -> Schedule:
    """What is in force after `seen` images."""
    o = options
    quarter = o.images_seen // 4
    first = min(o.redraw_first, quarter) if o.encodes else 0
    last = o.images_seen - min(o.reconstruct_last, quarter) if o.reconstruct_last else first  # so far D sees samples
    share = min(1.0, max(0, seen - first) / (o.images_seen - first))  # of the game
    redraws = o.encodes and not o.completes and seen >= last
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
        # A D that has begun with steps of no scale does not come back from them.
        risen = seen - (0 if phase == "redraw" else first) + o.batch_size
        rate *= min(1.0, risen / max(1.0, min(WARM_UP, WARM_UP_SHARE * o.images_seen)))
    # While a run is young its past is not worth keeping: the half-life grows with it (Karras et al. 2020).
    return Schedule(rate, beta2, penalty, min(half_life, 0.05 * seen), phase)


def rise_and_fall(seen: int, images: int, batch: int, fall: float, rises: float) -> float:
    """The share of its rate that a regression has after `seen` of its `images`.

    It rises over so many images, and falls to nothing over the last share `fall`.
    """
    left = max(0.0, 1 - seen / images)
    return min(1.0, (seen + batch) / rises) * (min(1.0, left / fall) if fall else 1.0)


Network = TypeVar("Network", bound=nn.Module)


@final
class TrainedNetwork(Generic[Network]):
    """A network in training mode, and Adam."""

    def __init__(self, network: Network, name: str, betas: tuple[float, float], averaged: str | None = None) -> None:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network, self.name, self.betas = network.train(), name, betas
        # What is frozen when training begins stays so.
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, betas=betas, fused=True)  # its rate is set before each step
        self.averaged_name = averaged
        self.history: HistoricalAverage | None = None
        self.pull = 0.0
        self.averaged = deepcopy(network).requires_grad_(False) if averaged else None

    @property
    def learning_rate(self) -> float:
        """Adam's step in the last update."""
        return float(self.optimizer.param_groups[0]["lr"])

    def set(self, learning_rate: float, betas: tuple[float, float]) -> None:
        """How Adam steps from now on."""
        for group in self.optimizer.param_groups:
            group["lr"], group["betas"] = learning_rate, betas

    def let_learn(self, wanted: bool) -> None:
        """Whether gradients are computed for the parameters; they pass through to images all the same."""
        for parameter in self.parameters:
            parameter.requires_grad_(wanted)

    def hold_back(self, weight: float) -> None:
        """From now on weights are pulled towards the mean of all they will have been."""
        self.history, self.pull = (HistoricalAverage(self.parameters) if weight else None), weight

    def update(self, gradients: Sequence[Tensor | None]) -> None:
        """One step along these gradients, one for each parameter."""
        for parameter, grad in zip(self.parameters, gradients, strict=True):
            absent = torch.zeros_like(parameter) if self.history else None
            parameter.grad = absent if grad is None else as_laid_out(grad, parameter)
        if self.history:
            self.history.pull(self.parameters, [p.grad for p in self.parameters if p.grad is not None], self.pull)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.history:
            self.history.remember(self.parameters)

    def load(self, state: Mapping[str, Any]) -> None:
        """Take all parts from a checkpoint; a history that it has not begins now. Raises KeyError and others."""
        for name, part in self.parts().items():
            if part is not self.history or name in state:
                part.load_state_dict(state[name])
            else:
                self.hold_back(self.pull)

    def average(self, decay: float) -> None:
        """The average stays what it was by this share, and becomes what the network is by the rest."""
        if self.averaged is not None:
            blend_parameters(self.averaged, self.network, decay)

    def is_finite(self) -> bool:
        """Whether every number still is one; infinite and NaN never heal."""
        parts = [self.network] if self.averaged is None else [self.network, self.averaged]
        tensors = [t for part in parts for t in part.state_dict().values() if t.is_floating_point()]
        return all(bool(t.isfinite().all()) for t in tensors)

    def parts(self) -> dict[str, Any]:
        """All that has a state, by the names it has in checkpoints."""
        parts: dict[str, Any] = {self.name: self.network, f"{self.name}_optimizer": self.optimizer}
        parts |= {self.averaged_name: self.averaged} if self.averaged_name else {}
        return parts | ({f"{self.name}_history": self.history} if self.history else {})


def as_laid_out(grad: Tensor | None, parameter: Tensor) -> Tensor | None:
    """The same gradient in the memory layout of the parameter: fused Adam walks through both side by side, whatever."""
    if grad is None or grad.stride() == parameter.stride():
        return grad
    return torch.empty_like(parameter).copy_(grad)


def descend(loss: Tensor, players: Sequence[TrainedNetwork[Any]]) -> None:
    """One update of these players together."""
    parameters = [parameter for player in players for parameter in player.parameters]
    # Not every layer has its part in every loss: D's bias has none in a loss of differences of logits.
    grads = average_gradients(torch.autograd.grad(loss, parameters, allow_unused=True), parameters)
    for player in players:
        own, grads = grads[: len(player.parameters)], grads[len(player.parameters) :]
        player.update(own)


# The columns of metrics.csv after `images_seen`, and the names of the same curves in TensorBoard (the original's).
CURVES: Curves = {
    "discriminator_loss": Curve("discriminator", "d_loss"),
    "generator_loss": Curve("generator", "g_loss"),
    "real_logit": Curve("real", "logit/real"),
    "fake_logit": Curve("fake", "logit/fake"),
    "images_per_second": PACE["images_per_second"],
    "discriminator_loss_real": Curve("discriminator_real", "d_loss_real"),
    "discriminator_loss_fake": Curve("discriminator_fake", "d_loss_fake"),
    "learning_rate": PACE["learning_rate"],
    "slope_real": Curve("slope_real", "penalty/r1"),
    "slope_fake": Curve("slope_fake", "penalty/r2"),
    "image_mse": Curve("image", "mse/image"),
    "hole_mse": Curve("hole", "mse/hole"),
    "augment": Curve("augment", "augment/probability"),
    "divergence": Curve("divergence", "nats"),
}


@final
class GanGraph(nn.Module):
    """z to G, and its image to D."""

    def __init__(self, generator: AnyGenerator, discriminator: AnyDiscriminator) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        generator.precision = discriminator.precision = torch.float32  # the tracer cannot follow the paths for bf16

    def forward(self, z: Latents) -> PerImage:
        """[n, d] -> [n] logits."""
        logits: PerImage = self.discriminator(self.generator(z))
        return logits


Labels = Int[Tensor, " n"]


@final
@dataclass(frozen=True)
class ConditionalGenerator:
    """G for images of these classes, one for each; without labels, as it is."""

    network: nn.Module
    labels: Labels | None

    @property
    def prior(self) -> Prior:
        """That of the network."""
        network: Any = self.network
        found: Prior = network.prior
        return found

    def __call__(self, z: Latents) -> Images:
        images: Images = self.network(z) if self.labels is None else self.network(z, self.labels)
        return images

    def of(self, rows: slice) -> "ConditionalGenerator":
        """The same for these of the images."""
        return ConditionalGenerator(self.network, None if self.labels is None else self.labels[rows])


@final
@dataclass(frozen=True)
class ConditionalDiscriminator:
    """D of images of these classes."""

    network: nn.Module
    labels: Labels | None

    def __call__(self, images: Images) -> PerImage:
        return self.decide(self.features(images))

    def features(self, images: Images) -> Tensor:
        """[n, d]: what D sees in each image."""
        network: Any = self.network
        features: Tensor = network.features(images)
        return features

    def decide(self, features: Tensor) -> PerImage:
        """[n, d] -> [n] logits."""
        network: Any = self.network
        logits: PerImage = network.decide(features) if self.labels is None else network.decide(features, self.labels)
        return logits


def class_labels(count: int, classes: int, device: torch.device) -> Labels | None:
    """[count]: the classes one after the other and again, if there are any."""
    return torch.arange(count, device=device) % classes if classes else None
