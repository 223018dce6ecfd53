"""p_z: moments, independence of the batch, projection."""

import numpy as np
import pytest
import torch

from latentfill.gan.gan import PRIORS, NormalPrior, Prior, UniformPrior

BOTH = pytest.mark.parametrize("prior", [UniformPrior(100), NormalPrior(100)], ids=["uniform", "normal"])


@BOTH
def test_a_latent_depends_on_its_own_seed_alone(prior: Prior) -> None:
    together = prior.sample([3, 2**127, 5])
    for i, seed in enumerate([3, 2**127, 5]):
        assert torch.equal(prior.sample([seed])[0], together[i])
    assert together.shape == (3, 100) and together.dtype == torch.float32
    assert len({row.numpy().tobytes() for row in together}) == 3


@BOTH
def test_no_latents_are_an_empty_batch(prior: Prior) -> None:
    assert prior.sample([]).shape == (0, 100)


@BOTH
def test_sampling_touches_no_global_generator(prior: Prior) -> None:
    before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()
    prior.sample([1])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state(legacy=False)["state"]["key"] == before[1]).all()


def test_moments_are_those_of_the_distributions() -> None:
    z = UniformPrior(1000).sample(range(100))
    assert z.min() >= -1 and z.max() < 1
    assert abs(z.mean().item()) < 0.01 and abs(z.var().item() - 1 / 3) < 0.005
    z = NormalPrior(1000).sample(range(100))
    assert abs(z.mean().item()) < 0.02 and abs(z.var().item() - 1) < 0.02


def test_projection_goes_to_the_nearest_latent_and_stays_there() -> None:
    z = torch.tensor([[0.5, -3.0], [2.0, 0.0]])
    assert UniformPrior(2).project(z).tolist() == [[0.5, -1.0], [1.0, 0.0]]
    z = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    shrunk = NormalPrior(2).project(z)
    torch.testing.assert_close(shrunk.norm(dim=1), torch.tensor([2**0.5, 0.5, 0.0]))
    torch.testing.assert_close(NormalPrior(2).project(shrunk), shrunk)


def test_the_names_are_those_of_the_options() -> None:
    assert set(PRIORS) == {"uniform", "normal"}
