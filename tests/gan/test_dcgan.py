"""The networks against the original's: sizes, parameters, first weights."""

import pytest
import torch
from torch import nn

from latentfill.gan.dcgan import (
    SIZES,
    DcganDiscriminator,
    DcganGenerator,
    discriminator_maps,
    generator_maps,
    idle_biases,
)
from latentfill.gan.gan import UniformPrior
from latentfill.gan.model_file import build_networks
from latentfill.options import NetworkOptions, Size, Widths


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    "size, widths, parameters",
    [(64, "post", 5_135_363), (64, "repository", 11_490_307), (128, "repository", 11_690_499)],
)
def test_the_generator_has_the_originals_parameters(size: int, widths: Widths, parameters: int) -> None:
    with torch.device("meta"):
        assert count(DcganGenerator(UniformPrior(100), size, 3, 64, widths)) == parameters


def test_the_discriminator_has_the_originals_parameters() -> None:
    with torch.device("meta"):
        assert count(DcganDiscriminator(64, 3, 64)) == 4_316_545


def test_maps_are_those_of_the_post_and_of_the_repository() -> None:
    assert generator_maps(64, 64, "post") == [512, 256, 128, 64]
    assert generator_maps(64, 64, "repository") == [512, 512, 256, 128]
    assert generator_maps(8, 64, "repository") == [512]
    assert generator_maps(256, 64, "repository") == [512, 512, 256, 128, 64, 32]
    assert discriminator_maps(64, 64) == [64, 128, 256, 512]
    assert discriminator_maps(256, 64) == [64, 128, 256, 512, 512, 512]


@pytest.mark.parametrize("widths", ["post", "repository"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_every_size_makes_images_and_one_logit_for_each(size: Size, channels: int, widths: Widths) -> None:
    generator, discriminator = build_networks(NetworkOptions(size, 1 if channels == 1 else 3, widths, base=1, latent=3))
    images = generator(generator.prior.sample([1, 2]))
    assert images.shape == (2, channels, size, size) and images.dtype == torch.float32
    assert discriminator(images).shape == (2,)
    assert discriminator.features(images).shape == (2, discriminator_maps(size, 1)[-1] * 16)


@pytest.mark.parametrize("size, channels, said", [
    (48, 3, r"one of \(8, 16, 32, 64, 128, 256\), not 48"),
    (4, 3, "not 4"),
    (64, 2, "1 or 3 channels, not 2"),
])  # fmt: skip
def test_other_shapes_are_refused(size: int, channels: int, said: str) -> None:
    for make in (lambda: DcganGenerator(UniformPrior(3), size, channels), lambda: DcganDiscriminator(size, channels)):
        with pytest.raises(ValueError, match=said):
            make()


def test_first_weights_are_the_originals() -> None:
    generator, discriminator = build_networks(NetworkOptions(size=16, base=32), seed=3)
    for network in (generator, discriminator):
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert (module.eps, module.momentum) == (1e-5, 0.1)
                assert (module.weight == 1).all() and (module.bias == 0).all()
                mean, variance = module.get_buffer("running_mean"), module.get_buffer("running_var")
                assert (mean == 0).all() and (variance == 1).all()
            elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                weight, bias = module.weight.detach(), module.get_parameter("bias")
                cut = isinstance(module, nn.Conv2d)
                assert (bias == 0).all()
                # Cut at two sigmas, a normal keeps 0.880 of its deviation.
                assert weight.std().item() == pytest.approx(0.0176 if cut else 0.02, rel=0.05)
                assert abs(weight.mean().item()) < 5 * 0.02 / weight.numel() ** 0.5
                assert (weight.abs().max() <= 0.04) == cut


def test_first_weights_depend_on_the_seed_alone() -> None:
    options = NetworkOptions(size=8, base=2)
    (a, _), (b, _), (c, _) = build_networks(options, 5), build_networks(options, 5), build_networks(options, 6)
    assert torch.equal(a.project.get_parameter("weight"), b.project.get_parameter("weight"))
    assert not torch.equal(a.project.get_parameter("weight"), c.project.get_parameter("weight"))


def test_a_bias_before_batch_norm_changes_nothing() -> None:
    generator, discriminator = build_networks(NetworkOptions(size=16, base=4))
    z = generator.prior.sample(range(4))
    images = generator(z)
    logits = discriminator(images)
    with torch.no_grad():
        for bias in idle_biases(generator, discriminator):
            bias.add_(0.5)
    torch.testing.assert_close(generator(z), images, atol=1e-4, rtol=0)
    torch.testing.assert_close(discriminator(images), logits, atol=1e-4, rtol=0)
    assert [len(idle_biases(network)) for network in (generator, discriminator)] == [1, 1]


def test_bf16_changes_images_by_less_than_one_sees() -> None:
    generator, discriminator = build_networks(NetworkOptions(size=32, base=8))
    z = generator.prior.sample(range(16))
    images, logits = generator(z), discriminator(generator(z))
    generator.precision = discriminator.precision = torch.bfloat16
    assert (generator(z) - images).abs().max() < 0.02
    torch.testing.assert_close(discriminator(images), logits, atol=0.02, rtol=0.02)
    assert {p.dtype for p in generator.parameters()} == {torch.float32}


def test_in_use_an_image_does_not_depend_on_its_neighbours() -> None:
    generator, discriminator = build_networks(NetworkOptions(size=16, base=4))
    generator.eval(), discriminator.eval()
    z = generator.prior.sample(range(5))
    images = generator(z)
    for i in range(5):
        torch.testing.assert_close(generator(z[i : i + 1])[0], images[i], atol=1e-6, rtol=0)
        torch.testing.assert_close(discriminator(images[i : i + 1])[0], discriminator(images)[i], atol=1e-6, rtol=0)
