"""The training of a context encoder (Pathak et al. 2016): squared error in the hole, and a discriminator to please."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from ..device import choose_precision
from ..gan import model_file
from ..gan.dcgan import DcganDiscriminator, initialise
from ..gan.encoder import ContextEncoder, ContextModule
from ..options import RunOptions, TrainOptions
from ..options.training import ContextOptions, EncoderOptions
from ..options.validation import check_bounds
from ..process_group import own_share, process_group, weighted_mean
from ..runs.data import Dataset
from ..runs.folder import Subject, check_unused
from ..runs.holes import HOLE_STREAM, SCORES, STATISTICS_STREAM, check_hole, draw_known, score_completions
from ..runs.interfaces import DEFAULT_CONTEXT, TrainingContext
from ..runs.logs import PACE, Curve, Curves, Progress, Summary
from ..runs.loop import prepare_pictures, run_training
from ..seeds import Stream
from ..types import Images, Known
from .losses import cross_entropy, real_loss
from .optimiser import TrainedNetwork, descend, descend_alone, frozen_average, regression_network, regression_rate
from .trainer import NetworksTrainer

BORDER_WEIGHT = 10.0  # of known pixels at the edge of the hole, as in the paper, so that the seam fits
SLOWER = 0.1  # D's learning rate as a share of the network's, as in the paper
DISCRIMINATOR_BETAS = (0.5, 0.999)  # as in the paper, and in the DCGAN
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
    check_bounds(network, options, special, run)
    check_unused(options, "a context encoder is", "Leave that out, or give --kind gan.")
    check_hole(special.hole, network.size)
    learnt, held_out, options = prepare_pictures(data, network.size, network.channels, options, special.held_out)

    def trainer(device: torch.device, options: TrainOptions) -> ContextTrainer:
        module = model_file.build_context_module(network, 2 * options.seed)
        discriminator = DcganDiscriminator(network.size, network.channels, network.base)
        initialise(discriminator, 2 * options.seed + 1)
        module.precision = discriminator.precision = choose_precision(options.precision, device)
        players = module.to(device), discriminator.to(device)
        return ContextTrainer(*players, network, options, special, learnt, held_out)

    about = {"network": asdict(network), "encoder": asdict(special)}
    yield from run_training(trainer, learnt, folder, Subject("context-encoder", about), options, run, context)


@final
class ContextTrainer(NetworksTrainer):
    """A context encoder with its running average, the discriminator of its completions, and their optimisers."""

    curves = CURVES

    def __init__(
        self,
        module: ContextModule,
        discriminator: DcganDiscriminator,
        network: ContextOptions,
        options: TrainOptions,
        special: EncoderOptions,
        data: Dataset,
        held_out: Images | None,
    ) -> None:
        self.shape, self.options, self.special = network, options, special
        self.data, self.held_out = data, held_out
        self.device = next(module.parameters()).device
        self.module = regression_network(module, options)
        self.discriminator = TrainedNetwork(discriminator, "discriminator", DISCRIMINATOR_BETAS)
        self.networks = (self.module, self.discriminator)
        self.images_seen = 0

    def step(self, real: Images) -> dict[str, Tensor]:
        """Complete a batch of real images, each with a hole of its own; D learns to tell, the other to please both.

        D sees whole images, what is known put back, so that it judges a hole of any shape in its surroundings.
        Returns, detached, the mean squared error in the `hole`, values being in [-1, 1], and the two players' losses.
        """
        share = self.special.adversarial
        batch = range(self.images_seen, self.images_seen + len(real) * process_group().size)
        known = self._known(real, own_share(batch), HOLE_STREAM)
        made = self.module.network(real, known)
        squared = (made - real).square().mean(1, keepdim=True)
        adversarial = discriminator_loss = torch.zeros(1, device=self.device)
        if share:
            completed = real * known + made * (1 - known)
            d = self.discriminator
            d.require_gradients(True)
            discriminator_loss = cross_entropy(d.network(real), d.network(completed.detach()))
            d.set_rate(SLOWER * regression_rate(self.options, self.images_seen), d.betas)
            descend(discriminator_loss.mean(), d)
            d.require_gradients(False)
            adversarial = real_loss(d.network(completed))  # frozen, D still passes gradients through
        error = weighted_mean(squared, self._weights(known))
        loss = (1 - share) * error + share * adversarial.mean()
        descend_alone(self.module, self.options, loss, self.images_seen)
        self.images_seen = batch.stop
        hole = weighted_mean(squared, 1 - known).detach()
        return {"hole": hole, "adversarial": adversarial.detach(), "discriminator": discriminator_loss.detach()}

    def averaged_module(self, images: int = 2048) -> ContextModule:
        """A copy of the averaged network with statistics of its own, ready to use."""
        return frozen_average(self.module, self._statistics_batch, images)

    def summary(self, values: Mapping[str, Tensor]) -> Summary:
        """Held-out pictures completed by the averaged network."""
        if self.held_out is None:
            return Summary({})
        return score_completions(self.averaged_module(512), self.held_out.to(self.device))

    def models(self, about: Mapping[str, Any]) -> dict[str, ContextEncoder]:
        """The averaged network."""
        module = self.averaged_module()
        module.precision = torch.float32
        facts = {**about, "options": asdict(self.options) | asdict(self.special)}
        return {"": ContextEncoder(module, self.shape, facts)}

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

    def _statistics_batch(self, numbers: range) -> tuple[Tensor, ...]:
        o = self.options
        real = self.data.batch(numbers.start, len(numbers), seed=o.seed, flip=o.flip).to(self.device)
        return real, self._known(real, numbers, STATISTICS_STREAM)
