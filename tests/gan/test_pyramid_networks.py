"""The pyramid as one generator and one discriminator."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from latentfill.errors import LatentfillError
from latentfill.gan.gan import Discriminator, Gan, Generator, UniformPrior
from latentfill.gan.lapgan import PyramidDiscriminator, PyramidGenerator, gaussian_pyramid, pyramid_sizes
from latentfill.gan.model_file import build, build_networks, load, save
from latentfill.gan.residual import double
from latentfill.options import NetworkOptions, Size

TINY = NetworkOptions(size=32, networks="pyramid", base=4, latent=24)


def drawn(gan_options: NetworkOptions = TINY, seed: int = 1) -> tuple[PyramidGenerator, PyramidDiscriminator]:
    """Players in inference mode whose levels do draw something."""
    generator, discriminator = build_networks(gan_options, seed)
    assert isinstance(generator, PyramidGenerator) and isinstance(discriminator, PyramidDiscriminator)
    rng = torch.Generator().manual_seed(seed)
    levels: Any = generator.levels
    for level in levels:
        level.draw.weight.data.normal_(0, 0.03, generator=rng)
    return generator.eval().requires_grad_(False), discriminator.eval().requires_grad_(False)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_every_size_is_drawn_and_judged(size: Size, channels: Literal[1, 3]) -> None:
    generator, discriminator = drawn(NetworkOptions(size, channels, "pyramid", base=2, latent=16))
    assert isinstance(generator, Generator) and isinstance(discriminator, Discriminator)
    levels: Any = generator.levels
    for level in levels:
        level.draw.weight.mul_(1e5)  # far too much: it is clipped
    images = generator(generator.prior.sample([1, 2, 3]))
    assert images.shape == (3, channels, size, size) and images.dtype == torch.float32
    assert images.abs().max() <= 1 and images.std() > 0
    assert discriminator(images).shape == (3,)


def test_a_level_for_each_size() -> None:
    assert pyramid_sizes(8) == [8] and pyramid_sizes(64) == [8, 16, 32, 64]


def test_every_level_has_its_share_of_the_latent() -> None:
    generator, _ = drawn()
    z = generator.prior.sample([5])
    assert [share.shape[1] for share in generator.split_latents(z)] == [18, 3, 3]
    assert torch.equal(torch.cat(generator.split_latents(z), 1), z)


def test_the_numbers_of_a_level_change_what_it_adds_and_nothing_coarser() -> None:
    generator, _ = drawn()
    z = generator.prior.sample([5])
    other = z.clone()
    other[:, -3:] *= -1
    before, after = (
        generator.draw_over(numbers, gaussian_pyramid(torch.zeros(1, 3, 32, 32))) for numbers in (z, other)
    )
    assert torch.equal(before[0], after[0]) and torch.equal(before[1], after[1])
    assert not torch.equal(before[2], after[2])


def test_an_image_is_the_one_before_doubled_and_a_residual() -> None:
    generator, _ = drawn(NetworkOptions(size=16, networks="pyramid", base=4, latent=24))
    first, noise = generator.split_latents(generator.prior.sample([5]))
    level: Any = generator.levels[0]
    small = generator.smallest(first)
    expected = (double(small) + level.residual(small, noise)).clamp(-1, 1)
    torch.testing.assert_close(generator(torch.cat([first, noise], 1)), expected)


def test_fresh_levels_add_nothing() -> None:
    generator, _ = build_networks(TINY)
    assert isinstance(generator, PyramidGenerator)
    z = generator.prior.sample([0, 1])
    torch.testing.assert_close(generator(z), double(double(generator.smallest(generator.split_latents(z)[0]))))


def test_the_logits_are_the_sum_over_the_sizes() -> None:
    generator, discriminator = drawn()
    images = generator(generator.prior.sample([1, 2]))
    levels: Any = discriminator.levels
    small = images.view(2, 3, 8, 4, 8, 4).mean((3, 5))
    middle = images.view(2, 3, 16, 2, 16, 2).mean((3, 5))
    expected = levels[0](small) + levels[1](middle) + levels[2](images)
    torch.testing.assert_close(discriminator(images), expected)
    torch.testing.assert_close(discriminator.decide(discriminator.features(images)), expected)


def test_the_gradient_reaches_every_number_of_the_latent() -> None:
    generator, discriminator = drawn()
    z = generator.prior.sample([1]).requires_grad_()
    discriminator(generator(z)).sum().backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None and (z.grad != 0).all()


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    generator, _ = drawn()
    z = generator.prior.sample([1, 2, 3])
    torch.testing.assert_close(generator(z)[1:2], generator(z[1:2]))


def test_all_layers_compute_in_the_precision_that_is_set() -> None:
    generator, discriminator = drawn()
    images = generator(generator.prior.sample([1]))
    for network in (generator, discriminator):
        network.precision = torch.bfloat16
        assert network.precision == torch.bfloat16
    rough = generator(generator.prior.sample([1]))
    assert rough.dtype == torch.float32 and not torch.equal(rough, images)
    torch.testing.assert_close(rough, images, atol=0.05, rtol=0)
    assert discriminator(images).dtype == torch.float32


def test_a_pyramid_comes_back_from_its_file_as_it_went(tmp_path: Path) -> None:
    generator, discriminator = drawn()
    save(Gan(generator, discriminator, TINY, {"images_seen": 3}), tmp_path / "model.safetensors")
    back = load(tmp_path / "model.safetensors")
    z = generator.prior.sample([1, 2])
    images = generator(z)
    assert back.network == TINY and back.generator.prior == generator.prior
    assert torch.equal(back.generator(z), images)
    assert torch.equal(back.discriminator(images), discriminator(images))


def test_the_same_seed_builds_the_same_networks() -> None:
    z = UniformPrior(24).sample([0])
    first, second, other = (build(TINY, seed).generator(z) for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_a_latent_too_short_to_be_shared_is_told() -> None:
    with pytest.raises(LatentfillError, match="a latent of 7 numbers"):
        build_networks(NetworkOptions(size=64, networks="pyramid", latent=7))


def test_norms_that_a_pyramid_has_not_are_told() -> None:
    with pytest.raises(LatentfillError, match="neither virtual batch norm"):
        build_networks(NetworkOptions(networks="pyramid", norm="virtual"))
