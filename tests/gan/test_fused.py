from dataclasses import dataclass, field

import pytest
import torch

from latentfill.gan.checkpoint import build
from latentfill.gan.fused import fused
from latentfill.gan.gan import Gan
from latentfill.gan.prior import UniformPrior
from latentfill.options import NetworkOptions


def lived_in(size, channels):
    """A GAN whose batch norms have statistics, scales and shifts of their own."""
    gan = build(NetworkOptions(size=size, channels=channels, base=4, latent=10))
    rng = torch.Generator().manual_seed(0)
    for network in (gan.generator, gan.discriminator):
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
    quick = fused(gan)
    z = gan.generator.prior.sample(range(5))
    images = gan.generator(z)
    torch.testing.assert_close(quick.generator(z), images, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(quick.discriminator(images), gan.discriminator(images), atol=1e-5, rtol=1e-4)


def test_their_gradients_are_the_same_too():
    gan = lived_in(16, 3)
    quick = fused(gan)
    grads = []
    for g in (gan, quick):
        z = gan.generator.prior.sample(range(3)).requires_grad_()
        grads.append(torch.autograd.grad(g.discriminator(g.generator(z)).sum(), z)[0])
    torch.testing.assert_close(*grads, atol=1e-5, rtol=1e-3)


def test_in_bf16_they_stay_close():
    gan = lived_in(16, 3)
    z = gan.generator.prior.sample(range(3))
    assert (fused(gan, torch.bfloat16).generator(z) - gan.generator(z)).abs().max() < 0.1


def test_networks_of_other_kinds_pass_through():
    @dataclass
    class Flat:
        prior: UniformPrior = field(default_factory=lambda: UniformPrior(3))

        def __call__(self, z):
            return z.new_zeros(len(z), 3, 8, 8)

    flat, judge = Flat(), lived_in(8, 3).discriminator.forward
    quick = fused(Gan(flat, judge))
    assert quick.generator is flat and quick.discriminator == judge
