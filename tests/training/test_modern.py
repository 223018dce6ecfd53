"""The modern recipe: against a plain loop, interrupted, and on pictures that it can learn in a moment."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import softplus

from latentfill.gan.model_file import build_networks, build_residual_encoder
from latentfill.options import GAN_PRESETS, NetworkOptions, TrainOptions
from latentfill.training.reconstruction import reconstruct_batch
from latentfill.training.trainer import GanTrainer

NETWORK = NetworkOptions(size=8, networks="residual", latent=5, prior="normal")
MODERN = replace(
    GAN_PRESETS["modern"][1],
    redraw_first=0,
    reconstruct_last=0,
    completer=False,
    divergence=1.0,
    first_divergence=1.0,
    r1=0.3,
    r2=0.3,
    reconstruct=1.0,
    redrawn_share=0.5,
    batch_size=4,
    images_seen=400,
    penalty_every=2,
    precision="fp32",
)
PLAIN = NetworkOptions(size=8, base=2, latent=5, norm="none", prior="normal")
FOUR = TrainOptions(400, batch_size=4)
CASES = {
    "modern": (NETWORK, MODERN),
    "wasserstein": (NETWORK, replace(FOUR, loss="wasserstein", gradient_penalty=10.0, discriminator_steps=3)),
    "dcgan with penalties": (PLAIN, replace(FOUR, loss="relativistic", r1=0.5, r2=0.5, reconstruct=2.0)),
    "minimax": (PLAIN, replace(FOUR, loss="minimax", r1=1.0)),
}


def trainer(network: NetworkOptions, options: TrainOptions) -> GanTrainer:
    encoder = build_residual_encoder(network, seed=3) if options.trains_encoder else None
    return GanTrainer(*build_networks(network, 3), options, network, encoder)


def real(i: int, n: int) -> torch.Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(i)) * 2 - 1


def test_a_step_is_that_of_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    # In doubles throughout: without a memory of the gradient Adam's step is its sign, and a rounding error may turn it.
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor)
    options = replace(
        MODERN, reconstruct=0.0, redraw_first=0, penalty_every=1, annealed=False, r1=0.6, r2=0.4, learning_rate=1e-3
    )
    ours = trainer(NETWORK, options)
    for network in (ours.generator.double(), ours.discriminator.double(), ours.averaged.double()):
        network.precision = torch.float64
    g, d = deepcopy(ours.generator), deepcopy(ours.discriminator)
    og, od = (torch.optim.Adam(n.parameters(), 1e-3, betas=(0.0, 0.99)) for n in (g, d))
    for i in range(3):
        x, z = real(i, 4).double(), ours.latents(range(ours.images_seen, ours.images_seen + 4)).double()
        ours.step(x)
        fake = g(z).detach().requires_grad_()
        x.requires_grad_()
        on_real, on_fake = d(x), d(fake)
        loss = softplus(on_fake - on_real).mean()
        for logits, images, gamma in ((on_real, x, 0.6), (on_fake, fake, 0.4)):
            (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
            loss = loss + gamma / 2 * slope.square().sum((1, 2, 3)).mean()
        od.zero_grad()
        loss.backward()
        od.step()
        og.zero_grad()
        softplus(d(x) - d(g(z))).mean().backward()
        og.step()
    for mine, plain in ((ours.generator, g), (ours.discriminator, d)):
        for name, tensor in plain.state_dict().items():
            torch.testing.assert_close(mine.state_dict()[name], tensor, atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("name", CASES)
def test_resumed_it_is_as_if_never_interrupted(name: str, equal: Callable[[Any, Any], bool]) -> None:
    straight, first, second = (trainer(*CASES[name]) for _ in range(3))
    count = straight.real_images
    for i in range(5):
        straight.step(real(i, count))
    for i in range(2):
        first.step(real(i, count))
    second.load_state_dict(deepcopy(first.state_dict()))
    for i in range(2, 5):
        second.step(real(i, count))
    assert equal(straight.state_dict(), second.state_dict())
    assert straight.images_seen == 5 * count and straight.is_finite()


def test_resumed_in_any_phase_it_is_as_if_never_interrupted(equal: Callable[[Any, Any], bool]) -> None:
    options = replace(MODERN, images_seen=48, redraw_first=12, reconstruct_last=12)
    straight, resumed = trainer(NETWORK, options), trainer(NETWORK, options)
    for i in range(12):
        straight.step(real(i, 4))
        resumed.step(real(i, 4))
        state = deepcopy(resumed.state_dict())
        resumed = trainer(NETWORK, options)
        resumed.load_state_dict(state)
    assert equal(straight.state_dict(), resumed.state_dict())


@pytest.mark.parametrize("name", CASES)
def test_every_network_learns(name: str) -> None:
    ours = trainer(*CASES[name])
    before = deepcopy(ours.state_dict())
    for i in range(3):  # a block of residual networks begins as nothing, so what lies before it waits for a step
        values = ours.step(real(i, ours.real_images))
    after = ours.state_dict()
    for part in ("generator", "discriminator", *(["encoder"] if ours.e else [])):
        moved = [name for name, tensor in after[part].items() if not torch.equal(tensor, before[part][name])]
        assert len(moved) >= len(after[part]) - 2, part  # what is added to every logit is lost in differences
    assert all(bool(value.isfinite().all()) for value in values.values())


def test_penalties_that_come_rarely_are_as_much_harder() -> None:
    options = replace(MODERN, reconstruct=0.0, penalty_every=3, annealed=False)
    ours = trainer(NETWORK, options)
    told = [set(ours.step(real(i, 4))) for i in range(6)]
    assert ["slope_real" in names for names in told] == [True, False, False, True, False, False]


def test_each_update_of_d_has_pictures_and_latents_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = trainer(*CASES["wasserstein"])
    seen: list[torch.Tensor] = []
    judge = ours._update_discriminator

    def watch(d: Any, real: torch.Tensor, fake: torch.Tensor, numbers: range) -> dict[str, torch.Tensor]:
        seen.append(real)
        return judge(d, real, fake, numbers)

    monkeypatch.setattr(ours, "_update_discriminator", watch)
    batch = real(0, 12)
    ours.step(batch)
    assert torch.equal(torch.cat(seen), batch) and ours.images_seen == 12


def test_g_redraws_alone_before_the_game_and_at_most_for_a_quarter_of_the_training() -> None:
    ours = trainer(NETWORK, replace(MODERN, images_seen=48, redraw_first=10**6))
    d = deepcopy(ours.discriminator.state_dict())
    told = [set(ours.step(real(i, 4))) for i in range(5)]
    assert ["discriminator" in names for names in told] == [False, False, False, True, True]
    assert all("image" in names for names in told)
    ours = trainer(NETWORK, replace(MODERN, images_seen=48, redraw_first=10**6))
    for i in range(3):
        ours.summary(ours.step(real(i, 4)))
    assert all(torch.equal(tensor, d[name]) for name, tensor in ours.discriminator.state_dict().items())


def test_the_encoder_rests_while_the_game_is_about_samples_and_comes_back_at_the_end() -> None:
    ours = trainer(NETWORK, replace(MODERN, images_seen=48, redraw_first=12, reconstruct_last=12))
    assert ours.e
    redrawn, judged = {"image", "hole", "divergence"}, {"discriminator", "generator"}
    for i in range(3):
        assert set(ours.step(real(i, 4))) == redrawn
    first = deepcopy(ours.e.network.state_dict())
    for i in range(3, 9):
        told = set(ours.step(real(i, 4)))
        assert judged <= told and not redrawn & told
        assert ours.images_seen == 36 or ours.models({})[""].encoder is None  # it has fallen behind
    assert all(torch.equal(tensor, first[name]) for name, tensor in ours.e.network.state_dict().items())
    for i in range(9, 12):
        assert judged | redrawn <= set(ours.step(real(i, 4)))
    assert not all(torch.equal(tensor, first[name]) for name, tensor in ours.e.network.state_dict().items())
    assert ours.models({})[""].encoder is ours.e.averaged and ours.models({})[""].about["phase"] == "both"


def test_latents_are_held_to_their_prior_by_another_weight_before_the_game() -> None:
    told = []
    for first, later in ((0.0, 50.0), (50.0, 0.0)):
        ours = trainer(
            NETWORK, replace(MODERN, images_seen=48, redraw_first=12, first_divergence=first, divergence=later)
        )
        told.append([float(ours.step(real(0, 4))["divergence"]) for _ in range(5)])
    assert told[0][2] > told[1][2]  # held loosely, then tightly: the other way round
    assert told[0][4] < told[0][2] and told[1][4] > told[1][2]


def test_d_judges_redrawn_pictures_each_beside_its_original(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = trainer(NETWORK, replace(MODERN, redrawn_share=0.5))
    seen: list[torch.Tensor] = []
    judge = ours._update_discriminator

    def watch(d: Any, real: torch.Tensor, fake: torch.Tensor, numbers: range) -> dict[str, torch.Tensor]:
        seen.append(fake)
        return judge(d, real, fake, numbers)

    monkeypatch.setattr(ours, "_update_discriminator", watch)
    batch, z = real(0, 4), ours.latents(range(4))
    assert ours.e
    with torch.no_grad():
        samples = ours.generator(z)
        redrawn = reconstruct_batch(ours.generator, ours.e.network, batch, range(4), 0, 1.0).pictures
    ours.step(batch)
    torch.testing.assert_close(seen[0], torch.cat([samples[:2], redrawn[2:]]))


def test_models_hold_the_averaged_encoder_beside_the_averaged_generator() -> None:
    ours = trainer(NETWORK, MODERN)
    for i in range(3):
        ours.step(real(i, 4))
    models = ours.models({})
    assert ours.e and models[""].encoder is ours.e.averaged and models["-raw"].encoder is ours.encoder
    assert models[""].about["averaged"] and not models["-raw"].about["averaged"]
