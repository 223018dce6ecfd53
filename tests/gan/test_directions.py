import math
from dataclasses import dataclass

import pytest
import torch

from latentfill.gan import directions
from latentfill.gan.directions import Directions, deviation, find_directions
from latentfill.gan.gan import NormalPrior, UniformPrior
from latentfill.gan.model_file import build
from latentfill.options import NetworkOptions


def three_steps(lift=0.0):
    """A DCGAN whose first three maps are 3 z0, 2 z1 and z2, after batch norm."""
    generator = build(NetworkOptions(size=8, base=4, latent=3)).generator
    generator.project.weight.data.zero_()
    for row, (component, factor) in enumerate([(0, 3.0), (1, 2.0), (2, -1.0)]):
        generator.project.weight.data[16 * row, component] = factor
    generator.norms[0].eps = 0.0
    generator.norms[0].weight.data.fill_(1)
    generator.norms[0].bias.data.fill_(lift)
    return generator


@dataclass
class Stripes:
    """G(z) without layers: red is 2 z1, green z0."""

    prior: UniformPrior

    def __call__(self, z):
        return torch.stack([2 * z[:, 1], z[:, 0], 0 * z[:, 0]], 1)[:, :, None, None].expand(-1, 3, 4, 4)


def test_sefa_gives_the_singular_vectors_of_the_first_layer():
    found = find_directions(three_steps(), "sefa", 3)
    torch.testing.assert_close(found.vectors, torch.eye(3))  # their signs too, though the last weight is negative
    torch.testing.assert_close(found.strengths, torch.tensor([3.0, 2, 1]))


def test_sefa_counts_what_the_batch_norm_makes_of_a_map():
    generator = three_steps()
    generator.norms[0].weight.data[2] = 10
    found = find_directions(generator, "sefa", 3)
    torch.testing.assert_close(found.vectors, torch.eye(3)[[2, 0, 1]])
    torch.testing.assert_close(found.strengths, torch.tensor([10.0, 3, 2]))


def test_sefa_of_a_residual_network_is_that_of_its_weight():
    generator = build(NetworkOptions(networks="residual", size=8, latent=6)).generator
    found = find_directions(generator, "sefa", 6)
    lengths = torch.linalg.svdvals(generator.project.weight.detach())
    torch.testing.assert_close(found.strengths, lengths)
    made = (found.vectors @ generator.project.weight.detach().T).norm(dim=1)
    torch.testing.assert_close(made, lengths)


def test_pca_finds_the_components_that_move_the_activations_most():
    found = find_directions(three_steps(lift=9.0), "pca", 3)  # so high that no ReLU bends
    torch.testing.assert_close(found.vectors, torch.eye(3), atol=0.1, rtol=0)
    torch.testing.assert_close(found.strengths, torch.tensor([9.0, 4, 1]) / 14, atol=0.03, rtol=0)


def test_pca_looks_behind_the_activation():
    generator = three_steps(lift=9.0)
    generator.norms[0].bias.data[0] = -9  # 3 z0 never gets through the ReLU
    found = find_directions(generator, "pca", 2)
    torch.testing.assert_close(found.vectors, torch.eye(3)[[1, 2]], atol=0.1, rtol=0)


def test_pca_of_an_unknown_generator_is_that_of_its_images():
    found = find_directions(Stripes(UniformPrior(4)), "pca", 2)
    torch.testing.assert_close(found.vectors, torch.eye(4)[[1, 0]], atol=0.1, rtol=0)
    torch.testing.assert_close(found.strengths, torch.tensor([0.8, 0.2]), atol=0.03, rtol=0)


@pytest.mark.parametrize("networks", ["dcgan", "residual"])
@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_directions_are_unit_vectors_that_their_seed_alone_decides(networks, prior, monkeypatch):
    monkeypatch.setattr(directions, "SAMPLES", 256)
    generator = build(NetworkOptions(networks=networks, size=8, base=4, latent=6, prior=prior)).generator
    found, again = find_directions(generator, "pca", 4, seed=1), find_directions(generator, "pca", 4, seed=1)
    torch.testing.assert_close(found.vectors.norm(dim=1), torch.ones(4))
    assert torch.equal(found.vectors, again.vectors)
    assert (found.vectors.gather(1, found.vectors.abs().argmax(1, keepdim=True)) > 0).all()
    assert (found.strengths.diff() <= 0).all() and 0 < found.strengths.sum() <= 1
    assert not torch.equal(found.vectors, find_directions(generator, "pca", 4, seed=2).vectors)


def test_a_path_goes_three_deviations_to_both_sides_and_z_is_in_the_middle():
    prior, vectors = UniformPrior(16), torch.full((1, 16), 0.25)
    z = torch.full((1, 16), 0.1)
    path = Directions(vectors, torch.ones(1)).path(prior, z, 0, 5)
    assert torch.equal(path[2:3], z)
    expected = 0.1 + torch.tensor([-3, -1.5, 0, 1.5, 3]) / math.sqrt(3) / 4
    torch.testing.assert_close(path, expected[:, None].expand(-1, 16), atol=0.01, rtol=0)


@pytest.mark.parametrize("prior", [UniformPrior(4), NormalPrior(4)])
def test_a_path_stays_in_the_prior(prior):
    z = prior.sample([0])
    path = Directions(torch.eye(4), torch.ones(4)).path(prior, z, 1, 7, reach=9.0)
    torch.testing.assert_close(path, prior.project(path))
    assert not torch.equal(path[:1], z)


def test_the_deviation_is_that_of_the_prior():
    assert deviation(UniformPrior(50)) == pytest.approx(1 / math.sqrt(3), rel=0.02)
    assert deviation(NormalPrior(50)) == pytest.approx(1, rel=0.02)


def test_misuse_says_what_was_expected():
    generator = Stripes(UniformPrior(4))
    with pytest.raises(ValueError, match="1 to 4 directions, not 5"):
        find_directions(generator, count=5)
    with pytest.raises(ValueError, match="first layer of a Stripes is not known: only pca"):
        find_directions(generator, "sefa", 2)
    with pytest.raises(ValueError, match="0 to 1, not 2"):
        find_directions(generator, "pca", 2).path(generator.prior, torch.zeros(1, 4), 2, 3)
