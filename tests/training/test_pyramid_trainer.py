"""The pyramid's trainer: against a plain loop over the levels, and against itself interrupted."""

import io
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from latentfill.gan.model_file import build_pyramid
from latentfill.gan.residual import double
from latentfill.options import NetworkOptions, Size, TrainOptions
from latentfill.runs.loop import Learner
from latentfill.seeds import Stream
from latentfill.training.lapgan import PyramidTrainer
from latentfill.training.optimiser import draw_latents

TINY = NetworkOptions(size=32, networks="pyramid", base=4, latent=16)


def new_trainer(
    network: NetworkOptions = TINY, precision: torch.dtype = torch.float32, **options: Any
) -> PyramidTrainer:
    generator, discriminator = build_pyramid(network, 3)
    generator.precision = discriminator.precision = precision
    return PyramidTrainer(generator, discriminator, TrainOptions(**options), network)


def real(i: int, n: int = 4, size: int = 32, channels: int = 3) -> torch.Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(i)) * 2 - 1


class Plain:
    """The games of all levels one after the other, as the paper trains them, each with optimisers of its own."""

    def __init__(self, trainer: PyramidTrainer, rate: float) -> None:
        self.generator, self.discriminator = deepcopy(trainer.generator), deepcopy(trainer.discriminator)
        draws: Any = [self.generator.smallest, *self.generator.levels]
        self.levels = list(zip(draws, self.discriminator.levels, strict=True))
        self.optimizers = [
            [torch.optim.Adam([p for p in n.parameters() if p.requires_grad], rate, betas=(0.5, 0.999)) for n in pair]
            for pair in self.levels
        ]

    def step(self, images: torch.Tensor, z: torch.Tensor) -> list[float]:
        costs = []
        coarse, shares = torch.empty(0), self.generator.split_latents(z)
        for number, ((g, d), (og, od)) in enumerate(zip(self.levels, self.optimizers, strict=True)):
            size = 8 * 2**number
            judged = F.interpolate(images, (size, size), mode="area")

            def draw(number: int = number, g: Any = g, coarse: torch.Tensor = coarse) -> torch.Tensor:
                drawn: torch.Tensor
                drawn = double(coarse) + g.residual(coarse, shares[number]) if number else g(shares[0])
                return drawn

            od.zero_grad()
            cost = self.against(d(judged), 1.0) + self.against(d(draw().detach()), 0.0)
            cost.backward()  # type: ignore[no-untyped-call]
            od.step()
            for _ in range(2):
                og.zero_grad()
                self.against(d(draw()), 1.0).backward()  # type: ignore[no-untyped-call]
                og.step()
            costs.append(float(cost.detach()))
            coarse = judged
        return costs

    def against(self, logits: torch.Tensor, target: float) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def test_a_step_is_that_of_every_level_in_a_plain_loop() -> None:
    ours = new_trainer(learning_rate=1e-3)
    for network in (ours.generator, ours.discriminator, ours.averaged):
        network.double()
    ours.generator.precision = ours.discriminator.precision = torch.float64
    plain = Plain(ours, 1e-3)
    for i in range(3):
        costs = plain.step(real(i).double(), ours.latents(range(ours.images_seen, ours.images_seen + 4)).double())
        values = ours.step(real(i).double())
        for size, cost in zip((8, 16, 32), costs, strict=True):
            assert float(values[f"discriminator_{size}"]) == pytest.approx(cost, abs=1e-4)
    for mine, other in ((ours.generator, plain.generator), (ours.discriminator, plain.discriminator)):
        for name, tensor in other.state_dict().items():
            if "running" in name or name.endswith("num_batches_tracked"):
                continue  # the plain loop draws and judges more often
            # The images pass through float32 on their way out of G.
            torch.testing.assert_close(mine.state_dict()[name], tensor, atol=1e-4, rtol=1e-3, msg=name)


def test_no_level_learns_from_another() -> None:
    """A level that is broken leaves the others as they would have been."""
    whole, broken = new_trainer(), new_trainer()
    level: Any = broken.generator.levels[1]
    level.mix.weight.data.mul_(-3)
    level.draw.weight.data.fill_(0.1)
    for trainer in (whole, broken):
        trainer.step(real(0))
    for part in ("smallest", "levels.0"):
        mine, others = (trainer.generator.get_submodule(part).state_dict() for trainer in (whole, broken))
        assert all(torch.equal(tensor, others[name]) for name, tensor in mine.items())


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_resuming_is_as_if_never_interrupted_to_the_bit(precision: torch.dtype, equal: Any) -> None:
    straight = new_trainer(precision=precision)
    for i in range(5):
        straight.step(real(i))
    first, second = new_trainer(precision=precision), new_trainer(precision=precision)
    for i in range(2):
        first.step(real(i))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for i in range(2, 5):
        second.step(real(i))
    assert equal(straight.state_dict(), second.state_dict())
    assert all(equal(a, second.models({})[kind].generator.state_dict()) for kind, a in states(straight).items())


def states(trainer: PyramidTrainer) -> dict[str, Any]:
    models: Any = trainer.models({})
    return {kind: model.generator.state_dict() for kind, model in models.items()}


@pytest.mark.parametrize("size", [8, 16, 64])
def test_every_size_takes_a_step_and_tells_each_level(size: Size) -> None:
    tiny = new_trainer(NetworkOptions(size, 1, "pyramid", base=1, latent=8))
    values = tiny.step(real(0, 2, size, 1))
    assert isinstance(tiny, Learner) and tiny.is_finite() and tiny.images_seen == 2
    told = {curve.value for curve in tiny.curves.values()} - {"images_per_second", "learning_rate"}
    assert told == set(values) and all(value.isfinite().all() for value in values.values())
    assert (
        values["discriminator"]
        == torch.stack(
            [value for name, value in values.items() if name.startswith("discriminator_") and name[-1].isdigit()]
        ).mean()
    )


def test_a_number_that_is_none_is_noticed() -> None:
    tiny = new_trainer()
    tiny.discriminator.levels[2].get_parameter("judge.bias").data.fill_(torch.nan)
    assert not tiny.is_finite()


def test_a_model_has_the_statistics_of_images_drawn_from_z_alone() -> None:
    tiny = new_trainer()
    for i in range(3):
        tiny.step(real(i))
    settled = tiny.averaged_generator(64)
    assert not settled.training and tiny.generator.training
    z = draw_latents(tiny.generator.prior, Stream.STATISTICS, 0, range(64))
    with torch.no_grad():
        # Normalised by its own batch, each level draws what it does by the statistics measured on the same images.
        torch.testing.assert_close(settled(z), deepcopy(settled).train()(z), atol=0.01, rtol=0)
