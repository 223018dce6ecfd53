"""The training of a variational autoencoder that completes: G and an encoder together, without D."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast, final

import torch
from torch import Tensor

from ..device import choose_precision
from ..gan import checkpoint as building
from ..gan.checkpoint import AnyGenerator
from ..gan.encoder import ResidualEncoder
from ..gan.gan import Gan
from ..gan.layers import own_numbers, process_group
from ..gan.residual import Uncritical
from ..options import NetworkOptions, RunOptions, TrainOptions
from ..runs.data import Dataset, check_pictures, split
from ..runs.folder import Subject, check_options, check_unused
from ..runs.loop import in_images, run_training
from ..runs.record import PACE, Curve, Curves, Progress, Summary
from ..runs.trainer import DEFAULT_CONTEXT, TrainingContext
from ..seeds import Stream
from ..types import Images, Known
from .completers import SCORES, score_completions
from .gan import load_weights
from .optimiser import WARM_UP, TrainedNetwork, average_decay, descend, frozen_copy, schedule
from .reconstruction import check_prior, reconstruct_batch
from .trainer import SAMPLE_STREAM, STATISTICS_STREAM

SAMPLES, HELD_OUT = 64, 128
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
    check_options(network, options, run)
    check_unused(options, "an autoencoder is", "Leave that out, or give --kind gan.", besides={"divergence"})
    network = replace(network, critic=False)
    check_prior(network)
    learnt, held_out = split(data, HELD_OUT)
    learnt = learnt or data
    check_pictures(learnt, network.size, network.channels, options.batch_size, options.batch_size)

    def trainer(device: torch.device, options: TrainOptions) -> VaeTrainer:
        generator, _ = building.build_networks(network, options.seed)
        encoder = building.build_residual_encoder(network, seed=options.seed)
        generator.precision = encoder.precision = choose_precision(options.precision, device)
        if begin:
            load_weights(begin, generator, None, encoder)
        return VaeTrainer(generator.to(device), encoder.to(device), options, network, held_out)

    options = in_images(options, len(learnt))
    yield from run_training(
        trainer, learnt, folder, Subject("vae", {"network": asdict(network)}), options, run, context
    )


@final
class VaeTrainer:
    """G and an encoder, their optimisers and their running averages."""

    curves = CURVES
    suffixes = ("",)

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
        self.images_seen = 0

    @property
    def real_images(self) -> int:
        """How many real images a step takes."""
        return self.options.batch_size

    @property
    def images_per_step(self) -> int:
        """By how much a step raises `images_seen`."""
        return self.real_images

    @property
    def precision(self) -> torch.dtype:
        """What the layers compute in."""
        return self.g.network.precision

    @property
    def learning_rate(self) -> float:
        """Adam's step in the last update."""
        return self.g.learning_rate

    def step(self, real: Images) -> dict[str, Tensor]:
        """Describe a batch of pictures, each with a hole of its own, and redraw it.

        Returns, detached, the squared errors of the whole `image` and in the `hole`, and the `divergence` in nats.
        """
        o, images = self.options, len(real) * process_group().size
        seen, now = self.images_seen + images, schedule(o, self.images_seen)
        risen = 1.0 if o.annealed else min(1.0, seen / WARM_UP)  # an annealed rate rises by itself
        for player in (self.g, self.e):  # the first steps of Adam know no scale yet
            player.set(now.learning_rate * risen, (o.beta1, now.beta2))
        numbers = own_numbers(self.images_seen, len(real))
        redrawn = reconstruct_batch(self.g.network, self.e.network, real, numbers, o.seed, o.divergence)
        descend(redrawn.loss, (self.g, self.e))
        self.images_seen = seen
        half_life = schedule(o, self.images_seen).half_life
        for player in (self.g, self.e):
            player.average(average_decay(images, half_life))
        return redrawn.told()

    def is_finite(self) -> bool:
        """Whether every number of both networks and of the averages still is one."""
        return self.g.is_finite() and self.e.is_finite()

    def graph(self) -> None:
        """None is drawn."""

    def summary(self, values: Mapping[str, Tensor]) -> Summary:
        """Samples of the prior, and how held-out pictures are completed."""
        generator, encoder = self._averaged()
        device = next(generator.parameters()).device
        seeds = [self._seed(SAMPLE_STREAM, n) for n in range(SAMPLES)]

        def completed(images: Images, known: Known) -> Images:
            drawn: Images = generator(encoder(images, known))
            return drawn

        with torch.no_grad():
            samples = generator(generator.prior.sample(seeds).to(device))
            if self.held_out is None:
                return Summary({"": samples})
            shown = score_completions(completed, self.held_out.to(device))
        return replace(shown, sheets={"": samples, "-completed": shown.sheets[""]})

    def models(self, about: Mapping[str, Any]) -> dict[str, Gan]:
        """G with its encoder, both averaged; nothing judges."""
        facts = {**about, "options": asdict(self.options), "averaged": True}
        generator, encoder = self._averaged()
        return {"": Gan(generator, Uncritical(), self.network, facts, encoder)}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {"images_seen": self.images_seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue as if never interrupted. Raises KeyError, ValueError or RuntimeError for other networks' state."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.images_seen = state["images_seen"]

    def _averaged(self) -> tuple[AnyGenerator, ResidualEncoder]:
        """Ready to use: batch norm, if there is any, has statistics of the averaged weights."""
        seeds = [self._seed(STATISTICS_STREAM, n) for n in range(1024)]
        return frozen_copy(cast(AnyGenerator, self.g.averaged), seeds), cast(ResidualEncoder, self.e.averaged)

    def _seed(self, stream: Stream, number: int) -> int:
        return stream.key(self.options.seed, number)

    def _parts(self) -> dict[str, Any]:
        return self.g.parts() | self.e.parts()
