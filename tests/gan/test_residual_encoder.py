"""The encoder of residual blocks."""

import torch

from latentfill.gan.model_file import build, build_residual_encoder
from latentfill.options import NetworkOptions

OPTIONS = NetworkOptions(size=16, networks="residual", latent=6, prior="normal")


def test_what_is_in_the_hole_is_not_seen() -> None:
    encoder = build_residual_encoder(OPTIONS, seed=1)
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    known = torch.ones(2, 1, 16, 16)
    known[:, :, 4:12, 4:12] = 0
    hidden = torch.where(known > 0, images, torch.nan)
    assert torch.equal(encoder(images, known), encoder(hidden, known))
    assert not torch.equal(encoder(images, known), encoder(images, torch.ones_like(known)))


def test_its_guess_is_the_mean_of_its_posterior_and_lies_within_the_prior() -> None:
    encoder = build_residual_encoder(OPTIONS, seed=1)
    images, known = torch.ones(2, 3, 16, 16) * 100, torch.ones(2, 1, 16, 16)
    mean, log_variance = encoder.posterior(images, known)
    assert torch.equal(mean, encoder(images, known))
    torch.testing.assert_close(mean, build(OPTIONS).generator.prior.project(mean))
    assert log_variance.shape == mean.shape and log_variance.max() <= 2 and log_variance.min() >= -10
