"""The training of a Laplacian pyramid of GANs (Denton et al. 2015), one batch at a time. No files, no printing.

Every level plays its own game: its G sees the real images of the next smaller size, its D those of its own size, real
or with G's residual. The levels share no weights, so minimising the sum of their losses trains each of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from ..device import choose_precision
from ..errors import LatentfillError
from ..gan import model_file
from ..gan.dcgan import idle_biases
from ..gan.gan import Gan
from ..gan.lapgan import PyramidDiscriminator, PyramidGenerator, gaussian_pyramid, pyramid_sizes
from ..options import NetworkOptions, RunOptions, TrainOptions
from ..options.validation import check_bounds
from ..process_group import own_share, process_group
from ..runs.data import Dataset
from ..runs.folder import Subject, check_unused
from ..runs.interfaces import DEFAULT_CONTEXT, TrainingContext
from ..runs.logs import PACE, Curve, Curves, Progress
from ..runs.loop import prepare_pictures, run_training
from ..types import Images
from .losses import LOSSES, fake_loss, real_loss
from .optimiser import TrainedNetwork, average_decay, descend, schedule
from .trainer import CURVES, GameTrainer

MEANS = ("discriminator", "generator", "real", "fake", "discriminator_real", "discriminator_fake")  # over the levels


@final
class PyramidTrainer(GameTrainer):
    """The players of all levels, an optimiser for each side, and the running average of the generators."""

    generator: PyramidGenerator
    discriminator: PyramidDiscriminator

    def __init__(
        self,
        generator: PyramidGenerator,
        discriminator: PyramidDiscriminator,
        options: TrainOptions,
        network: NetworkOptions,
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.options, self.network = options, network
        for bias in idle_biases(generator, discriminator):  # batch norm subtracts them again
            bias.requires_grad_(False)
        betas = options.beta1, options.beta2
        self.g = TrainedNetwork(generator, "generator", betas, "averaged")
        self.d = TrainedNetwork(discriminator, "discriminator", betas)
        self.networks = (self.g, self.d)
        self.images_seen = 0

    def step(self, real: Images) -> dict[str, Tensor]:
        """Show all levels one batch: every D once, then every G as often as the options say, on the same latents.

        Returns, detached, what `Trainer.step` does, as means over the levels, and each level's own losses.
        """
        o, loss, now = self.options, LOSSES["non-saturating"], schedule(self.options, self.images_seen)
        for network in self.networks:
            network.set_rate(now.learning_rate, (o.beta1, now.beta2))
        batch = range(self.images_seen, self.images_seen + len(real) * process_group().size)
        z, sizes = self.latents(own_share(batch)).to(real.device), gaussian_pyramid(real)
        fakes = self.generator.draw_over(z, sizes)

        real_logits = self.discriminator.judge(sizes)
        fake_logits = self.discriminator.judge([fake.detach() for fake in fakes])
        pairs = list(zip(real_logits, fake_logits, strict=True))
        costs = torch.stack([loss.discriminator(*logits).mean() for logits in pairs])
        descend(costs.sum(), self.d)

        # Frozen, D passes gradients through to the fakes and computes none for itself.
        self.d.require_gradients(False)
        prices = []  # the loss of G at each of its updates
        for update in range(o.generator_steps):
            if update:  # the first fakes are still valid for z: only D has changed
                fakes = self.generator.draw_over(z, sizes)
            judged = zip(real_logits, self.discriminator.judge(fakes), strict=True)
            prices.append(torch.stack([loss.generator(*logits).mean() for logits in judged]))
            descend(prices[-1].sum(), self.g)
        self.d.require_gradients(True)

        self.images_seen = batch.stop
        half_life = schedule(o, self.images_seen).half_life
        self.g.average(average_decay(len(batch), half_life))
        return _metrics(pairs, costs.detach(), prices[0].detach(), pyramid_sizes(self.network.size))

    @property
    def curves(self) -> Curves:
        """The columns of its metrics.csv: a GAN's, as means over the levels, and the losses of each."""
        levels = {
            f"{player}_loss_{size}": Curve(f"{player}_{size}", f"{player[0]}_loss/{size}")
            for size in pyramid_sizes(self.network.size)
            for player in ("discriminator", "generator")
        }
        means = {name: curve for name, curve in CURVES.items() if curve.value in MEANS or name in PACE}
        return {**means, **levels}

    def models(self, about: Mapping[str, Any]) -> dict[str, Gan]:
        """The contents of model files, by the ending of their names: the averaged generator, and the last one."""
        generators = {"": self.averaged_generator(), "-raw": self.raw_generator()}
        facts = dict(about) | {"options": asdict(self.options)}
        return {
            kind: Gan(generator, self.discriminator, self.network, facts | {"averaged": not kind})
            for kind, generator in generators.items()
        }


def _metrics(
    pairs: Sequence[tuple[Tensor, Tensor]], costs: Tensor, prices: Tensor, sizes: Sequence[int]
) -> dict[str, Tensor]:
    """Measurements of a step, given each level's logits of real and fake images, and what they cost D and G."""
    real, fake = (torch.stack([logits.detach() for logits in side]) for side in zip(*pairs, strict=True))
    levels = {f"discriminator_{size}": cost for size, cost in zip(sizes, costs, strict=True)}
    levels |= {f"generator_{size}": price for size, price in zip(sizes, prices, strict=True)}
    return {
        "discriminator": costs.mean(),
        "generator": prices.mean(),
        "real": real.mean(0),
        "fake": fake.mean(0),
        "discriminator_real": real_loss(real.flatten()),
        "discriminator_fake": fake_loss(fake.flatten()),
        **levels,
    }


CURE = "Leave that out, or train the pyramid as one: --kind gan --networks pyramid."


def train_pyramid(
    data: Dataset,
    folder: Path,
    network: NetworkOptions,
    options: TrainOptions,
    run: RunOptions,
    context: TrainingContext = DEFAULT_CONTEXT,
) -> Iterator[Progress]:
    """Train a pyramid until `options.images_seen`, as `run.follow` does. Raises ValueError as `run.train` does.

    Raises LatentfillError for other networks, and for options that its levels have no use for.
    """
    check_bounds(network, options, run)
    if network.networks != "pyramid":
        what = f"{network.networks} networks have no levels to train one by one"
        raise LatentfillError(what, "Leave out --networks, or train them with --kind gan.")
    check_unused(options, "a pyramid's levels are", CURE, besides={"generator_steps"})
    data, _, options = prepare_pictures(data, network.size, network.channels, options)

    def trainer(device: torch.device, options: TrainOptions) -> PyramidTrainer:
        generator, discriminator = model_file.build_pyramid(network, options.seed)
        generator.precision = discriminator.precision = choose_precision(options.precision, device)
        return PyramidTrainer(generator.to(device), discriminator.to(device), options, network)

    yield from run_training(
        trainer, data, folder, Subject("lapgan", {"network": asdict(network)}), options, run, context
    )
