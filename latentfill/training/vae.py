"""The training of a variational autoencoder that completes: G and an encoder together, without D."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from ..device import choose_precision
from ..gan import model_file
from ..gan.encoder import ResidualEncoder
from ..gan.gan import Gan
from ..gan.model_file import AnyGenerator
from ..gan.residual import ConstantDiscriminator
from ..options import NetworkOptions, RunOptions, TrainOptions
from ..options.validation import check_bounds
from ..process_group import own_numbers, process_group
from ..runs.data import Dataset
from ..runs.folder import Subject, check_unused
from ..runs.holes import SCORES, score_completions
from ..runs.interfaces import DEFAULT_CONTEXT, TrainingContext
from ..runs.logs import PACE, Curve, Curves, Progress, Summary
from ..runs.loop import prepare_pictures, run_training
from ..types import Images, Known
from .gan_run import load_weights
from .optimiser import WARM_UP, TrainedNetwork, average_decay, descend, frozen_generator, schedule
from .reconstruction import check_prior, reconstruct_batch
from .trainer import SAMPLES, NetworksTrainer, sample_latents

HELD_OUT = 128  # pictures
CURVES: Curves = {
    "image_mse": Curve("image", "mse/image"),
    "hole_mse": Curve("hole", "mse/hole"),
    "divergence": Curve("divergence", "nats"),
    **SCORES,
    **PACE,
}


def train_vae(
    data: Dataset,
    folder: Path,
    network: NetworkOptions,
    options: TrainOptions,
    run: RunOptions,
    begin: Gan | None = None,
    context: TrainingContext = DEFAULT_CONTEXT,
) -> Iterator[Progress]:
    """Train until `options.images_seen`, as `run.follow` does; the model files hold G and the encoder.

    `begin` is a model of the same networks whose weights a new run begins with.
    """
    check_bounds(network, options, run)
    check_unused(options, "an autoencoder is", "Leave that out, or give --kind gan.", besides={"divergence"})
    network = replace(network, critic=False)
    check_prior(network)
    learnt, held_out, options = prepare_pictures(data, network.size, network.channels, options, HELD_OUT)

    def trainer(device: torch.device, options: TrainOptions) -> VaeTrainer:
        generator, _ = model_file.build_networks(network, options.seed)
        encoder = model_file.build_residual_encoder(network, seed=options.seed)
        generator.precision = encoder.precision = choose_precision(options.precision, device)
        if begin:
            load_weights(begin, generator, None, encoder)
        return VaeTrainer(generator.to(device), encoder.to(device), options, network, held_out)

    yield from run_training(
        trainer, learnt, folder, Subject("vae", {"network": asdict(network)}), options, run, context
    )


@final
class VaeTrainer(NetworksTrainer):
    """G and an encoder, their optimisers and their running averages."""

    curves = CURVES

    def __init__(
        self,
        generator: AnyGenerator,
        encoder: ResidualEncoder,
        options: TrainOptions,
        network: NetworkOptions,
        held_out: Images | None = None,
    ) -> None:
        self.options, self.network, self.held_out = options, network, held_out
        betas = options.beta1, options.beta2
        self.g = TrainedNetwork(generator, "generator", betas, "averaged")
        self.e = TrainedNetwork(encoder, "encoder", betas, "averaged_encoder")
        self.networks = (self.g, self.e)
        self.images_seen = 0

    def step(self, real: Images) -> dict[str, Tensor]:
        """Reconstruct a batch of pictures, each with a hole of its own.

        Returns, detached, the squared errors of the whole `image` and in the `hole`, and the `divergence` in nats.
        """
        o, images = self.options, len(real) * process_group().size
        seen, now = self.images_seen + images, schedule(o, self.images_seen)
        risen = 1.0 if o.annealed else min(1.0, seen / WARM_UP)  # annealing already includes a rise
        for network in self.networks:  # Adam's first steps have no scale yet
            network.set_rate(now.learning_rate * risen, (o.beta1, now.beta2))
        numbers = own_numbers(self.images_seen, len(real))
        reconstruction = reconstruct_batch(self.g.network, self.e.network, real, numbers, o.seed, o.divergence)
        descend(reconstruction.loss, self.g, self.e)
        self.images_seen = seen
        half_life = schedule(o, self.images_seen).half_life
        for network in self.networks:
            network.average(average_decay(images, half_life))
        return reconstruction.metrics()

    def summary(self, values: Mapping[str, Tensor]) -> Summary:
        """Samples of the prior, and how held-out pictures are completed."""
        generator, encoder = self._average_networks()
        device = next(generator.parameters()).device
        z = sample_latents(generator.prior, self.options.seed, SAMPLES)

        def complete_images(images: Images, known: Known) -> Images:
            drawn: Images = generator(encoder(images, known))
            return drawn

        with torch.no_grad():
            samples = generator(z.to(device))
            if self.held_out is None:
                return Summary({"": samples})
            shown = score_completions(complete_images, self.held_out.to(device))
        return replace(shown, sheets={"": samples, "-completed": shown.sheets[""]})

    def models(self, about: Mapping[str, Any]) -> dict[str, Gan]:
        """G with its encoder, both averaged; nothing judges."""
        facts = {**about, "options": asdict(self.options), "averaged": True}
        generator, encoder = self._average_networks()
        return {"": Gan(generator, ConstantDiscriminator(), self.network, facts, encoder)}

    def _average_networks(self) -> tuple[AnyGenerator, ResidualEncoder]:
        """Ready to use: batch norm, if there is any, has statistics of the averaged weights."""
        return frozen_generator(self.g.averaged, self.options.seed, 1024), self.e.averaged
