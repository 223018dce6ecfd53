"""The training of a GAN, one batch at a time. No files, no printing: the caller owns the loop."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from typing import Any, final

import torch
from torch import nn

from ..gan.averaging import blend_parameters, estimate_statistics
from ..gan.building import AnyDiscriminator, AnyGenerator
from ..gan.gan import Gan
from ..options import NetworkOptions, TrainOptions
from ..types import Images, Latents, PerImage
from .losses import LOSSES, mistaken_for_fake, mistaken_for_real
from .record import PACE, Curve, Curves, Exhibit

LATENT_STREAM, STATISTICS_STREAM, SAMPLE_STREAM = 1, 2, 3  # seeds of different draws must never meet
SAMPLES = 64  # images drawn again and again
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
}


@final
class Trainer:
    """Two networks, their optimisers, and the running average of the generator."""

    curves = CURVES
    suffixes = ("", "-raw")

    def __init__(
        self,
        generator: AnyGenerator,
        discriminator: AnyDiscriminator,
        options: TrainOptions,
        network: NetworkOptions | None = None,
    ) -> None:
        self.generator, self.discriminator, self.options = generator, discriminator, options
        self.network = network or NetworkOptions()  # only told to the model files
        for part in (generator, discriminator):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            part.train()
        # Batch norm subtracts the mean, and with it any bias before it: such a bias gets no gradient, only rounding
        # errors that Adam would blow up. It keeps its first value, zero.
        for bias in [*generator.idle_biases(), *discriminator.idle_biases()]:
            bias.requires_grad_(False)
        self.trained: dict[nn.Module, list[nn.Parameter]]
        self.trained = {n: [p for p in n.parameters() if p.requires_grad] for n in (generator, discriminator)}
        self.averaged = deepcopy(generator).requires_grad_(False)
        self.generator_optimizer = self._adam(generator)
        self.discriminator_optimizer = self._adam(discriminator)
        self.images_seen = 0

    def step(self, real: Images) -> dict[str, torch.Tensor]:
        """Show both players one batch: D once, then G as often as the options say, on the same latents.

        Returns, detached and still on the device, the losses at the time of each player's first update, the logits
        `real` and `fake` that D gave before its own, and what these cost it (`discriminator_real`, `…_fake`).
        """
        self._set_learning_rate()
        loss = LOSSES["non-saturating"]
        z = self.latents(self.images_seen, len(real)).to(real.device)
        fake = self.generator(z)

        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake.detach())
        discriminator_loss = loss.discriminator(real_logits, fake_logits).mean()
        self._descend(discriminator_loss, self.discriminator, self.discriminator_optimizer)

        # Frozen, D passes gradients through to the fakes and computes none for itself.
        self._let_learn(self.discriminator, False)
        generator_losses = []
        for update in range(self.options.generator_steps):
            if update:  # the first fake is still what G makes of z: only D has moved
                fake = self.generator(z)
            generator_losses.append(loss.generator(self.discriminator(fake)).mean())
            self._descend(generator_losses[-1], self.generator, self.generator_optimizer)

        self._let_learn(self.discriminator, True)

        self.images_seen += len(real)
        self._average(len(real))
        real_logits, fake_logits = real_logits.detach(), fake_logits.detach()
        return {
            "discriminator": discriminator_loss.detach(),
            "generator": generator_losses[0].detach(),
            "real": real_logits,
            "fake": fake_logits,
            "discriminator_real": mistaken_for_fake(real_logits),
            "discriminator_fake": mistaken_for_real(fake_logits),
        }

    @property
    def real_images(self) -> int:
        """How many real images a step takes."""
        return self.options.batch_size

    @property
    def precision(self) -> torch.dtype:
        """What the layers compute in."""
        return self.generator.precision

    @property
    def learning_rate(self) -> float:
        """Adam's step in the last update."""
        return float(self.generator_optimizer.param_groups[0]["lr"])

    def is_finite(self) -> bool:
        """Whether every number of both networks and of the average still is one; infinite and NaN never heal."""
        tensors = [t for part in self._networks() for t in part.state_dict().values() if t.is_floating_point()]
        return all(bool(t.isfinite().all()) for t in tensors)

    def latents(self, first: int, count: int) -> Latents:
        """The latents of images number `first` on: the n-th image of a run always meets the same one."""
        return self.generator.prior.sample([self._seed(LATENT_STREAM, n) for n in range(first, first + count)])

    def fixed_latents(self, count: int) -> Latents:
        """The latents whose images are drawn again and again."""
        return self.generator.prior.sample([self._seed(SAMPLE_STREAM, n) for n in range(count)])

    def averaged_generator(self, images: int = 4096) -> AnyGenerator:
        """A copy of the averaged generator with statistics of its own, ready to use."""
        return self._settled(self.averaged, images)

    def raw_generator(self) -> AnyGenerator:
        """A copy of the last generator, with the moving averages it kept while training."""
        return deepcopy(self.generator).requires_grad_(False).eval()

    def graph(self) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        """Both networks as one, z to G and its image to D, with an example of z."""
        game = _Game(deepcopy(self.generator), deepcopy(self.discriminator)).cpu().eval()
        return game, (self.generator.prior.sample([0, 1]),)

    def exhibit(self, values: Mapping[str, torch.Tensor]) -> Exhibit:
        """What the averaged and the last generator make of the fixed latents; how the last batch was spread."""
        z = self.fixed_latents(SAMPLES).to(next(self.generator.parameters()).device)
        with torch.no_grad():
            sheets = {"": self.averaged_generator(1024)(z), "-raw": self.raw_generator()(z)}
        real, fake = values["real"], values["fake"]
        latents = self.latents(self.images_seen - len(real), len(real))
        return Exhibit(sheets, {"z": latents, "D/real": real.sigmoid(), "D/fake": fake.sigmoid()})

    def models(self, about: Mapping[str, Any]) -> dict[str, Gan]:
        """What model files should hold, by the ending of their names: the averaged generator, and the last one."""
        generators = {"": self.averaged_generator(), "-raw": self.raw_generator()}
        facts = dict(about) | {"options": asdict(self.options)}
        return {
            kind: Gan(generator, self.discriminator, self.network, facts | {"averaged": not kind})
            for kind, generator in generators.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {"images_seen": self.images_seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue as if never interrupted; the options may be others than before.

        Raises KeyError, ValueError or RuntimeError for the state of other networks.
        """
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:  # what was loaded are the old options
                group["betas"] = (self.options.beta1, self.options.beta2)
        self.images_seen = state["images_seen"]

    def _networks(self) -> tuple[nn.Module, ...]:
        return self.generator, self.discriminator, self.averaged

    def _parts(self) -> dict[str, Any]:
        names = ("generator", "discriminator", "averaged", "generator_optimizer", "discriminator_optimizer")
        return {name: getattr(self, name) for name in names}

    def _settled(self, generator: AnyGenerator, images: int) -> AnyGenerator:
        settled = deepcopy(generator).requires_grad_(False)
        device = next(settled.parameters()).device
        size = min(images, 256)
        seeds = (range(first, first + size) for first in range(0, images, size))
        sample = settled.prior.sample
        batches = ((sample([self._seed(STATISTICS_STREAM, n) for n in batch]).to(device),) for batch in seeds)
        estimate_statistics(settled, batches)
        return settled.eval()

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        o = self.options
        return torch.optim.Adam(self.trained[network], o.learning_rate, betas=(o.beta1, o.beta2), fused=True)

    def _descend(self, loss: torch.Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        parameters = self.trained[network]
        for parameter, grad in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = grad
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _let_learn(self, network: nn.Module, wanted: bool) -> None:
        for parameter in self.trained[network]:
            parameter.requires_grad_(wanted)

    def _set_learning_rate(self) -> None:
        o = self.options
        left = 1 - self.images_seen / o.images_seen
        rate = o.learning_rate * (min(1.0, max(0.0, left) / o.decay) if o.decay else 1.0)
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = rate

    def _average(self, images: int) -> None:
        # While a run is young its past is not worth keeping: the half-life grows with it (Karras et al. 2020).
        half_life = min(self.options.average_half_life, 0.05 * self.images_seen)
        blend_parameters(self.averaged, self.generator, 0.5 ** (images / half_life) if half_life else 0.0)

    def _seed(self, stream: int, number: int) -> int:
        return (self.options.seed << 72) + (stream << 64) + number


@final
class _Game(nn.Module):
    def __init__(self, generator: AnyGenerator, discriminator: AnyDiscriminator) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        generator.precision = discriminator.precision = torch.float32  # the tracer cannot follow the paths for bf16

    def forward(self, z: Latents) -> PerImage:
        logits: PerImage = self.discriminator(self.generator(z))
        return logits
