"""The training of a GAN, one batch at a time. No files, no printing: the context owns the loop."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from typing import Any, cast, final

import torch
from torch import nn

from ..gan.checkpoint import AnyDiscriminator, AnyGenerator
from ..gan.dcgan import idle_biases
from ..gan.encoder import ResidualEncoder
from ..gan.gan import Gan
from ..gan.layers import is_virtual, own_numbers, own_share, process_group
from ..options import NetworkOptions, TrainOptions
from ..runs.record import Summary
from ..seeds import Stream, philox
from ..types import Images, Latents
from .augment import Regularisers
from .losses import LOSSES, feature_distance, label_smoothing, logit_metrics, penalty
from .optimiser import (
    CURVES,
    ConditionalDiscriminator,
    ConditionalGenerator,
    GanGraph,
    Labels,
    Schedule,
    TrainedNetwork,
    average_decay,
    class_labels,
    descend,
    frozen_copy,
    schedule,
)
from .reconstruction import Reconstruction, reconstruct_batch

LATENT_STREAM, STATISTICS_STREAM, SAMPLE_STREAM = Stream.LATENTS, Stream.STATISTICS, Stream.SAMPLES
SAMPLES = 64  # images drawn again and again
REGRESSION_BETAS = 0.9, 0.99  # a regression, not a game: it bears memories that would make two players circle


@final
class GanTrainer:
    """Two networks, their optimisers, and the running average of the generator; perhaps an encoder beside them."""

    curves = CURVES
    suffixes = ("", "-raw")

    def __init__(
        self,
        generator: AnyGenerator,
        discriminator: AnyDiscriminator,
        options: TrainOptions,
        network: NetworkOptions | None = None,
        encoder: ResidualEncoder | None = None,
    ) -> None:
        self.generator, self.discriminator, self.encoder, self.options = generator, discriminator, encoder, options
        self.network = network or NetworkOptions()  # only told to the model files
        # Batch norm takes off any bias before it, whose gradient is rounding errors that Adam would blow up: it stays.
        for bias in idle_biases(generator, discriminator):
            bias.requires_grad_(False)
        self.pieces = Regularisers(options, generator, discriminator)
        betas = options.beta1, options.beta2
        self.g = TrainedNetwork(generator, "generator", betas, "averaged")
        self.d = TrainedNetwork(discriminator, "discriminator", betas)
        self.e = TrainedNetwork(encoder, "encoder", REGRESSION_BETAS, "averaged_encoder") if encoder else None
        for player in (self.g, self.d):
            player.hold_back(options.history)
        self.images_seen = 0
        self.now: Schedule = schedule(options, 0)

    def step(self, real: Images, labels: Labels | None = None) -> dict[str, torch.Tensor]:
        """Show both players one batch: D first, then G as often as the options say, on the same latents.

        Fakes are drawn of the same classes as the pictures, if these have `labels`.

        Returns, detached, the losses at each player's first update, the logits `real` and `fake` that D gave before its
        own and what these cost it (`discriminator_real`, `…_fake`), and, where they were computed, squared slopes of D
        and what a reconstruction costs.
        """
        o, loss = self.options, LOSSES[self.options.loss]
        self.now = schedule(o, self.images_seen)
        for player in self._players():
            calm = self.now.phase == "redraw" or player is self.e
            player.set(self.now.learning_rate, REGRESSION_BETAS if calm else (o.beta1, self.now.beta2))
        if self.e and self.now.phase == "redraw":
            numbers, asked = own_numbers(self.images_seen, len(real)), ConditionalGenerator(self.generator, labels)
            pictures = reconstruct_batch(asked, self.e.network, real, numbers, o.seed, o.first_divergence)
            descend(pictures.loss, (self.g, self.e))
            return self._after(len(real), pictures.told())
        values: dict[str, torch.Tensor] = {}
        self.pieces.begin(real, self.images_seen)
        share = o.batch_size // process_group().size
        for start in range(0, len(real), share):
            first, rows = self.images_seen + start * process_group().size, slice(start, start + share)
            batch, classes = real[rows], None if labels is None else labels[rows]
            g, d = ConditionalGenerator(self.generator, classes), ConditionalDiscriminator(self.discriminator, classes)
            numbers = own_numbers(first, len(batch))
            z = self.latents(numbers).to(real.device)
            fake, redrawn = self._draw(g, z, batch, numbers)
            told = self._judge(d, batch, fake.detach(), numbers)
            values = values or told  # of the first update
        # Frozen, D passes gradients through to the fakes and computes none for itself.
        self.d.let_learn(False)
        for update in range(o.generator_steps):
            if update:  # the first fake is still what G makes of z: only D has moved
                fake, redrawn = self._draw(g, z, batch, numbers)
            seen = d.features(self.pieces.shown(fake, numbers, "update", update))
            other = d.features(self.pieces.shown(batch, numbers, "real")) if loss.pairs or o.feature_matching else seen
            judged = d.decide(seen)
            cost = loss.generator(d.decide(other) if loss.pairs else judged, judged).mean()
            values.setdefault("generator", cost.detach())
            if o.feature_matching:
                cost = cost + o.feature_matching * feature_distance(other, seen)
            if self.e and redrawn:
                values |= redrawn.told()
                descend(cost + o.reconstruct * redrawn.loss, (self.g, self.e))
            else:
                descend(cost, (self.g,))
        self.d.let_learn(True)
        return self._after(len(real), values)

    @property
    def averaged(self) -> AnyGenerator:
        """The running average of the generator."""
        return cast(AnyGenerator, self.g.averaged)

    @property
    def real_images(self) -> int:
        """How many real images a step takes."""
        return self.options.batch_size * self.options.discriminator_steps

    @property
    def images_per_step(self) -> int:
        """By how much a step raises `images_seen`."""
        return self.real_images

    @property
    def precision(self) -> torch.dtype:
        """What the layers compute in."""
        return self.generator.precision

    @property
    def learning_rate(self) -> float:
        """Adam's step in the last update."""
        return self.g.learning_rate

    def is_finite(self) -> bool:
        """Whether every number of all networks and of the averages still is one."""
        return all(player.is_finite() for player in self._players())

    def latents(self, numbers: range) -> Latents:
        """The latents of images of these numbers: the n-th image of a run always meets the same one."""
        return self.generator.prior.sample([self._seed(LATENT_STREAM, n) for n in numbers])

    def fixed_latents(self, count: int) -> Latents:
        """The latents whose images are drawn again and again."""
        return self.generator.prior.sample([self._seed(SAMPLE_STREAM, n) for n in range(count)])

    def averaged_generator(self, images: int = 4096) -> AnyGenerator:
        """A copy of the averaged generator with statistics of its own, ready to use."""
        return frozen_copy(self.averaged, [self._seed(STATISTICS_STREAM, n) for n in range(images)])

    def raw_generator(self) -> AnyGenerator:
        """A copy of the last generator, with the moving averages it kept while training."""
        if is_virtual(self.generator):  # its statistics are those before the last update
            return frozen_copy(self.generator, [self._seed(STATISTICS_STREAM, 0)])
        return deepcopy(self.generator).requires_grad_(False).eval()

    def graph(self) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        """Both networks as one, z to G and its image to D, with an example of z."""
        game = GanGraph(deepcopy(self.generator), deepcopy(self.discriminator)).cpu().eval()
        return game, (self.generator.prior.sample([0, 1]),)

    def summary(self, values: Mapping[str, torch.Tensor]) -> Summary:
        """What the averaged and the last generator make of the fixed latents; how the last batch was spread."""
        z = self.fixed_latents(SAMPLES).to(next(self.generator.parameters()).device)
        with torch.no_grad():
            labels = class_labels(SAMPLES, self.network.classes, z.device)
            drawn = {"": self.averaged_generator(1024), "-raw": self.raw_generator()}
            sheets = {kind: ConditionalGenerator(generator, labels)(z) for kind, generator in drawn.items()}
        shown = {f"D/{name}": values[name].sigmoid() for name in ("real", "fake") if name in values}
        last = range(self.images_seen - self.real_images, self.images_seen)
        return Summary(sheets, {"z": self.latents(last), **shown})

    def models(self, about: Mapping[str, Any]) -> dict[str, Gan]:
        """What model files should hold, by the ending of their names: the averaged generator, and the last one."""
        generators = {"": self.averaged_generator(), "-raw": self.raw_generator()}
        phase = schedule(self.options, self.images_seen).phase
        e = None if phase == "game" else self.e  # in a game that it has no part in, it falls behind G
        encoders = {"": e.averaged, "-raw": e.network} if e else {"": None, "-raw": None}
        facts = dict(about) | {"options": asdict(self.options), "phase": phase}
        return {
            kind: Gan(generator, self.discriminator, self.network, facts | {"averaged": not kind}, encoders[kind])
            for kind, generator in generators.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        parts = {name: part for player in self._players() for name, part in player.parts().items()}
        state = {name: part.state_dict() for name, part in parts.items()} | {"images_seen": self.images_seen}
        pieces = self.pieces.state_dict()
        return state | ({"pieces": pieces} if pieces else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue as if never interrupted. Raises KeyError, ValueError or RuntimeError for other networks' state."""
        for player in self._players():
            player.load(state)
        self.pieces.load_state_dict(state.get("pieces", {}))
        self.images_seen = state["images_seen"]

    def _draw(
        self, g: ConditionalGenerator, z: Latents, real: Images, numbers: range
    ) -> tuple[Images, Reconstruction | None]:
        """Fakes to be judged, and what an encoder beside G makes of the pictures: the last of the fakes are these."""
        if not self.e or self.now.phase != "both":
            return g(z), None
        redrawn = reconstruct_batch(g, self.e.network, real, numbers, self.options.seed, self.options.divergence)
        whole = len(z) * process_group().size
        own = len(own_share(range(whole - round(self.options.redrawn_share * whole))))
        drawn = [g.of(slice(own))(z[:own])] if own else []
        return torch.cat([*drawn, redrawn.pictures[own:]]), redrawn

    def _judge(
        self, d: ConditionalDiscriminator, real: Images, fake: Images, numbers: range
    ) -> dict[str, torch.Tensor]:
        """One update of D on one batch."""
        o = self.options
        real, fake = self.pieces.shown(real, numbers, "real"), self.pieces.shown(fake, numbers, "fake")
        real_logits, fake_logits = d(real), d(fake)
        loss = LOSSES[o.loss].discriminator(real_logits, fake_logits).mean()
        cost, slopes = loss + label_smoothing(real_logits, o.label_smoothing).mean(), dict[str, torch.Tensor]()
        if (numbers.start - process_group().rank) // o.batch_size % o.penalty_every == 0:
            share = real.new_tensor([philox(self._seed(Stream.INTERPOLATION, n)).random() for n in numbers])
            term, slopes = penalty(d, real, fake, share, o)
            cost = cost if term is None else cost + self.now.penalty * o.penalty_every * term
        descend(cost, (self.d,))
        real_logits, fake_logits = real_logits.detach(), fake_logits.detach()
        adapted = self.pieces.adapt(real_logits, fake_logits)
        return {"discriminator": loss.detach(), **logit_metrics(real_logits, fake_logits), **slopes, **adapted}

    def _players(self) -> tuple[TrainedNetwork[Any], ...]:
        return (self.g, self.d, *((self.e,) if self.e else ()))

    def _after(self, images: int, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        images *= process_group().size
        self.images_seen += images
        for player in self._players():
            player.average(average_decay(images, schedule(self.options, self.images_seen).half_life))
        return values

    def _seed(self, stream: Stream, number: int) -> int:
        return stream.key(self.options.seed, number)
