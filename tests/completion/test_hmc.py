from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from latentfill.completion.hmc import energy, hmc, leapfrog
from latentfill.completion.search import evaluate
from latentfill.gan.gan import UniformPrior
from latentfill.seeds import philox

CENTRE, SPREAD = np.array([0.5, -1.0]), np.array([0.7, 1.5])


@dataclass(frozen=True)
class Boundless:
    """A prior wide enough that nothing is ever clipped."""

    dim: int = 2

    def sample(self, seeds):
        return torch.zeros(len(seeds), self.dim)

    def project(self, z):
        return z


@dataclass
class Mirror:
    """Draws the latent itself."""

    prior: object = field(default_factory=Boundless)

    def __call__(self, z):
        return z[:, :, None, None]


def gaussian(z, images):
    """-log of a normal density, less a constant."""
    centre, spread = (torch.tensor(a, dtype=z.dtype) for a in (CENTRE, SPREAD))
    return {"only": ((images[:, :, 0, 0] - centre) / spread).square().sum(1) / 2}


def chains(count, **settings):
    return hmc(Mirror(), gaussian, torch.zeros(count, 2), seeds=range(count), **settings)


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_the_samples_have_the_moments_of_the_density(beta):
    count = 400
    settings = dict(beta=beta, step_size=0.4 / beta**0.5, leapfrog_steps=8)
    steps = list(chains(count, steps=40, **settings))
    z = np.concatenate([step.z.numpy() for step in steps[10::3]])
    share = np.mean([step.notes["accepted"].mean().item() for step in steps[1:]])
    assert 0.6 < share < 0.999  # some are refused, or this would not test the refusal
    spread = SPREAD / beta**0.5
    assert (np.abs(z.mean(0) - CENTRE) < 4 * spread / count**0.5).all()
    np.testing.assert_allclose(z.std(0), spread, rtol=0.06)
    assert abs(np.corrcoef(z.T)[0, 1]) < 0.06


def test_nearly_all_proposals_of_tiny_steps_are_accepted():
    accepted = [step.notes["accepted"].mean().item() for step in chains(50, steps=20, beta=1.0, step_size=0.01)]
    assert np.mean(accepted) > 0.98


def test_proposals_of_huge_steps_are_refused_and_leave_the_latent_where_it_was():
    steps = list(chains(5, steps=3, beta=1.0, step_size=1e4, leapfrog_steps=3))
    for step in steps[1:]:
        assert step.notes["accepted"].tolist() == [0] * 5
        assert torch.equal(step.z, steps[0].z) and torch.equal(step.images, steps[0].images)
        assert torch.equal(step.loss, steps[0].loss)


def test_a_leapfrog_run_backwards_returns_to_its_start_and_keeps_the_energy():
    generator, z = Mirror(), torch.tensor([[0.3, 0.1], [-1.0, 2.0]], dtype=torch.float64)
    settings = dict(beta=0.8, step_size=0.05, steps=30)
    start, v = evaluate(generator, gaussian, z, differentiate=True), torch.tensor([[1.0, -0.5], [0.2, 0.7]]).double()
    end, v_end = leapfrog(generator, gaussian, start, v, **settings)
    assert (end.z - z).abs().min() > 0.1
    torch.testing.assert_close(energy(end, v_end, 0.8), energy(start, v, 0.8), rtol=1e-2, atol=0)
    back, v_back = leapfrog(generator, gaussian, end, -v_end, **settings)
    torch.testing.assert_close(back.z, z)
    torch.testing.assert_close(v_back, -v)


def test_it_is_the_loop_of_the_repository():
    """Transcribed for one image, with the draws of its stream; narrow enough to be clipped, annealed, refused too."""
    eps, length, beta, anneal, seed, proposals = 0.45, 4, 0.8, 1.1, 3, 40
    generator = Mirror(UniformPrior(2))
    z0 = torch.tensor([[0.2, -0.4]], dtype=torch.float64)
    settings = dict(beta=beta, step_size=eps, leapfrog_steps=length, anneal=anneal)
    found = list(hmc(generator, gaussian, z0, steps=proposals, seeds=[seed], **settings))

    def loss_and_gradient(z):
        return (((z - CENTRE) / SPREAD) ** 2).sum() / 2, (z - CENTRE) / SPREAD**2

    stream, z = philox(seed), z0[0].numpy()
    loss, g = loss_and_gradient(z)
    clipped, refused = 0, 0
    for step in found[1:]:
        z_old, loss_old, g_old = np.copy(z), loss, g
        v = stream.standard_normal(2, np.float32).astype(float)
        v_old = np.copy(v)
        for _ in range(length):
            v -= eps / 2 * beta * g
            z = z + eps * v
            clipped += bool((np.abs(z) > 1).any())
            z = np.clip(z, -1, 1)
            loss, g = loss_and_gradient(z)
            v -= eps / 2 * beta * g
        e_old, e_new = beta * loss_old + (v_old**2).sum() / 2, beta * loss + (v**2).sum() / 2
        accepted = stream.random() < min(1, np.exp(e_old - e_new))
        if not accepted:
            z, loss, g = z_old, loss_old, g_old
            refused += 1
        beta *= anneal
        np.testing.assert_allclose(step.z[0], z, atol=1e-9)
        assert step.notes["accepted"].item() == accepted and step.loss.item() == pytest.approx(loss)
    assert clipped and 0 < refused < proposals


def test_each_image_has_draws_of_its_own():
    together = list(chains(3, steps=5, beta=1.0, step_size=0.3, leapfrog_steps=3))[-1]
    alone = list(
        hmc(
            Mirror(),
            gaussian,
            torch.zeros(1, 2),
            steps=5,
            seeds=[2],
            beta=1.0,
            step_size=0.3,
            leapfrog_steps=3,
        )
    )[-1]
    torch.testing.assert_close(together.z[2:], alone.z)
    assert not torch.equal(together.z[0], together.z[1])


def test_the_start_is_yielded_first():
    first, *others = chains(2, steps=2, leapfrog_steps=2)
    assert first.number == 0 and first.z.abs().sum() == 0 and first.notes["accepted"].tolist() == [1, 1]
    assert [step.number for step in others] == [1, 2]


def test_without_proposals_nothing_is_differentiated():
    (only,) = hmc(
        Mirror(), lambda z, images: {"only": images.detach().sum((1, 2, 3))}, torch.zeros(1, 2), steps=0, seeds=[0]
    )
    assert only.number == 0


def test_every_latent_needs_its_seed():
    with pytest.raises(ValueError, match="each of the 2 latents needs a seed, but 1 came"):
        next(hmc(Mirror(), gaussian, torch.zeros(2, 2), steps=1, seeds=[0]))
