from dataclasses import dataclass, field, replace

import pytest
import torch

from latentfill.gan.fused import fuse
from latentfill.gan.gan import Gan, UniformPrior
from latentfill.gan.model_file import build, build_encoder
from latentfill.options import NetworkOptions


def lived_in(size, channels, prior="uniform"):
    """A GAN with an encoder, whose batch norms have statistics, scales and shifts of their own."""
    options = NetworkOptions(size=size, channels=channels, base=4, latent=10, prior=prior)
    gan = replace(build(options), encoder=build_encoder(options, base=4, hidden=7).eval())
    rng = torch.Generator().manual_seed(0)
    for network in (gan.generator, gan.discriminator, gan.encoder):
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(generator=rng)
                module.running_var.uniform_(0.5, 2, generator=rng)
                module.weight.data.normal_(1, 0.3, generator=rng)
                module.bias.data.normal_(0, 0.3, generator=rng)
            elif getattr(module, "bias", None) is not None:
                module.bias.data.normal_(0, 0.3, generator=rng)
    return gan


@pytest.mark.parametrize("size", [8, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_fused_networks_are_the_same_functions(size, channels):
    gan = lived_in(size, channels)
    quick = fuse(gan)
    z = gan.generator.prior.sample(range(5))
    images = gan.generator(z)
    torch.testing.assert_close(quick.generator(z), images, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(quick.discriminator(images), gan.discriminator(images), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size, prior", [(8, "uniform"), (8, "normal"), (32, "uniform")])
@pytest.mark.parametrize("n", [1, 3])  # one image has a quicker way of its own
def test_a_fused_encoder_is_the_same_function(size, prior, n):
    gan = lived_in(size, 3, prior)
    images = gan.generator(gan.generator.prior.sample(range(n)))
    known = (torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    z = gan.encoder(images, known)
    assert z.std() > 0.05
    torch.testing.assert_close(fuse(gan).encoder(images, known), z, atol=1e-5, rtol=1e-4)
    assert (fuse(gan, torch.bfloat16).encoder(images, known) - z).abs().max() < 0.1


def test_their_gradients_are_the_same_too():
    gan = lived_in(16, 3)
    quick = fuse(gan)
    grads = []
    for g in (gan, quick):
        z = gan.generator.prior.sample(range(3)).requires_grad_()
        grads.append(torch.autograd.grad(g.discriminator(g.generator(z)).sum(), z)[0])
    torch.testing.assert_close(*grads, atol=1e-5, rtol=1e-3)


def test_a_judge_that_is_told_of_its_batch_is_fused_with_what_is_usual():
    gan = build(NetworkOptions(size=16, base=4, minibatch_kernels=6))
    images = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    gan.discriminator.train()(images)
    gan.discriminator.eval().batch.running_nearness.uniform_(1, 2, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(fuse(gan).discriminator(images), gan.discriminator(images), atol=1e-5, rtol=1e-4)


def test_in_bf16_they_stay_close():
    gan = lived_in(16, 3)
    z = gan.generator.prior.sample(range(3))
    assert (fuse(gan, torch.bfloat16).generator(z) - gan.generator(z)).abs().max() < 0.1


def test_networks_of_other_kinds_pass_through():
    @dataclass
    class Flat:
        prior: UniformPrior = field(default_factory=lambda: UniformPrior(3))

        def __call__(self, z):
            return z.new_zeros(len(z), 3, 8, 8)

    flat, judge = Flat(), lived_in(8, 3).discriminator.forward
    quick = fuse(Gan(flat, judge, encoder=lambda images, known: images.flatten(1)))
    assert quick.generator is flat and quick.discriminator == judge and quick.encoder is not None
    assert fuse(Gan(flat, judge)).encoder is None
