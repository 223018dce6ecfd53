"""An encoder beside G: what it costs, and that each picture's draws are its own."""

import pytest
import torch

from latentfill.gan.encoder import ResidualEncoder
from latentfill.gan.gan import NormalPrior
from latentfill.gan.model_file import build, build_residual_encoder
from latentfill.options import NetworkOptions
from latentfill.training.reconstruction import draw_holes, draw_noise, reconstruct

OPTIONS = NetworkOptions(size=8, networks="residual", latent=4, prior="normal")


class Flat:
    """A generator that draws nothing, and remembers what it was asked for."""

    prior = NormalPrior(2)

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        self.seen.append(z)
        return torch.zeros(1, 1, 2, 2)


def test_a_hand_computed_case(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ResidualEncoder(NormalPrior(2), 8)
    said = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])  # means, and logarithms of variances
    monkeypatch.setattr(encoder, "posterior", lambda images, known: said)
    generator = Flat()
    images = torch.tensor([[[[0.0, 0.0], [0.0, 2.0]]]])
    known = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    redrawn = reconstruct(generator, encoder, images, known, torch.tensor([[1.0, -1.0]]), 1.0)
    assert generator.seen[0].tolist() == [[pytest.approx(2.0), pytest.approx(-2.718281828)]]  # mean + noise * sigma
    assert float(redrawn.image) == 1.0 and float(redrawn.hole) == 2.0
    nats = 0.5 * (1 + 1 - 1 - 0) + 0.5 * (0 + 7.389056 - 1 - 2)
    assert float(redrawn.kl) == pytest.approx(nats, rel=1e-5)
    assert float(redrawn.loss) == pytest.approx(0.25 + 0.25 + nats / 4, rel=1e-5)


def test_its_gradient_is_that_of_half_the_logarithm_of_the_errors() -> None:
    gan, encoder = build(OPTIONS, 1), build_residual_encoder(OPTIONS, seed=1)
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    known, noise = draw_holes(8, range(3, 6), 0), draw_noise(4, range(3), 0)
    weights = list(encoder.parameters())
    loss = reconstruct(gan.generator, encoder, images, known, noise, 0.0).loss
    mean, log_variance = encoder.posterior(images, known)
    error = (gan.generator(mean + noise * (log_variance / 2).exp()) - images).square().mean(1, keepdim=True)
    hole = (error * (1 - known)).sum() / (1 - known).sum()
    expected = torch.autograd.grad(0.25 * error.mean().log() + 0.25 * hole.log(), weights)
    for mine, wanted in zip(torch.autograd.grad(loss, weights), expected, strict=True):
        torch.testing.assert_close(mine, wanted)


def test_draws_belong_to_a_pictures_number_and_the_seed() -> None:
    assert torch.equal(draw_noise(3, range(5), 1)[2:4], draw_noise(3, range(2, 4), 1))
    assert not torch.equal(draw_noise(3, range(5), 1), draw_noise(3, range(5), 2))
    holes = draw_holes(16, range(200), 0)
    assert torch.equal(holes[50:60], draw_holes(16, range(50, 60), 0))
    whole = float((holes.flatten(1).min(1).values == 1).float().mean())
    assert 0.2 < whole < 0.45
