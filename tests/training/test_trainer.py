"""The trainer: against a plain loop, and against itself interrupted."""

import io
from copy import deepcopy
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from latentfill.gan import stride2
from latentfill.gan.dcgan import SIZES, DcganDiscriminator, DcganGenerator, idle_biases
from latentfill.gan.model_file import build_networks
from latentfill.options import NetworkOptions, Size, TrainOptions, Widths
from latentfill.training.trainer import GanTrainer

TINY = NetworkOptions(size=16, base=4, latent=6)


def trainer(network: NetworkOptions = TINY, precision: torch.dtype = torch.float32, **options: Any) -> GanTrainer:
    generator, discriminator = build_networks(network, 3)
    generator.precision = discriminator.precision = precision
    return GanTrainer(generator, discriminator, TrainOptions(**options))


def real(i: int, n: int = 4, size: int = 16, channels: int = 3) -> torch.Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(i)) * 2 - 1


def plain_step(g: DcganGenerator, d: DcganDiscriminator, og: Any, od: Any, x: torch.Tensor, z: torch.Tensor) -> None:
    """What a tutorial writes: all gradients, torch's own layers, cross-entropy against ones and zeros."""

    def draw() -> torch.Tensor:
        y = g.project(z).view(len(z), -1, 4, 4)
        for norm, layer in zip(g.norms, g.ups, strict=True):
            weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
            y = F.conv_transpose2d(F.relu(norm(y)), weight, bias, stride=2)[..., 1:-2, 1:-2]
        return torch.tanh(y)

    def judge(y: torch.Tensor) -> torch.Tensor:
        for level, layer in enumerate(d.downs):
            y = F.conv2d(F.pad(y, (1, 2, 1, 2)), layer.get_parameter("weight"), layer.get_parameter("bias"), stride=2)
            y = F.leaky_relu(d.norms[level - 1](y) if level else y, 0.2)
        logits: torch.Tensor = d.judge(y.flatten(1)).flatten()
        return logits

    def against(logits: torch.Tensor, target: float) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    od.zero_grad()
    (against(judge(x), 1.0) + against(judge(draw().detach()), 0.0)).backward()  # type: ignore[no-untyped-call]
    od.step()
    for _ in range(2):
        og.zero_grad()
        against(judge(draw()), 1.0).backward()  # type: ignore[no-untyped-call]
        og.step()


def test_a_step_is_that_of_a_plain_loop() -> None:
    ours = trainer(learning_rate=1e-3)
    g, d = deepcopy(ours.generator).double(), deepcopy(ours.discriminator).double()
    ours.generator.double(), ours.discriminator.double()
    ours.generator.precision = ours.discriminator.precision = torch.float64
    ours.averaged.double()
    og, od = (
        torch.optim.Adam([p for p in n.parameters() if p.requires_grad], 1e-3, betas=(0.5, 0.999)) for n in (g, d)
    )
    for i in range(3):
        plain_step(g, d, og, od, real(i).double(), ours.latents(range(ours.images_seen, ours.images_seen + 4)).double())
        ours.step(real(i))
    for mine, plain in ((ours.generator, g), (ours.discriminator, d)):
        for name, tensor in plain.state_dict().items():
            if "running" in name and mine is ours.generator:
                continue  # the plain loop draws once more per step
            if not name.endswith("num_batches_tracked"):
                # The images pass through float32 on their way out of G.
                torch.testing.assert_close(mine.state_dict()[name], tensor, atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_resuming_is_as_if_never_interrupted_to_the_bit(precision: torch.dtype, equal: Any) -> None:
    straight = trainer(precision=precision)
    for i in range(5):
        straight.step(real(i))
    first, second = trainer(precision=precision), trainer(precision=precision)
    for i in range(2):
        first.step(real(i))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for i in range(2, 5):
        second.step(real(i))
    assert equal(straight.state_dict(), second.state_dict())


def test_the_optimisers_state_keeps_its_layout() -> None:
    first, second = trainer(), trainer()
    first.step(real(0))
    second.load_state_dict(deepcopy(first.state_dict()))
    weight = second.generator.ups[0].get_parameter("weight")
    memory = second.g.optimizer.state[weight]["exp_avg"]
    assert weight.is_contiguous(memory_format=torch.channels_last) and memory.stride() == weight.stride()


def test_a_checkpoint_holds_what_it_always_held() -> None:
    names = {"generator", "discriminator", "averaged", "generator_optimizer", "discriminator_optimizer", "images_seen"}
    state = trainer().state_dict()
    assert set(state) == names
    assert {"project.weight", "norms.0.running_mean", "ups.1.bias"} <= set(state["averaged"])
    assert {"downs.0.weight", "norms.0.weight", "judge.bias"} <= set(state["discriminator"])


@pytest.mark.parametrize("widths", ["post", "repository"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_every_size_takes_a_step(size: Size, channels: Literal[1, 3], widths: Widths) -> None:
    tiny = trainer(NetworkOptions(size, channels, widths, base=1, latent=2))
    losses = tiny.step(real(0, 2, size, channels))
    assert all(value.isfinite().all() for value in losses.values()) and tiny.is_finite()


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_any_number_of_images_makes_a_batch(n: int, precision: torch.dtype) -> None:
    tiny = trainer(precision=precision)
    values = tiny.step(real(0, n))
    assert values["real"].shape == values["fake"].shape == (n,)
    assert tiny.images_seen == n and tiny.is_finite()


@pytest.mark.parametrize("generator_steps", [1, 2, 3])
def test_no_gradient_is_computed_that_nobody_uses(generator_steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = dict.fromkeys(("down", "up", "pair"), 0)
    for name, kind in (("down", stride2._Down), ("up", stride2._Up), ("pair", stride2._Pair)):

        def counted(ctx: Any, *arguments: Any, name: str = name, original: Any = kind.forward) -> Any:
            calls[name] += 1
            return original(ctx, *arguments)

        monkeypatch.setattr(kind, "forward", staticmethod(counted))
    tiny = trainer(generator_steps=generator_steps)
    tiny.step(real(0))
    layers, g = 2, generator_steps  # of each network at 16 pixels
    # Weight gradients: D's from real and fake in its own step, G's in each of its own. None of D's in G's.
    assert calls["pair"] == 2 * layers + g * layers
    # D forward on real, fake and in each step of G; G's data gradients, except down to z.
    assert calls["down"] == (2 + g) * layers + g * layers
    # G forward once a step; D's data gradients: not to its own input in its own step, all the way in G's.
    assert calls["up"] == g * layers + 2 * (layers - 1) + g * layers


def test_idle_biases_stay_zero() -> None:
    tiny = trainer(learning_rate=0.1)
    for i in range(3):
        tiny.step(real(i))
    for network in (tiny.generator, tiny.discriminator, tiny.averaged):
        for bias in idle_biases(network):
            assert (bias == 0).all()
    assert (tiny.generator.project.get_parameter("bias") != 0).any()  # its channels have 16 biases each: not idle


def test_losses_are_those_of_the_logits() -> None:
    values = trainer().step(real(0))
    halves = values["discriminator_real"].mean() + values["discriminator_fake"].mean()
    torch.testing.assert_close(values["discriminator"], halves)
    torch.testing.assert_close(values["discriminator_real"], -values["real"].sigmoid().log())
    assert not any(value.requires_grad for value in values.values())


def test_training_moves_the_fakes_towards_the_data() -> None:
    tiny = trainer(NetworkOptions(size=8, base=4, latent=2), learning_rate=2e-3, generator_steps=1)
    z = tiny.fixed_latents(32)
    target = torch.full((8, 3, 8, 8), 0.6)
    before = (tiny.averaged_generator(256)(z) - 0.6).abs().mean()
    for i in range(60):
        tiny.step(target + 0.05 * real(i, 8, 8))
    after = (tiny.averaged_generator(256)(z) - 0.6).abs().mean()
    assert after < 0.5 * before


def test_the_learning_rate_falls_over_the_last_share() -> None:
    tiny = trainer(images_seen=40, decay=0.5, learning_rate=1e-3)
    rates = []
    for i in range(12):
        tiny.step(real(i))
        rates.append(tiny.learning_rate)
    expected = [1e-3] * 6 + [8e-4, 6e-4, 4e-4, 2e-4, 0.0, 0.0]  # also beyond the end
    assert rates == pytest.approx(expected, abs=1e-12)
    second = trainer(images_seen=4)
    second.step(real(0))
    assert second.learning_rate == 2e-4


def test_options_given_on_resuming_count() -> None:
    first, second = trainer(), trainer(beta1=0.7, learning_rate=5e-4)
    first.step(real(0))
    second.load_state_dict(deepcopy(first.state_dict()))
    second.step(real(1))
    group = second.d.optimizer.param_groups[0]
    assert group["betas"] == (0.7, 0.999) and group["lr"] == 5e-4


@pytest.mark.parametrize("begun, half_life", [(400, 10), (0, 0.2)])
def test_the_average_forgets_half_in_its_half_life_which_grows_with_the_run(begun: int, half_life: float) -> None:
    tiny = trainer(average_half_life=10)
    tiny.images_seen = begun
    before = tiny.averaged.project.get_parameter("weight").clone()
    tiny.step(real(0))
    now = tiny.generator.project.get_parameter("weight").detach()
    expected = now.lerp(before, 0.5 ** (4 / half_life))
    torch.testing.assert_close(tiny.averaged.project.get_parameter("weight"), expected)
    assert (before - now).abs().max() > 1e-4


def test_without_a_half_life_the_average_is_the_last_generator() -> None:
    tiny = trainer(average_half_life=0)
    tiny.step(real(0))
    for mine, other in zip(tiny.averaged.parameters(), tiny.generator.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_generators_to_use_are_copies_and_frozen(equal: Any) -> None:
    tiny = trainer()
    tiny.step(real(0))
    before = deepcopy(tiny.state_dict())
    for generator in (tiny.averaged_generator(64), tiny.raw_generator()):
        assert not generator.training and not any(p.requires_grad for p in generator.parameters())
        generator(tiny.fixed_latents(2))
    assert equal(before, tiny.state_dict())
    norm = tiny.averaged_generator(64).norms[0]
    assert not torch.equal(norm.get_buffer("running_var"), tiny.generator.norms[0].get_buffer("running_var"))


def test_a_latent_belongs_to_the_number_of_its_image() -> None:
    tiny, other = trainer(), trainer(seed=1)
    assert torch.equal(tiny.latents(range(8))[5:], tiny.latents(range(5, 8)))
    drawn = [*tiny.latents(range(8)), *tiny.fixed_latents(8), *other.latents(range(8)), *other.fixed_latents(8)]
    assert len({z.numpy().tobytes() for z in drawn}) == len(drawn)


def test_no_global_generator_is_touched() -> None:
    before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()
    tiny = trainer()
    tiny.step(real(0))
    tiny.averaged_generator(16)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state(legacy=False)["state"]["key"] == before[1]).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["generator", "discriminator", "averaged"])
def test_a_number_that_is_none_is_noticed(part: str, value: float) -> None:
    tiny = trainer()
    assert tiny.is_finite()
    getattr(tiny, part).norms[0].running_mean[1] = value
    assert not tiny.is_finite()
