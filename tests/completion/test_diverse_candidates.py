from dataclasses import dataclass, field

import pytest
import torch

from latentfill.completion.complete import complete
from latentfill.completion.diverse_candidates import (
    can_vary,
    farthest_points,
    from_normal,
    residual_variances,
    sample_around,
    to_normal,
)
from latentfill.completion.operators import parse_operator, to_incomplete
from latentfill.completion.restarts import initial_latents
from latentfill.gan.gan import Gan, NormalPrior, UniformPrior
from latentfill.images.incomplete import Incomplete
from latentfill.options import CompleteOptions

OPTIONS = CompleteOptions(steps=0, start="encoder", precision="fp32")


@dataclass
class Other:
    """Another prior."""

    dim: int = 6

    def sample(self, seeds):
        return torch.zeros(len(seeds), 6)

    def project(self, z):
        return z


@dataclass
class Halves:
    """G(z) = W z; the upper half of the image shows three numbers of z, the lower half the other three."""

    prior: object = field(default_factory=lambda: UniformPrior(6))

    def __post_init__(self):
        self.weight = torch.randn(3, 8, 8, 6, generator=torch.Generator().manual_seed(0)) / 3
        self.weight[:, :4, :, 3:] = 0
        self.weight[:, 4:, :, :3] = 0

    def __call__(self, z):
        return torch.einsum("chwd,nd->nchw", self.weight, z)


def gan(prior, off=0.0):
    """With an encoder that finds the upper half's numbers, all wrong by a bit, and 0 for the others."""
    generator = Halves(prior)
    inverse = torch.linalg.pinv(generator.weight[:, :4, :, :3].reshape(-1, 3))

    def encoder(images, known):
        return torch.cat([images[:, :, :4].flatten(1) @ inverse.T + off, torch.zeros(len(images), 3)], 1)

    return Gan(generator, lambda images: images.new_zeros(len(images)), encoder=encoder)


def upper_half_known(model, seeds):
    images = model.generator(model.generator.prior.sample(seeds))
    known = torch.ones(len(images), 1, 8, 8)
    known[:, :, 4:] = 0
    return Incomplete(images, known)


@pytest.mark.parametrize("prior", [UniformPrior(6), NormalPrior(6)], ids=lambda p: type(p).__name__)
def test_candidates_agree_where_something_is_known_and_differ_where_nothing_is(prior):
    model = gan(prior, off=0.02)
    asked = upper_half_known(model, [1, 2])
    found = complete(model, asked, CompleteOptions(**{**OPTIONS.__dict__, "candidates": 4})).candidates
    assert torch.equal(found[0].z, model.encoder(*asked.shown)), "the best guess is the first"
    for i, one in enumerate(found):
        assert (one.images - asked.images)[:, :, :4].abs().mean() < 0.06
        for other in found[:i]:
            assert (one.images - other.images)[:, :, 4:].square().mean((1, 2, 3)).sqrt().min() > 0.2
            assert (one.z - other.z).abs()[:, :3].max() < 0.15


def test_attempts_without_candidates_are_guesses_as_before():
    model = gan(UniformPrior(6))
    asked = upper_half_known(model, [1])
    z = initial_latents(model, asked, CompleteOptions(**{**OPTIONS.__dict__, "attempts": 3}))
    assert z[:, 3:].abs().max() < 0.3, "a tenth of the noise for each attempt"


def test_each_image_is_varied_as_if_alone_and_by_the_seed():
    model = gan(UniformPrior(6), off=0.02)
    asked = upper_half_known(model, [1, 2, 3])
    guesses = model.encoder(*asked.shown)
    together = sample_around(model.generator, asked, guesses, [5, 6, 7]).view(3, 3, 6)
    assert torch.equal(together[1], sample_around(model.generator, asked.select([1]), guesses[1:2], [5, 6, 7]))
    assert not torch.equal(together, sample_around(model.generator, asked, guesses, [5, 6, 8]).view(3, 3, 6))
    assert together.abs().max() <= 1


def test_the_farthest_images_are_taken():
    images = torch.tensor([0.0, 0.1, 0.9, 1.0, -0.7]).view(5, 1, 1, 1).expand(5, 1, 2, 2)
    assert farthest_points(images, 3) == [0, 3, 4] and farthest_points(images, 1) == [0]


def test_where_there_is_no_linear_model_attempts_are_guesses():
    asked = upper_half_known(gan(UniformPrior(6)), [1])
    assert can_vary(UniformPrior(6), asked) and not can_vary(Other(), asked)
    blocks = Incomplete(asked.images, asked.known, torch.ones(1, 1, 1, 1))
    assert not can_vary(UniformPrior(6), blocks)


def test_a_uniform_latent_is_a_normal_number_and_back():
    z = UniformPrior(1000).sample([1, 2])
    torch.testing.assert_close(from_normal(UniformPrior(1000), to_normal(UniformPrior(1000), z)), z, atol=1e-5, rtol=0)
    assert abs(to_normal(UniformPrior(1000), z).std().item() - 1) < 0.05
    assert to_normal(UniformPrior(1), torch.tensor([[1.0], [-1.0]])).isfinite().all()  # a search ends on walls
    with pytest.raises(ValueError, match="a uniform or a normal prior, not Other"):
        to_normal(Other(), torch.zeros(1, 6))


def test_residuals_have_a_variance_and_some_count_as_one():
    rng = torch.Generator().manual_seed(0)
    white = 0.1 * torch.randn(2, 3, 32, 32, generator=rng)
    level = 0.1 * torch.randn(2, 1, 16, 16, generator=rng).repeat_interleave(2, 2).repeat_interleave(2, 3)
    known = torch.ones(2, 1, 32, 32)
    known[..., :8] = 0
    for residual, expected in ((white, 1.0), (level.expand(2, 3, 32, 32), 12.0)):  # alone; in blocks of 2x2, 3 channels
        incomplete = Incomplete(residual * (known + 9 * (1 - known)), known)
        variance = residual_variances(incomplete, torch.zeros(2, 3, 32, 32))["contextual"]
        assert (variance / 0.01 / expected - 1).abs().max() < 0.45
    nothing = residual_variances(Incomplete(white, torch.zeros(2, 1, 32, 32)), white)["contextual"]
    torch.testing.assert_close(nothing, torch.full((2,), (2 / 255) ** 2))


def test_residuals_have_at_least_an_observations_noise():
    truth = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    for text in ("noise:25", "grey", "levels:4"):
        sight = parse_operator(text)
        incomplete = to_incomplete(sight, sight.linear(truth), torch.ones(2, 1, 16, 16), 3)
        variances = residual_variances(incomplete, truth)
        assert set(variances) == {"contextual", text}
        assert (variances[text] >= max(sight.sigma, 2 / 255) ** 2 * 0.999).all()
