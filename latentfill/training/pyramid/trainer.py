"""The training of a Laplacian pyramid of GANs (Denton et al. 2015), one batch at a time. No files, no printing.

Every level plays a game of its own: its G sees the real images of the size before, its D those of its size, real or
with G's residual. The levels share no weights, so to descend the sum of their losses is to train them side by side.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from typing import Any, final

import torch
from torch import Tensor, nn

from ...gan.averaging import blend_parameters, estimate_statistics
from ...gan.gan import Gan
from ...gan.pyramid.levels import shrunk
from ...gan.pyramid.networks import PyramidDiscriminator, PyramidGenerator, sizes_of
from ...options import NetworkOptions, TrainOptions
from ...types import Images, Latents
from ..losses import LOSSES, mistaken_for_fake, mistaken_for_real
from ..record import Curve, Curves, Exhibit
from ..trainer import CURVES, LATENT_STREAM, SAMPLE_STREAM, SAMPLES, STATISTICS_STREAM

STATISTICS_BATCH = 256  # latents that batch norm is measured on at a time


@final
class PyramidTrainer:
    """The players of all levels, an optimiser for each side, and the running average of the generators."""

    suffixes = ("", "-raw")

    def __init__(
        self,
        generator: PyramidGenerator,
        discriminator: PyramidDiscriminator,
        options: TrainOptions,
        network: NetworkOptions,
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.options, self.network = options, network
        for part in (generator, discriminator):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            part.train()
        for bias in [*generator.idle_biases(), *discriminator.idle_biases()]:  # batch norm subtracts them again
            bias.requires_grad_(False)
        self.trained: dict[nn.Module, list[nn.Parameter]]
        self.trained = {n: [p for p in n.parameters() if p.requires_grad] for n in (generator, discriminator)}
        self.averaged = deepcopy(generator).requires_grad_(False)
        self.generator_optimizer = self._adam(generator)
        self.discriminator_optimizer = self._adam(discriminator)
        self.images_seen = 0

    def step(self, real: Images) -> dict[str, Tensor]:
        """Show all levels one batch: every D once, then every G as often as the options say, on the same latents.

        Returns, detached, what `Trainer.step` does, as means over the levels, and each level's own losses.
        """
        self._set_learning_rate()
        loss = LOSSES["non-saturating"]
        z, sizes = self.latents(self.images_seen, len(real)).to(real.device), shrunk(real)
        fakes = self.generator.beside(z, sizes)

        real_logits = self.discriminator.judge(sizes)
        fake_logits = self.discriminator.judge([fake.detach() for fake in fakes])
        costs = [loss.discriminator(*logits).mean() for logits in zip(real_logits, fake_logits, strict=True)]
        self._descend(costs, self.discriminator, self.discriminator_optimizer)

        self._let_learn(self.discriminator, False)
        prices: list[Tensor] = []  # to G, at its first update
        for update in range(self.options.generator_steps):
            if update:  # the first fakes are still what G makes of z: only D has moved
                fakes = self.generator.beside(z, sizes)
            now = [loss.generator(logits).mean() for logits in self.discriminator.judge(fakes)]
            self._descend(now, self.generator, self.generator_optimizer)
            prices = prices or now
        self._let_learn(self.discriminator, True)

        self.images_seen += len(real)
        self._average(len(real))
        real_mean, fake_mean = _mean(real_logits), _mean(fake_logits)
        values = {
            "discriminator": _mean(costs),
            "generator": _mean(prices),
            "real": real_mean,
            "fake": fake_mean,
            "discriminator_real": _mean([mistaken_for_fake(logits) for logits in real_logits]),
            "discriminator_fake": _mean([mistaken_for_real(logits) for logits in fake_logits]),
        }
        for size, cost, price in zip(sizes_of(self.network.size), costs, prices, strict=True):
            values |= {f"discriminator_{size}": cost.detach(), f"generator_{size}": price.detach()}
        return values

    @property
    def curves(self) -> Curves:
        """The columns of its metrics.csv: a GAN's, as means over the levels, and the losses of each."""
        levels = {
            f"{player}_loss_{size}": Curve(f"{player}_{size}", f"{player[0]}_loss/{size}")
            for size in sizes_of(self.network.size)
            for player in ("discriminator", "generator")
        }
        return {**CURVES, **levels}

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
        """Whether every number of all networks and of the average still is one."""
        networks = (self.generator, self.discriminator, self.averaged)
        tensors = [t for part in networks for t in part.state_dict().values() if t.is_floating_point()]
        return all(bool(t.isfinite().all()) for t in tensors)

    def latents(self, first: int, count: int) -> Latents:
        """The latents of images number `first` on: the n-th image of a run always meets the same one."""
        return self._draw(LATENT_STREAM, range(first, first + count))

    def averaged_generator(self, images: int = 4096) -> PyramidGenerator:
        """A copy of the averaged generator with statistics of its own, of images drawn from z alone, ready to use."""
        settled = deepcopy(self.averaged)
        device, size = next(settled.parameters()).device, min(images, STATISTICS_BATCH)
        groups = (range(first, first + size) for first in range(0, images, size))
        estimate_statistics(settled, ((self._draw(STATISTICS_STREAM, group).to(device),) for group in groups))
        return settled.eval()

    def raw_generator(self) -> PyramidGenerator:
        """A copy of the last generator, with the moving averages it kept while training."""
        return deepcopy(self.generator).requires_grad_(False).eval()

    def graph(self) -> None:
        """None is drawn."""

    def exhibit(self, values: Mapping[str, Tensor]) -> Exhibit:
        """What the averaged and the last generator make of fixed latents; how the last batch was spread."""
        z = self._draw(SAMPLE_STREAM, range(SAMPLES)).to(next(self.generator.parameters()).device)
        with torch.no_grad():
            sheets = {"": self.averaged_generator(1024)(z), "-raw": self.raw_generator()(z)}
        real, fake = values["real"], values["fake"]
        return Exhibit(sheets, {"D/real": real.sigmoid(), "D/fake": fake.sigmoid()})

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
        """Continue as if never interrupted. Raises KeyError, ValueError or RuntimeError for other networks' state."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:  # what was loaded are the old options
                group["betas"] = (self.options.beta1, self.options.beta2)
        self.images_seen = state["images_seen"]

    def _parts(self) -> dict[str, Any]:
        names = ("generator", "discriminator", "averaged", "generator_optimizer", "discriminator_optimizer")
        return {name: getattr(self, name) for name in names}

    def _draw(self, stream: int, numbers: range) -> Latents:
        return self.generator.prior.sample([(self.options.seed << 72) + (stream << 64) + n for n in numbers])

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        o = self.options
        return torch.optim.Adam(self.trained[network], o.learning_rate, betas=(o.beta1, o.beta2), fused=True)

    def _descend(self, losses: Sequence[Tensor], network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        parameters = self.trained[network]
        for parameter, grad in zip(parameters, torch.autograd.grad(list(losses), parameters), strict=True):
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
        half_life = min(self.options.average_half_life, 0.05 * self.images_seen)  # as in `Trainer`
        blend_parameters(self.averaged, self.generator, 0.5 ** (images / half_life) if half_life else 0.0)


def _mean(levels: Sequence[Tensor]) -> Tensor:
    return torch.stack([level.detach() for level in levels]).mean(0)
