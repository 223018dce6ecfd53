"""The training of a context encoder (Pathak et al. 2016): squared error in the hole, and a discriminator to please."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from ..device import choose_precision
from ..gan import checkpoint as building
from ..gan.dcgan import DcganDiscriminator, initialise
from ..gan.encoder import ContextEncoder, ContextModule
from ..gan.layers import average_gradients, own_share, process_group, weighted_mean
from ..options import RunOptions, TrainOptions
from ..options.training import ContextOptions, EncoderOptions
from ..runs.data import Dataset, check_pictures, split
from ..runs.folder import Subject, check_options, check_unused
from ..runs.loop import in_images, run_training
from ..runs.record import PACE, Curve, Curves, Progress, Summary
from ..runs.trainer import DEFAULT_CONTEXT, TrainingContext
from ..seeds import Stream
from ..types import Images, Known
from .completers import HOLE_STREAM, SCORES, STATISTICS_STREAM, Descent, check_hole, draw_known, rate, score_completions
from .losses import cross_entropy, mistaken_for_fake
from .optimiser import as_laid_out

BORDER_WEIGHT = 10.0  # of known pixels at the edge of the hole, theirs: so that the seam is met
SLOWER = 0.1  # D's learning rate as a share of the other's, theirs
DISCRIMINATOR_BETAS = (0.5, 0.999)  # theirs, and the DCGAN's
CURVES: Curves = {
    "hole_mse": Curve("hole", "mse/hole"),
    "adversarial_loss": Curve("adversarial", "g_loss"),
    "discriminator_loss": Curve("discriminator", "d_loss"),
    **SCORES,
    **PACE,
}


def train_context(
    data: Dataset,
    folder: Path,
    network: ContextOptions,
    options: TrainOptions,
    special: EncoderOptions,
    run: RunOptions,
    context: TrainingContext = DEFAULT_CONTEXT,
) -> Iterator[Progress]:
    """Train a context encoder until `options.images_seen`, as `run.follow` does. Raises ValueError as `run.train`."""
    check_options(network, options, special, run)
    check_unused(options, "a context encoder is", "Leave that out, or give --kind gan.")
    check_hole(special.hole, network.size)
    learnt, held_out = split(data, special.held_out)
    learnt, held_out = learnt or data, held_out if held_out is not None else torch.empty(0, 0, 0, 0)
    check_pictures(learnt, network.size, network.channels, options.batch_size, options.batch_size)
    options = in_images(options, len(learnt))

    def trainer(device: torch.device, options: TrainOptions) -> ContextTrainer:
        module = building.build_context_module(network, 2 * options.seed)
        discriminator = DcganDiscriminator(network.size, network.channels, network.base)
        initialise(discriminator, 2 * options.seed + 1)
        module.precision = discriminator.precision = choose_precision(options.precision, device)
        players = module.to(device), discriminator.to(device)
        return ContextTrainer(*players, network, options, special, learnt, held_out)

    about = {"network": asdict(network), "encoder": asdict(special)}
    yield from run_training(trainer, learnt, folder, Subject("context-encoder", about), options, run, context)


@final
class ContextTrainer:
    """A context encoder with its running average, the discriminator of what it makes, and their optimisers."""

    curves = CURVES
    suffixes = ("",)

    def __init__(
        self,
        module: ContextModule,
        discriminator: DcganDiscriminator,
        network: ContextOptions,
        options: TrainOptions,
        special: EncoderOptions,
        data: Dataset,
        held_out: Images,
    ) -> None:
        self.network, self.options, self.special = network, options, special
        self.data, self.held_out = data, held_out
        self.device = next(module.parameters()).device
        self.descent = Descent(module, options)
        self.precision = module.precision
        self.discriminator = discriminator.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.judges = list(self.discriminator.parameters())
        self.discriminator_optimizer = torch.optim.Adam(self.judges, betas=DISCRIMINATOR_BETAS, fused=True)
        self.images_seen = 0

    @property
    def real_images(self) -> int:
        """How many real images a step takes."""
        return self.options.batch_size

    @property
    def images_per_step(self) -> int:
        """By how much a step raises `images_seen`."""
        return self.options.batch_size

    @property
    def learning_rate(self) -> float:
        """AdamW's step in the last update."""
        return self.descent.learning_rate

    def step(self, real: Images) -> dict[str, Tensor]:
        """Complete a batch of real images, each with a hole of its own; D learns to tell, the other to please both.

        D sees whole images, what is known put back, so that it judges a hole of any shape in its surroundings.
        Returns, detached, the mean squared error in the `hole`, values being in [-1, 1], and the two players' losses.
        """
        share = self.special.adversarial
        batch = range(self.images_seen, self.images_seen + len(real) * process_group().size)
        known = self._known(real, own_share(batch), HOLE_STREAM)
        made = self.descent.network(real, known)
        squared = (made - real).square().mean(1, keepdim=True)
        adversarial = discriminator_loss = torch.zeros(1, device=self.device)
        if share:
            completed = real * known + made * (1 - known)
            self._let_judge(True)
            discriminator_loss = cross_entropy(self.discriminator(real), self.discriminator(completed.detach()))
            self._descend(discriminator_loss.mean())
            adversarial = mistaken_for_fake(self.discriminator(completed))  # frozen, it passes gradients through
        error = weighted_mean(squared, self._weights(known))
        self.descent.learn((1 - share) * error + share * adversarial.mean(), self.images_seen)
        self.images_seen = batch.stop
        hole = weighted_mean(squared, 1 - known).detach()
        return {"hole": hole, "adversarial": adversarial.detach(), "discriminator": discriminator_loss.detach()}

    def averaged_module(self, images: int = 2048) -> ContextModule:
        """A copy of the averaged network with statistics of its own, ready to use."""
        return self.descent.settled(self._statistics_batch, images)

    def is_finite(self) -> bool:
        """Whether every number of both networks and of the average still is one."""
        judged = [tensor for tensor in self.discriminator.state_dict().values() if tensor.is_floating_point()]
        return self.descent.is_finite() and all(bool(tensor.isfinite().all()) for tensor in judged)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        players = {"discriminator": self.discriminator, "discriminator_optimizer": self.discriminator_optimizer}
        states = {name: part.state_dict() for name, part in players.items()}
        return self.descent.state_dict() | states | {"images_seen": self.images_seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue as if never interrupted. Raises KeyError, ValueError or RuntimeError for other networks' state."""
        self.descent.load_state_dict(state)
        self.discriminator.load_state_dict(state["discriminator"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        self.images_seen = state["images_seen"]

    def graph(self) -> None:
        """None is drawn."""

    def summary(self, values: Mapping[str, Tensor]) -> Summary:
        """How held-out pictures are completed by the averaged network."""
        if not len(self.held_out):
            return Summary({})
        return score_completions(self.averaged_module(512), self.held_out.to(self.device))

    def models(self, about: Mapping[str, Any]) -> dict[str, ContextEncoder]:
        """The averaged network."""
        module = self.averaged_module()
        module.precision = torch.float32
        facts = {**about, "options": asdict(self.options) | asdict(self.special)}
        return {"": ContextEncoder(module, self.network, facts)}

    def _weights(self, known: Known) -> Tensor:
        """1 in the hole, more at its border if that counts, 0 elsewhere."""
        hole, border = 1 - known, self.special.border
        if not border:
            return hole
        grown = F.max_pool2d(hole, 2 * border + 1, stride=1, padding=border)
        return hole + BORDER_WEIGHT * (grown - hole)

    def _known(self, real: Images, numbers: range, stream: Stream) -> Known:
        known = draw_known(real.shape[-1], numbers, self.options.seed, self.special.hole, stream)
        return known.to(self.device)

    def _let_judge(self, learning: bool) -> None:
        for parameter in self.judges:
            parameter.requires_grad_(learning)

    def _descend(self, loss: Tensor) -> None:
        grads = average_gradients(torch.autograd.grad(loss, self.judges), self.judges)
        for parameter, grad in zip(self.judges, grads, strict=True):
            parameter.grad = as_laid_out(grad, parameter)
        for group in self.discriminator_optimizer.param_groups:
            group["lr"] = SLOWER * rate(self.options, self.images_seen)
        self.discriminator_optimizer.step()
        self._let_judge(False)
        self.discriminator_optimizer.zero_grad(set_to_none=True)

    def _statistics_batch(self, numbers: range) -> tuple[Tensor, ...]:
        o = self.options
        real = self.data.batch(numbers.start, len(numbers), seed=o.seed, flip=o.flip).to(self.device)
        return real, self._known(real, numbers, STATISTICS_STREAM)
