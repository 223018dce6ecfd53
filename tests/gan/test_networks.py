"""The residual networks: shapes, how they begin, and that they are what their formula says."""

from typing import Any, get_args

import pytest
import torch
from torch.nn import functional as F

from latentfill.gan.fused import fuse
from latentfill.gan.gan import NormalPrior
from latentfill.gan.model_file import build, build_networks, build_residual_encoder
from latentfill.gan.residual import (
    Block,
    ConstantDiscriminator,
    ResidualGenerator,
    double,
    halve,
    initialise,
    stage_maps,
)
from latentfill.options import NetworkOptions, Scale, Size

TINY = NetworkOptions(size=16, networks="residual", latent=6, prior="normal")


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", get_args(Size))
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_number_of_channels_fits_through_all_three(size: Any, channels: Any) -> None:
    options = NetworkOptions(size=size, channels=channels, networks="residual", latent=5, prior="normal")
    generator, discriminator = build_networks(options)
    images = generator(noise(2, 5))
    assert images.shape == (2, channels, size, size) and images.abs().max() <= 1
    assert discriminator(images).shape == (2,)
    assert build_residual_encoder(options)(images, torch.ones(2, 1, size, size)).shape == (2, 5)


@pytest.mark.parametrize("scale", get_args(Scale))
def test_a_signal_keeps_its_size_whatever_the_depth(scale: Scale) -> None:
    generator, discriminator = build_networks(NetworkOptions(size=32, networks="residual", scale=scale, latent=32))
    with torch.no_grad():
        for block in (m for m in generator.modules() if isinstance(m, Block)):  # as if they had learnt something
            block.narrow.get_parameter("weight").normal_(std=0.02, generator=torch.Generator().manual_seed(0))
        drawn = generator(noise(16, 32))
        judged = discriminator(noise(64, 3, 32, 32))
    assert 0.1 < drawn.std() < 0.95 and 0.01 < judged.std() < 10


def test_a_fresh_block_is_the_identity_and_a_learnt_one_its_formula() -> None:
    block = Block(16)
    initialise(block, 0)
    x = noise(2, 16, 5, 5)
    assert torch.equal(block(x), x)
    weights = {name: p for name, p in block.named_parameters()}
    torch.nn.init.normal_(weights["narrow.weight"], generator=torch.Generator().manual_seed(1))
    y = F.leaky_relu(F.conv2d(x, weights["widen.weight"], weights["widen.bias"]), 0.2)
    halves = [
        F.conv2d(y[:, h : h + 16], weights["mix.weight"][h : h + 16], weights["mix.bias"][h : h + 16], padding=1)
        for h in (0, 16)
    ]  # two groups of 16 maps that do not see each other
    y = F.conv2d(F.leaky_relu(torch.cat(halves, 1), 0.2), weights["narrow.weight"], weights["narrow.bias"])
    torch.testing.assert_close(block(x), x + y)


def test_doubling_and_halving_keep_the_mean_and_undo_each_other_on_what_is_flat() -> None:
    x = noise(1, 2, 4, 4)
    torch.testing.assert_close(double(x).mean((2, 3)), x.mean((2, 3)))
    torch.testing.assert_close(halve(x)[0, 0, 0, 0], x[0, 0, :2, :2].mean())
    flat = torch.full((1, 2, 4, 4), 0.7)
    torch.testing.assert_close(halve(double(flat)), flat)


def test_an_image_depends_on_its_own_latent_and_a_logit_on_its_own_image() -> None:
    gan = build(TINY, 1)
    z, images = noise(3, 6), noise(3, 3, 16, 16)
    torch.testing.assert_close(gan.generator(z)[1:2], gan.generator(z[1:2]))
    torch.testing.assert_close(gan.discriminator(images)[1:2], gan.discriminator(images[1:2]))


def test_drawing_in_two_parts_is_drawing() -> None:
    generator: Any = build(TINY, 1).generator
    z = noise(2, 6)
    for stages in range(3):
        torch.testing.assert_close(generator.finish(generator.begin(z, stages), stages), generator(z))


def test_a_class_changes_the_image_and_the_logit() -> None:
    generator, discriminator = build_networks(NetworkOptions(size=8, networks="residual", latent=4, classes=2))
    z, images, labels = noise(2, 4), noise(2, 3, 8, 8), torch.tensor([0, 1])
    other = 1 - labels
    assert not torch.allclose(generator(z, labels), generator(z, other))
    assert not torch.allclose(discriminator(images, labels), discriminator(images, other))
    torch.testing.assert_close(generator(z, labels)[1:], generator(z[1:], labels[1:]))


def test_fused_they_are_the_same_functions_in_the_precision_wanted() -> None:
    gan = build(TINY, 1)
    z, images = noise(2, 6), noise(2, 3, 16, 16).clamp(-1, 1)
    quick = fuse(gan)
    torch.testing.assert_close(quick.generator(z), gan.generator(z))
    coarse: Any = fuse(gan, torch.bfloat16)
    assert next(coarse.generator.parameters()).dtype == torch.bfloat16 and coarse.generator(z).dtype == torch.float32
    torch.testing.assert_close(coarse.generator(z), gan.generator(z), atol=0.05, rtol=0)
    torch.testing.assert_close(coarse.discriminator(images), gan.discriminator(images), atol=0.05, rtol=0.05)
    assert next(gan.generator.parameters()).dtype == torch.float32  # type: ignore[attr-defined]


def test_a_fresh_generator_draws_no_pattern_of_two_pixels() -> None:
    images = build(TINY, 1).generator(noise(2, 6))
    blocks = images.unfold(2, 2, 2).unfold(3, 2, 2)
    torch.testing.assert_close(blocks, blocks[..., :1, :1].expand_as(blocks))
    assert images.std() > 0.05


def test_seeds_differ_and_repeat() -> None:
    a, b, c = (ResidualGenerator(NormalPrior(4), 8) for _ in range(3))
    for network, seed in ((a, 1), (b, 1), (c, 2)):
        initialise(network, seed)
    z = noise(1, 4)
    assert torch.equal(a(z), b(z)) and not torch.equal(a(z), c(z))


def test_larger_images_begin_narrower_so_that_none_costs_many_times_more() -> None:
    assert stage_maps(64, "tiny") == [48, 96, 192, 384]
    assert stage_maps(128, "tiny")[0] < 48 and stage_maps(128, "tiny")[-1] == 384


def test_who_has_no_discriminator_calls_nothing_false() -> None:
    gan = build(NetworkOptions(size=8, networks="residual", critic=False))
    assert isinstance(gan.discriminator, ConstantDiscriminator)
    images = noise(2, 3, 8, 8).requires_grad_()
    logits = gan.discriminator(images)
    assert logits.tolist() == [0, 0]
    (slope,) = torch.autograd.grad(logits.sum(), images)
    assert not slope.any()
