from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import truncnorm

from latentfill.completion.hmc import bound, free, sample
from latentfill.completion.objective import Likelihood, likelihood_of
from latentfill.completion.operators import parse, question
from latentfill.completion.samples import Posterior, diagnose, effective_samples, gather, split_rhat
from latentfill.gan.gan import NormalPrior, UniformPrior
from latentfill.images.incomplete import Incomplete


@dataclass
class Linear:
    """Draws a sum of fixed images of 4x4 pixels."""

    prior: object
    matrix: torch.Tensor = field(init=False)

    def __post_init__(self):
        rng = torch.Generator().manual_seed(0)
        self.matrix = 0.3 * torch.randn(16, self.prior.dim, generator=rng)

    def __call__(self, z):
        return (z @ self.matrix.T).view(-1, 1, 4, 4)


@dataclass
class Mirror:
    """Draws the latent itself, in one pixel."""

    prior: object = field(default_factory=lambda: UniformPrior(1))

    def __call__(self, z):
        return z[:, :, None, None]


@dataclass
class Shifted:
    """Another prior."""

    dim: int = 5

    def sample(self, seeds):
        return torch.ones(len(seeds), 5)

    def project(self, z):
        return z


def upper_half(n):
    known = torch.ones(n, 1, 4, 4)
    known[:, :, 2:] = 0
    return known


def likelihood(incomplete, sigma, temperature=1.0):
    one = torch.ones(len(incomplete))
    return Likelihood(incomplete, {"contextual": sigma * one}, {"contextual": temperature * one})


def drawn(generator, energy, n, *, chains=16, warm_up=60, draws=60, leapfrog_steps=3, **settings):
    z = generator.prior.sample(range(1000, 1000 + n * chains))
    steps = sample(
        generator, energy, z, chains=chains, warm_up=warm_up, draws=draws, seeds=range(n * chains), **settings
    )
    return list(steps)


def test_a_linear_generators_posterior_is_the_exact_one():
    generator, sigma, chains = Linear(NormalPrior(6)), 0.2, 32
    truth = generator(generator.prior.sample([1, 2]))
    incomplete = Incomplete(
        truth + sigma * torch.randn(truth.shape, generator=torch.Generator().manual_seed(5)), upper_half(2)
    )
    steps = drawn(generator, likelihood(incomplete.repeat(chains), sigma), 2, chains=chains)
    found = gather(steps, chains=chains, warm_up=60)
    rows = generator.matrix[:8]
    covariance = torch.linalg.inv(rows.T @ rows / sigma**2 + torch.eye(6))
    mean = incomplete.images.flatten(1)[:, :8] @ rows @ covariance / sigma**2 @ generator.matrix.T
    deviation = (generator.matrix @ covariance @ generator.matrix.T).diagonal().sqrt()
    assert ((found.mean.flatten(1) - mean).abs() / deviation).max() < 0.15
    assert (found.deviation.flatten(1) / deviation - 1).abs().max() < 0.12
    assert found.rhat.max() < 1.05 and found.effective.min() > 400
    assert ((found.accepted > 0.6) & (found.accepted < 0.99)).all()
    z = generator.prior.sample(range(64))
    hot = likelihood(incomplete.repeat(chains), sigma / 3, temperature=9.0)  # the same thing
    energies = (one(z, generator(z))["contextual"] for one in (likelihood(incomplete.repeat(chains), sigma), hot))
    torch.testing.assert_close(*energies)


@pytest.mark.parametrize("seen", [0.3, 0.95, 1.4])
def test_against_a_wall_the_posterior_is_the_truncated_normal(seen):
    sigma, chains = 0.4, 64
    incomplete = Incomplete(torch.full((1, 1, 1, 1), seen), torch.ones(1, 1, 1, 1))
    steps = drawn(Mirror(), likelihood(incomplete.repeat(chains), sigma), 1, chains=chains)
    z = np.concatenate([step.z.flatten().numpy() for step in steps[61:]])
    exact = truncnorm((-1 - seen) / sigma, (1 - seen) / sigma, seen, sigma)
    np.testing.assert_allclose(
        np.quantile(z, [0.05, 0.25, 0.5, 0.75, 0.95]), exact.ppf([0.05, 0.25, 0.5, 0.75, 0.95]), atol=0.03
    )
    assert abs(z.mean() - exact.mean()) < 0.015 and np.abs(z).max() <= 1


@pytest.mark.parametrize("prior", [UniformPrior(2), NormalPrior(2)], ids=str)
def test_knowing_nothing_draws_from_the_prior(prior):
    generator = Linear(prior)
    nothing = Incomplete(torch.zeros(64, 1, 4, 4), torch.zeros(64, 1, 4, 4))
    steps = drawn(generator, likelihood(nothing, 0.1), 2, chains=32)
    z = torch.stack([step.z for step in steps[61:]])
    expected = 3**-0.5 if isinstance(prior, UniformPrior) else 1
    assert z.mean((0, 1)).abs().max() < 0.06 * expected and (z.std((0, 1)) / expected - 1).abs().max() < 0.06


def test_a_band_holds_as_many_numbers_as_it_says_where_the_model_is_right():
    """Of numbers never seen, over pictures drawn from the prior: what calibration means."""
    generator, sigma, n, chains = Linear(UniformPrior(5)), 0.15, 40, 2
    truth = generator(generator.prior.sample(range(n)))
    pictures = truth + sigma * torch.randn(truth.shape, generator=torch.Generator().manual_seed(3))
    energy = likelihood(Incomplete(pictures, upper_half(n)).repeat(chains), sigma)
    found = gather(drawn(generator, energy, n, chains=chains, draws=100), chains=chains, warm_up=60)
    for share in (0.5, 0.9):
        low, high = found.band(share, torch.full((n,), sigma))
        inside = ((low <= pictures) & (pictures <= high))[:, :, 2:].float().mean()
        assert abs(inside - share) < 0.04
    low, high = found.band(0.9)  # of G(z) alone, without the noise
    assert abs(((low <= truth) & (truth <= high))[:, :, 2:].float().mean() - 0.9) < 0.05


def test_each_image_is_sampled_as_if_alone():
    """In double precision: a trajectory magnifies rounding errors a hundred thousand times, and those of a product
    depend on how many rows it has.
    """
    generator, chains = Linear(UniformPrior(5)), 2
    generator.matrix = generator.matrix.double()
    z = generator.prior.sample(range(6)).double()
    incomplete = Incomplete(generator(generator.prior.sample(range(3)).double()), upper_half(3).double())
    settings = dict(chains=chains, warm_up=20, draws=5)
    together = list(sample(generator, likelihood(incomplete.repeat(2), 0.2), z, seeds=range(6), **settings))
    alone = list(sample(generator, likelihood(incomplete.select([1]).repeat(2), 0.2), z[2:4], seeds=[2, 3], **settings))
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.z[2:4], b.z, atol=1e-6, rtol=0)
        torch.testing.assert_close(a.notes["step_size"][2:4], b.notes["step_size"], rtol=1e-6, atol=0)
    assert not torch.equal(together[-1].z[2], together[-1].z[3])  # each chain has draws of its own


def test_the_step_size_meets_the_target_and_is_learnt_in_the_warm_up_alone():
    generator, chains = Linear(NormalPrior(6)), 16
    incomplete = Incomplete(generator(generator.prior.sample([1])), upper_half(1))
    for target, least, most in ((0.5, 0.35, 0.85), (0.95, 0.88, 1.0)):
        steps = drawn(generator, likelihood(incomplete.repeat(chains), 0.05), 1, chains=16, target=target)
        sizes = torch.stack([step.notes["step_size"] for step in steps])
        assert least < torch.stack([s.notes["chance"] for s in steps[61:]]).mean() < most
        assert (sizes[62:] == sizes[62]).all() and len(sizes[:60].unique()) > 40


def test_numbers_of_very_different_spread_are_sampled_alike():
    """What the mass is for: without it the step fits the narrowest."""
    generator, chains = Linear(NormalPrior(3)), 16
    generator.matrix = torch.eye(3).repeat(6, 1)[:16] * torch.tensor([30.0, 1.0, 0.0])
    incomplete = Incomplete(torch.zeros(chains, 1, 4, 4), torch.ones(chains, 1, 4, 4))
    found = gather(drawn(generator, likelihood(incomplete, 1.0), 1), chains=chains, warm_up=60)
    assert found.rhat.item() < 1.1 and found.effective.item() > 200


def test_a_uniform_latent_is_a_normal_number_and_back():
    z = UniformPrior(1000).sample([1, 2])
    torch.testing.assert_close(bound(UniformPrior(1000), free(UniformPrior(1000), z)), z, atol=1e-5, rtol=0)
    assert abs(free(UniformPrior(1000), z).std().item() - 1) < 0.05
    assert free(UniformPrior(1), torch.tensor([[1.0], [-1.0]])).isfinite().all()  # a search ends on walls


def test_independent_draws_count_each_and_their_chains_agree():
    draws = np.random.Generator(np.random.Philox(1)).standard_normal((4, 500, 3))
    assert split_rhat(draws).max() < 1.01
    np.testing.assert_allclose(effective_samples(draws), 2000, rtol=0.2)


def test_draws_that_hang_together_count_as_fewer():
    rng, rho, n = np.random.Generator(np.random.Philox(2)), 0.9, 4000
    noise = rng.standard_normal((4, n, 2))
    draws = np.empty_like(noise)
    draws[:, 0] = noise[:, 0]
    for t in range(1, n):
        draws[:, t] = rho * draws[:, t - 1] + (1 - rho**2) ** 0.5 * noise[:, t]
    np.testing.assert_allclose(effective_samples(draws), 4 * n * (1 - rho) / (1 + rho), rtol=0.2)


def test_chains_that_disagree_or_drift_or_stand_still_are_noticed():
    draws = np.random.Generator(np.random.Philox(3)).standard_normal((4, 200, 1))
    apart, drifting = draws + np.arange(4)[:, None, None], draws + np.linspace(0, 4, 200)[:, None]
    assert diagnose(apart)[0] > 1.3 and diagnose(drifting)[0] > 1.3 and diagnose(apart)[1] < 20
    stuck = np.broadcast_to(np.arange(4.0)[:, None, None], (4, 200, 1))
    assert diagnose(stuck)[0] == np.inf


def test_the_last_word_tells_means_spreads_and_samples_of_each_image():
    generator, chains = Linear(UniformPrior(5)), 3
    incomplete = Incomplete(generator(generator.prior.sample([1, 2])), upper_half(2))
    steps = drawn(generator, likelihood(incomplete.repeat(chains), 0.2), 2, chains=chains, warm_up=10, draws=40)
    assert [b.number - a.number for a, b in pairwise(steps)] == [1] * 50 and steps[0].number == 0
    found = gather(steps, chains=chains, warm_up=10)
    assert isinstance(found, Posterior) and found.samples.shape == (2, 64, 5)
    images = torch.stack([step.images for step in steps[11:]]).view(40, 2, chains, 1, 4, 4)
    torch.testing.assert_close(found.mean, images.mean((0, 2)), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        found.deviation, images.transpose(0, 1).flatten(1, 2).std(1, correction=0), atol=1e-4, rtol=0
    )
    every = torch.stack([step.z for step in steps[11:]]).view(40, 2, chains, 5)
    assert all((every[:, i] == z).all(-1).any() for i in range(2) for z in found.samples[i])
    with pytest.raises(ValueError, match="nothing was drawn after the warm-up of 10"):
        gather(steps[:11], chains=chains, warm_up=10)


def test_the_likelihood_finds_how_large_residuals_are_and_how_many_count_as_one():
    rng = torch.Generator().manual_seed(0)
    white = 0.1 * torch.randn(2, 3, 32, 32, generator=rng)
    level = 0.1 * torch.randn(2, 1, 16, 16, generator=rng).repeat_interleave(2, 2).repeat_interleave(2, 3)
    known = torch.ones(2, 1, 32, 32)
    known[..., :8] = 0
    for residual, expected in ((white, 1.0), (level.expand(2, 3, 32, 32), 12.0)):  # alone; in blocks of 2x2, 3 channels
        told = likelihood_of(Incomplete(residual * (known + 9 * (1 - known)), known), torch.zeros(2, 3, 32, 32))
        torch.testing.assert_close(told.sigma["contextual"], torch.full((2,), 0.1), rtol=0.1, atol=0)
        assert (told.temperature["contextual"] / expected - 1).abs().max() < 0.35
    nothing = likelihood_of(Incomplete(white, torch.zeros(2, 1, 32, 32)), white)
    assert nothing(torch.zeros(2, 1), white)["contextual"].tolist() == [0, 0]


def test_the_chains_of_an_image_sample_the_same_density():
    rng = torch.Generator().manual_seed(0)
    known = torch.ones(2, 3, 8, 8)[:, :1]
    drawn_images = torch.tensor([0.1, 0.2, 0.4, 0.3]).view(4, 1, 1, 1) * torch.randn(4, 3, 8, 8, generator=rng)
    told = likelihood_of(Incomplete(torch.zeros(2, 3, 8, 8), known).repeat(2), drawn_images, chains=2)
    alone = likelihood_of(Incomplete(torch.zeros(2, 3, 8, 8), known), drawn_images[[0, 3]])
    for a, b in ((told.sigma, alone.sigma), (told.temperature, alone.temperature)):
        torch.testing.assert_close(a["contextual"], b["contextual"].repeat_interleave(2))


def test_the_likelihood_knows_observations_and_their_noise():
    rng = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 3, 16, 16, generator=rng) - 0.5
    for text in ("noise:25", "grey", "levels:4"):
        sight = parse(text)
        incomplete = question(sight, sight.view(truth), torch.ones(2, 1, 16, 16), 3)
        told = likelihood_of(incomplete, truth)
        assert (told.sigma[text] >= max(sight.sigma, 2 / 255) * 0.999).all()
        terms = told(torch.zeros(2, 1), truth.flip(3))
        assert set(terms) == {"contextual", text} and (terms[text] > 0).all() and terms["contextual"].sum() == 0


def test_what_does_not_fit_is_told():
    generator = Linear(UniformPrior(5))
    energy = likelihood(Incomplete(torch.zeros(3, 1, 4, 4), upper_half(3)), 0.2)
    with pytest.raises(ValueError, match="3 latents in chains of 2 need as many seeds, but 3 came"):
        next(sample(generator, energy, torch.zeros(3, 5), chains=2, warm_up=1, draws=1, seeds=range(3)))
    with pytest.raises(ValueError, match="a uniform or a normal prior, not Shifted"):
        free(Shifted(), torch.zeros(1, 5))


def test_a_loss_that_breaks_down_is_never_accepted():
    def broken(z, images):
        return {"only": torch.where(z.sum(1) > 0.5, torch.nan, images.sum((1, 2, 3)))}

    generator = Linear(UniformPrior(5))
    steps = list(sample(generator, broken, -0.5 * torch.ones(4, 5), chains=4, warm_up=20, draws=20, seeds=range(4)))
    assert all(step.z.isfinite().all() and (step.z.sum(1) <= 0.5).all() for step in steps)
    assert (
        steps[-1].notes["step_size"].isfinite().all() and sum(step.notes["accepted"].sum() for step in steps[1:]) > 20
    )
