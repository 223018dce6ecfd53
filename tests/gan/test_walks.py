import math

import pytest
import torch

from latentfill.gan.directions import arithmetic, influence, nearby, sweep, sweep_values, tour, walk
from latentfill.gan.gan import NormalPrior, UniformPrior

UNIFORM, NORMAL = UniformPrior(5), NormalPrior(5)


@pytest.mark.parametrize("prior", [UNIFORM, NORMAL])
def test_a_walk_begins_and_ends_where_it_should(prior):
    start, end = prior.sample([1]), prior.sample([2])
    path = walk(prior, start, end, 7)
    torch.testing.assert_close(path[:1], start)
    torch.testing.assert_close(path[-1:], end)


def test_the_middle_of_a_straight_walk_is_the_mean():
    start, end = UNIFORM.sample([1]), UNIFORM.sample([2])
    torch.testing.assert_close(walk(UNIFORM, start, end, 3)[1:2], (start + end) / 2)


def test_a_quarter_circle_is_walked_in_equal_angles():
    prior = NormalPrior(2)
    path = walk(prior, torch.tensor([[2.0, 0]]), torch.tensor([[0, 2.0]]), 4)
    angles = torch.tensor([0, 30, 60, 90]) * math.pi / 180
    torch.testing.assert_close(path, 2 * torch.stack([angles.cos(), angles.sin()], dim=1))


def test_the_length_changes_evenly_on_the_sphere():
    start, end = 3 * NORMAL.sample([1]), NORMAL.sample([2])
    lengths = walk(NORMAL, start, end, 9).norm(dim=1)
    torch.testing.assert_close(lengths, torch.linspace(float(start.norm()), float(end.norm()), 9))


@pytest.mark.parametrize("factor", [0.0, 1.0, 1.5, -1.0])
def test_latents_on_one_line_are_no_trouble(factor):
    start = NORMAL.sample([1])
    path = walk(NORMAL, start, factor * start, 5)
    assert path.isfinite().all()
    torch.testing.assert_close(path[-1:], factor * start)


@pytest.mark.parametrize("prior", [UNIFORM, NORMAL])
def test_a_loop_passes_every_stop_and_closes(prior):
    stops = prior.sample(range(4))
    path = tour(prior, stops, frames=6)
    assert len(path) == 24
    torch.testing.assert_close(path[::6], stops)
    steps = (path.roll(-1, 0) - path).norm(dim=1)
    assert steps.max() < 3 * steps.min() + 1  # the last step is like the others


def test_forth_and_back_is_the_same_in_a_mirror():
    path = tour(UNIFORM, UNIFORM.sample(range(3)), frames=4, way="back")
    assert len(path) == 16
    torch.testing.assert_close(path[1:], path[1:].flip(0))
    assert len(path.unique(dim=0)) == 9


def test_a_sweep_changes_one_component():
    z, values = UNIFORM.sample([3]), torch.tensor([-1.0, 0, 1])
    swept = sweep(z, 2, values)
    torch.testing.assert_close(swept[:, 2], values)
    others = [0, 1, 3, 4]
    torch.testing.assert_close(swept[:, others], z[:, others].expand(3, -1))


def test_sweeps_reach_the_ends_of_the_prior():
    assert sweep_values(UNIFORM, 5).tolist() == [-1, -0.5, 0, 0.5, 1]
    assert sweep_values(NORMAL, 3).tolist() == [-2, 0, 2]


def test_influence_of_a_linear_generator_is_its_weights():
    weights = torch.tensor([0.1, -3.0, 0, 0.5, 2.0])

    def generator(z):
        return (z * weights).sum(dim=1)[:, None, None, None].expand(-1, 3, 4, 4)

    found = influence(generator, UNIFORM.sample(range(6)), sweep_values(UNIFORM, 8))
    torch.testing.assert_close(found, 2 * weights.abs())


def test_arithmetic_takes_means_and_stays_in_the_prior():
    a, b, c = (torch.tensor(rows) for rows in ([[0.2, 1.0], [0.4, 0.8]], [[0.1, -0.9]], [[0.0, 0.1], [0.6, 0.1]]))
    result = arithmetic(UniformPrior(2), a, b, c)
    torch.testing.assert_close(result, torch.tensor([[0.5, 1.0]]))  # 0.9 + 0.9 + 0.1 is clipped


def test_neighbours_are_near_and_each_has_its_own_seed():
    z = torch.zeros(1, 5)
    found = nearby(UNIFORM, z, [7, 8, 9])
    assert 0.1 < found.abs().max() <= 0.25
    torch.testing.assert_close(nearby(UNIFORM, z, [9]), found[2:])


def test_misuse_says_what_was_expected():
    z = UNIFORM.sample([0])
    with pytest.raises(ValueError, match="at least 2 frames, not 1"):
        walk(UNIFORM, z, z, 1)
    with pytest.raises(ValueError, match="at least 2 latents to go between, not 1"):
        tour(UNIFORM, z, 5)
    with pytest.raises(ValueError, match="0 to 4, not 5"):
        sweep(z, 5, torch.zeros(2))
