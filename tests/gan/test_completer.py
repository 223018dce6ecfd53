"""A completer begins as the encoder and generator that it is made of, and tells apart what it is shown and what not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from latentfill.errors import ModelError
from latentfill.gan import model_file
from latentfill.gan.completer import ResidualCompleter, build_completer
from latentfill.gan.gan import Gan
from latentfill.gan.model_file import build, build_residual_encoder
from latentfill.options import NetworkOptions
from latentfill.types import Images, Known

OPTIONS = NetworkOptions(size=16, latent=6, prior="normal", networks="residual")


def stir(module: torch.nn.Module, seed: int = 3) -> None:
    rng = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=rng)


@pytest.fixture(scope="module")
def gan() -> Gan:
    made = replace(build(OPTIONS, 1), encoder=build_residual_encoder(OPTIONS, hidden=7, seed=2).eval())
    for part in (made.generator, made.encoder, made.discriminator):
        assert isinstance(part, torch.nn.Module)
        stir(part)
        part.requires_grad_(False)
    return made


def question(count: int = 3) -> tuple[Images, Known]:
    rng = torch.Generator().manual_seed(5)
    known = torch.ones(count, 1, 16, 16)
    known[:, :, 4:12, 3:9] = 0
    return torch.rand(count, 3, 16, 16, generator=rng) * 2 - 1, known


@torch.no_grad()
def test_it_begins_as_the_encoder_the_generator_and_the_discriminator_to_the_bit(gan: Gan) -> None:
    completer, (images, known) = build_completer(gan), question()
    assert gan.encoder is not None
    assert torch.equal(completer(images, known), gan.generator(gan.encoder(images, known)))
    assert torch.equal(completer.judge(images, known), gan.discriminator(images))


@torch.no_grad()
def test_the_maps_and_the_hole_count_once_their_weights_are_not_zero(gan: Gan) -> None:
    completer, (images, known) = build_completer(gan), question()
    before, judged = completer(images, known), completer.judge(images, known)
    for skip in completer.skips:
        without = completer(images, known)
        stir(skip)
        assert not torch.equal(completer(images, known), without)  # each of them
    stir(completer.critic.trunk.look)
    assert not torch.equal(completer(images, known), before)
    assert not torch.equal(completer.judge(images, 1 - known), judged)


@torch.no_grad()
def test_what_is_in_the_hole_is_not_looked_at(gan: Gan) -> None:
    completer, (images, known) = build_completer(gan), question()
    for skip in completer.skips:
        stir(skip)
    other = torch.where(known == 1, images, torch.nan)
    assert torch.equal(completer(images, known), completer(other, known))


@torch.no_grad()
def test_noise_moves_the_latent_by_the_encoders_own_spread(gan: Gan) -> None:
    completer, (images, known) = build_completer(gan), question()
    condition, noise = completer.encode(images, known), torch.full((3, 6), 0.5)
    moved = condition.mean + 0.5 * condition.deviation
    assert torch.equal(completer.latents(condition, noise), completer.prior.project(moved))
    assert torch.equal(completer.latents(condition), completer.prior.project(condition.mean))
    again = completer.draw(completer.latents(condition, noise), condition)
    assert torch.equal(again, completer(images, known, noise))
    twice = condition.select(torch.tensor([0, 0, 1]))
    assert torch.equal(twice.maps[0][1], condition.maps[0][0]) and torch.equal(twice.mean[2], condition.mean[1])


@torch.no_grad()
def test_drawing_in_two_parts_is_drawing(gan: Gan) -> None:
    completer, (images, known) = build_completer(gan), question()
    for skip in completer.skips:
        stir(skip)
    condition = completer.encode(images, known)
    z = completer.latents(condition)
    whole = completer.draw(z, condition)
    for stages in range(3):
        assert torch.equal(completer.finish(completer.begin(z, condition, stages), condition, stages), whole)


def test_a_file_holds_it(gan: Gan, tmp_path: Path) -> None:
    completer = build_completer(gan)
    stir(completer)
    model_file.save(replace(gan, completer=completer), tmp_path / "model.safetensors")
    found = model_file.load(tmp_path / "model.safetensors").completer
    assert isinstance(found, ResidualCompleter)
    images, known = question()
    with torch.no_grad():
        assert torch.equal(found(images, known), completer(images, known))
        assert torch.equal(found.judge(images, known), completer.judge(images, known))
    model_file.save(gan, tmp_path / "without.safetensors")
    assert model_file.load(tmp_path / "without.safetensors").completer is None


def test_other_networks_are_refused() -> None:
    for options in (NetworkOptions(size=16, latent=6), replace(OPTIONS, classes=2)):
        with pytest.raises(ModelError, match="residual"):
            build_completer(build(options))


def test_without_an_encoder_it_has_a_fresh_one(gan: Gan) -> None:
    made = build_completer(replace(gan, encoder=None), seed=4)
    again = build_completer(replace(gan, encoder=None), seed=4)
    images, known = question()
    with torch.no_grad():
        assert torch.equal(made(images, known), again(images, known))
        assert made(images, known).isfinite().all()
