"""The parts that all trainers share, and the trainer of a GAN, one batch at a time. No files, no printing."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any, Protocol, final

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ..gan.batch_layers import is_virtual
from ..gan.dcgan import idle_biases
from ..gan.encoder import ResidualEncoder
from ..gan.gan import Gan, Prior
from ..gan.model_file import AnyDiscriminator, AnyGenerator
from ..options import NetworkOptions, TrainOptions
from ..process_group import own_numbers, own_share, process_group
from ..runs.interfaces import Trainer
from ..runs.logs import PACE, Curve, Curves, Summary
from ..seeds import Stream, philox
from ..types import Images, Latents, PerImage
from .augment import Regularisers
from .losses import LOSSES, feature_distance, label_smoothing, logit_metrics, penalty
from .optimiser import Schedule, TrainedNetwork, average_decay, descend, draw_latents, frozen_generator, schedule
from .reconstruction import Reconstruction, reconstruct_batch

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
        generator.precision = discriminator.precision = torch.float32  # the tracer cannot follow the code for bf16

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
        """The prior of the network."""
        network: Any = self.network
        found: Prior = network.prior
        return found

    def __call__(self, z: Latents) -> Images:
        images: Images = self.network(z) if self.labels is None else self.network(z, self.labels)
        return images

    def select(self, rows: slice) -> "ConditionalGenerator":
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


def sample_latents(prior: Prior, seed: int, count: int) -> Latents:
    """The latents whose images every sheet shows."""
    return draw_latents(prior, Stream.SAMPLES, seed, range(count))


SAMPLES = 64  # images that are drawn for every sheet
REGRESSION_BETAS = 0.9, 0.99  # a regression, not a game: it tolerates long memories, which make two players circle


class NetworksTrainer(Trainer, Protocol):
    """The body that trainers of all kinds share: networks with their optimisers, counted in images."""

    options: TrainOptions
    networks: tuple[TrainedNetwork[Any], ...]
    """the first is the one whose rate and precision are told"""
    suffixes: tuple[str, ...] = ("",)

    @property
    def real_images(self) -> int:
        """The number of real images in a step."""
        return self.options.batch_size

    @property
    def images_per_step(self) -> int:
        """The number that a step adds to `images_seen`."""
        return self.options.batch_size

    @property
    def precision(self) -> torch.dtype:
        """The precision that the layers compute in."""
        precision: torch.dtype = self.networks[0].network.precision
        return precision

    @property
    def learning_rate(self) -> float:
        """The optimiser's step in the last update."""
        return self.networks[0].learning_rate

    def is_finite(self) -> bool:
        """True if every number of all networks and of their averages still is one."""
        return all(network.is_finite() for network in self.networks)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        parts = {name: part for network in self.networks for name, part in network.parts().items()}
        return {name: part.state_dict() for name, part in parts.items()} | {"images_seen": self.images_seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue as if never interrupted. Raises KeyError, ValueError or RuntimeError for other networks' state."""
        for network in self.networks:
            network.load(state)
        self.images_seen = state["images_seen"]

    def graph(self) -> tuple[nn.Module, tuple[Tensor, ...]] | None:
        """None is drawn."""
        return None


class GameTrainer(NetworksTrainer, Protocol):
    """The body that trainers of G and D share: latents, the generators to use, and what is shown of them."""

    generator: AnyGenerator
    discriminator: AnyDiscriminator
    network: NetworkOptions
    g: TrainedNetwork[Any]
    suffixes: tuple[str, ...] = ("", "-raw")

    @property
    def averaged(self) -> AnyGenerator:
        """The running average of the generator."""
        averaged: AnyGenerator = self.g.averaged
        return averaged

    def latents(self, numbers: range) -> Latents:
        """The latents of images of these numbers: the n-th image of a run always meets the same one."""
        return draw_latents(self.generator.prior, Stream.LATENTS, self.options.seed, numbers)

    def fixed_latents(self, count: int) -> Latents:
        """The latents whose images are drawn again and again."""
        return sample_latents(self.generator.prior, self.options.seed, count)

    def averaged_generator(self, images: int = 4096) -> AnyGenerator:
        """A copy of the averaged generator with statistics of its own, of images drawn from z alone, ready to use."""
        return frozen_generator(self.averaged, self.options.seed, images)

    def raw_generator(self) -> AnyGenerator:
        """A copy of the last generator, with the moving averages it kept while training."""
        if is_virtual(self.generator):  # its statistics are from before the last update
            return frozen_generator(self.generator, self.options.seed, 1)
        return deepcopy(self.generator).requires_grad_(False).eval()

    def graph(self) -> tuple[nn.Module, tuple[Tensor, ...]]:
        """G and D as one network, z to G and its image to D, with an example of z."""
        game = GanGraph(deepcopy(self.generator), deepcopy(self.discriminator)).cpu().eval()
        return game, (self.fixed_latents(2),)

    def summary(self, values: Mapping[str, Tensor]) -> Summary:
        """Images of the fixed latents by the averaged and the last generator; how the last batch was spread."""
        z = self.fixed_latents(SAMPLES).to(next(self.generator.parameters()).device)
        with torch.no_grad():
            labels = class_labels(SAMPLES, self.network.classes, z.device)
            drawn = {"": self.averaged_generator(1024), "-raw": self.raw_generator()}
            sheets = {kind: ConditionalGenerator(generator, labels)(z) for kind, generator in drawn.items()}
        shown = {f"D/{name}": values[name].sigmoid() for name in ("real", "fake") if name in values}
        last = range(self.images_seen - self.real_images, self.images_seen)
        return Summary(sheets, {"z": self.latents(last), **shown})


@final
class GanTrainer(GameTrainer):
    """Two networks, their optimisers, and the running average of the generator; perhaps an encoder beside them."""

    curves = CURVES

    def __init__(
        self,
        generator: AnyGenerator,
        discriminator: AnyDiscriminator,
        options: TrainOptions,
        network: NetworkOptions | None = None,
        encoder: ResidualEncoder | None = None,
    ) -> None:
        self.generator, self.discriminator, self.encoder, self.options = generator, discriminator, encoder, options
        self.network = network or NetworkOptions()  # only recorded in the model files
        # Batch norm removes any bias before it. Its gradient is only rounding error, which Adam would amplify, so it
        # stays 0.
        for bias in idle_biases(generator, discriminator):
            bias.requires_grad_(False)
        self.regularisers = Regularisers(options, generator, discriminator)
        betas = options.beta1, options.beta2
        self.g = TrainedNetwork(generator, "generator", betas, "averaged", history=options.history)
        self.d = TrainedNetwork(discriminator, "discriminator", betas, history=options.history)
        self.e = TrainedNetwork(encoder, "encoder", REGRESSION_BETAS, "averaged_encoder") if encoder else None
        self.networks = (self.g, self.d, *((self.e,) if self.e else ()))
        self.images_seen = 0
        self.now: Schedule = schedule(options, 0)

    def step(self, real: Images, labels: Labels | None = None) -> dict[str, Tensor]:
        """Show both players one batch: D first, then G as often as the options say, on the same latents.

        Fakes are drawn of the same classes as the pictures, if these have `labels`.

        Returns, detached, the losses at each player's first update, the logits `real` and `fake` that D gave before its
        own and what these cost it (`discriminator_real`, `…_fake`), and, where they were computed, squared slopes of D
        and what a reconstruction costs.
        """
        o, loss = self.options, LOSSES[self.options.loss]
        self.now = schedule(o, self.images_seen)
        for network in self.networks:
            calm = self.now.phase == "redraw" or network is self.e
            network.set_rate(self.now.learning_rate, REGRESSION_BETAS if calm else (o.beta1, self.now.beta2))
        if self.e and self.now.phase == "redraw":
            numbers, g = own_numbers(self.images_seen, len(real)), ConditionalGenerator(self.generator, labels)
            alone = reconstruct_batch(g, self.e.network, real, numbers, o.seed, o.first_divergence)
            descend(alone.loss, self.g, self.e)
            return self._finish(len(real), alone.metrics())
        values: dict[str, Tensor] = {}
        self.regularisers.begin(real, self.images_seen)
        share = o.batch_size // process_group().size
        for start in range(0, len(real), share):
            first, rows = self.images_seen + start * process_group().size, slice(start, start + share)
            batch, classes = real[rows], None if labels is None else labels[rows]
            g, d = ConditionalGenerator(self.generator, classes), ConditionalDiscriminator(self.discriminator, classes)
            numbers = own_numbers(first, len(batch))
            z = self.latents(numbers).to(real.device)
            fake, reconstruction = self._draw_fakes(g, z, batch, numbers)
            measured = self._update_discriminator(d, batch, fake.detach(), numbers)
            values = values or measured  # the values of the first update
        # Frozen, D passes gradients through to the fakes and computes none for itself.
        self.d.require_gradients(False)
        for update in range(o.generator_steps):
            if update:  # the first fake is still valid for z: only D has changed
                fake, reconstruction = self._draw_fakes(g, z, batch, numbers)
            seen = d.features(self.regularisers.apply(fake, numbers, "update", update))
            other = (
                d.features(self.regularisers.apply(batch, numbers, "real"))
                if loss.pairs or o.feature_matching
                else seen
            )
            judged = d.decide(seen)
            cost = loss.generator(d.decide(other) if loss.pairs else judged, judged).mean()
            values.setdefault("generator", cost.detach())
            if o.feature_matching:
                cost = cost + o.feature_matching * feature_distance(other, seen)
            if self.e and reconstruction:
                values |= reconstruction.metrics()
                descend(cost + o.reconstruct * reconstruction.loss, self.g, self.e)
            else:
                descend(cost, self.g)
        self.d.require_gradients(True)
        return self._finish(len(real), values)

    @property
    def real_images(self) -> int:
        """The number of real images in a step."""
        return self.options.batch_size * self.options.discriminator_steps

    @property
    def images_per_step(self) -> int:
        """The number that a step adds to `images_seen`."""
        return self.real_images

    def models(self, about: Mapping[str, Any]) -> dict[str, Gan]:
        """The contents of model files, by the ending of their names: the averaged generator, and the last one."""
        generators = {"": self.averaged_generator(), "-raw": self.raw_generator()}
        phase = schedule(self.options, self.images_seen).phase
        e = None if phase == "game" else self.e  # an encoder outside the game becomes outdated while G changes
        encoders = {"": e.averaged, "-raw": e.network} if e else {"": None, "-raw": None}
        facts = dict(about) | {"options": asdict(self.options), "phase": phase}
        return {
            kind: Gan(generator, self.discriminator, self.network, facts | {"averaged": not kind}, encoders[kind])
            for kind, generator in generators.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        pieces = self.regularisers.state_dict()
        return super().state_dict() | ({"pieces": pieces} if pieces else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue as if never interrupted. Raises KeyError, ValueError or RuntimeError for other networks' state."""
        super().load_state_dict(state)
        self.regularisers.load_state_dict(state.get("pieces", {}))

    def _draw_fakes(
        self, g: ConditionalGenerator, z: Latents, real: Images, numbers: range
    ) -> tuple[Images, Reconstruction | None]:
        """Fakes to be judged, and what an encoder beside G makes of the pictures: the last of the fakes are these."""
        if not self.e or self.now.phase != "both":
            return g(z), None
        reconstruction = reconstruct_batch(g, self.e.network, real, numbers, self.options.seed, self.options.divergence)
        whole = len(z) * process_group().size
        own = len(own_share(range(whole - round(self.options.redrawn_share * whole))))
        drawn = [g.select(slice(own))(z[:own])] if own else []
        return torch.cat([*drawn, reconstruction.pictures[own:]]), reconstruction

    def _update_discriminator(
        self, d: ConditionalDiscriminator, real: Images, fake: Images, numbers: range
    ) -> dict[str, Tensor]:
        """One update of D on one batch."""
        o = self.options
        real, fake = self.regularisers.apply(real, numbers, "real"), self.regularisers.apply(fake, numbers, "fake")
        real_logits, fake_logits = d(real), d(fake)
        loss = LOSSES[o.loss].discriminator(real_logits, fake_logits).mean()
        cost, slopes = loss + label_smoothing(real_logits, o.label_smoothing).mean(), dict[str, Tensor]()
        if (numbers.start - process_group().rank) // o.batch_size % o.penalty_every == 0:
            share = real.new_tensor([philox(Stream.INTERPOLATION.key(o.seed, n)).random() for n in numbers])
            term, slopes = penalty(d, real, fake, share, o)
            cost = cost if term is None else cost + self.now.penalty * o.penalty_every * term
        descend(cost, self.d)
        real_logits, fake_logits = real_logits.detach(), fake_logits.detach()
        adapted = self.regularisers.adapt(real_logits, fake_logits)
        return {"discriminator": loss.detach(), **logit_metrics(real_logits, fake_logits), **slopes, **adapted}

    def _finish(self, images: int, values: dict[str, Tensor]) -> dict[str, Tensor]:
        images *= process_group().size
        self.images_seen += images
        for network in self.networks:
            network.average(average_decay(images, schedule(self.options, self.images_seen).half_life))
        return values
