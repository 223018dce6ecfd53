import math
from dataclasses import dataclass, field

import pytest
import torch

from latentfill.gan.directions import TOLERANCE, find_edits, jacobian
from latentfill.gan.gan import UniformPrior
from latentfill.gan.model_file import build
from latentfill.options import NetworkOptions

LENGTH = 3 / math.sqrt(3)  # three deviations of the uniform prior
KNOWN = torch.ones(1, 1, 4, 4)
KNOWN[..., 2:] = 0  # the right half is the hole


def halves(known, hole):
    """Images whose left half has one value and whose right half another."""
    return torch.where(KNOWN == 1, known[:, None, None, None], hole[:, None, None, None]).expand(-1, 3, -1, -1)


@dataclass
class Halves:
    """The hole is 0.5 z0 + 0.2 z2, the known half z1 + bend z0^2 + 0.001 z2; z3 does nothing."""

    bend: float = 0.0
    prior: UniformPrior = field(default_factory=lambda: UniformPrior(4))

    def __call__(self, z):
        return halves(z[:, 1] + self.bend * z[:, 0] ** 2 + 0.001 * z[:, 2], 0.5 * z[:, 0] + 0.2 * z[:, 2])


@dataclass
class Together:
    """The hole is z0, the known half 0.1 z0."""

    prior: UniformPrior = field(default_factory=lambda: UniformPrior(2))

    def __call__(self, z):
        return halves(0.1 * z[:, 0], z[:, 0])


def changes(generator, path, where):
    images = generator(path.flatten(0, 1))
    squares = ((images - generator(path[:1, path.shape[1] // 2])) * where).square().sum((1, 2, 3))
    return (squares / (where.sum() * images.shape[1])).sqrt().view(path.shape[:2])


def test_the_first_edit_changes_the_hole_and_nothing_else():
    edits = find_edits(Halves(), torch.zeros(1, 4), KNOWN, 2)
    expected = torch.tensor([0.5, 0, 0.2, 0]) / math.hypot(0.5, 0.2)
    torch.testing.assert_close(edits.vectors[0], expected, atol=0.01, rtol=0)
    assert edits.reach[0] == pytest.approx(LENGTH, rel=0.02)
    assert edits.hole[0] == pytest.approx(LENGTH * math.hypot(0.5, 0.2), rel=0.02)
    assert edits.kept[0] < 1e-3 and edits.hole[1] < 0.01


def test_no_edit_is_more_than_the_tolerance_and_the_length_allow():
    # known^2 / t^2 + a^2 / L^2 = 1 says how far a goes
    edits = find_edits(Together(), torch.zeros(1, 2), KNOWN, 1, tolerance=0.03)
    expected = (0.1**2 / 0.03**2 + 1 / LENGTH**2) ** -0.5
    assert edits.hole[0] == pytest.approx(expected, rel=0.01)
    assert edits.kept[0] == pytest.approx(0.1 * expected, rel=0.01)


def test_the_way_back_does_not_undo_the_edit():
    edits = find_edits(Together(), torch.zeros(1, 2), KNOWN, 1, tolerance=0.03)
    ends = changes(Together(), edits.paths(Together(), 3), 1 - KNOWN)[0, [0, -1]]
    torch.testing.assert_close(ends, edits.hole.expand(2), rtol=0.01, atol=0)


def test_edits_are_those_of_the_generalised_eigenproblem():
    generator = build(NetworkOptions(size=16, base=4, latent=7), seed=2).generator
    for weights in generator.parameters():
        weights.data.mul_(10)
    known = torch.ones(1, 1, 16, 16)
    known[..., 4:12, 4:12] = 0
    z = generator.prior.sample([5])
    edits = find_edits(generator, z, known, 3)
    slopes = jacobian(generator, z, 0.05 / math.sqrt(3)).double()
    hole, kept = ((slopes * where).flatten(1) for where in (1 - known, known))
    gain, cost = hole @ hole.T / (64 * 3), kept @ kept.T / (192 * 3) / TOLERANCE**2 + torch.eye(7) / LENGTH**2
    values = torch.linalg.eigvals(torch.linalg.solve(cost, gain)).real.sort(descending=True).values
    torch.testing.assert_close(edits.hole.double(), values[:3].sqrt(), rtol=0.02, atol=0)
    moves = (edits.vectors * edits.reach[:, None]).double()
    torch.testing.assert_close(moves @ cost @ moves.T, torch.eye(3).double(), rtol=0, atol=0.02)


def test_slopes_are_the_derivatives():
    weights = torch.randn(5, 3 * 4 * 4, generator=torch.Generator().manual_seed(0))

    @dataclass
    class Smooth:
        prior: UniformPrior = field(default_factory=lambda: UniformPrior(5))

        def __call__(self, z):
            return torch.tanh(z @ weights).view(-1, 3, 4, 4)

    z = UniformPrior(5).sample([3])
    expected = weights * (1 - torch.tanh(z @ weights).square())
    torch.testing.assert_close(jacobian(Smooth(), z, 1e-2).flatten(1), expected, rtol=0, atol=1e-3)


def test_a_walk_follows_the_known_pixels_where_they_bend():
    z = torch.zeros(1, 4)
    generator = Halves(bend=0.05)
    edits = find_edits(generator, z, KNOWN, 1)
    bent, straight = (edits.paths(generator, 4, corrections) for corrections in (2, 0))
    for path in (bent, straight):
        assert changes(generator, path, KNOWN).max() <= TOLERANCE
    far, near = (changes(generator, path, 1 - KNOWN)[0] for path in (bent, straight))
    assert min(far[0], far[-1]) > 1.2 * max(near[0], near[-1])
    torch.testing.assert_close(bent[0, :, 1], -0.05 * bent[0, :, 0] ** 2, atol=0.01, rtol=0)
    assert (far[:4].diff() < 0).all() and (far[5:].diff() > 0).all()


def test_the_middle_of_a_path_is_z_and_its_ends_lie_on_both_sides():
    z = torch.tensor([[0.2, -0.1, 0.3, 0.9]])
    path = find_edits(Halves(), z, KNOWN, 2).paths(Halves(), 3)
    assert path.shape == (2, 7, 4)
    assert torch.equal(path[:, 3], z.expand(2, -1))
    assert path[0, 0, 0] < 0.2 < path[0, -1, 0]


def test_paths_stay_in_the_prior():
    z = torch.tensor([[1.0, 1, 1, 1]])
    path = find_edits(Halves(bend=0.3), z, KNOWN, 2).paths(Halves(bend=0.3))
    assert path.abs().max() <= 1
    assert changes(Halves(bend=0.3), path, KNOWN).max() <= TOLERANCE


def test_where_the_known_pixels_jump_an_edit_stays_where_it_is():
    @dataclass
    class Cliff:
        prior: UniformPrior = field(default_factory=lambda: UniformPrior(3))

        def __call__(self, z):
            return halves((z != 0).any(1).float(), z[:, 0])

    edits = find_edits(Cliff(), torch.zeros(1, 3), KNOWN, 1)
    assert torch.equal(edits.paths(Cliff(), 2), torch.zeros(1, 5, 3))


def test_without_known_pixels_edits_are_what_changes_the_image_most():
    edits = find_edits(Halves(), torch.zeros(1, 4), torch.zeros_like(KNOWN), 1)
    torch.testing.assert_close(edits.vectors[0].abs().argmax(), torch.tensor(1))


@pytest.mark.parametrize(
    ("z", "known", "options", "message"),
    [
        (torch.zeros(1, 4), KNOWN, {"count": 5}, "1 to 4 edits, not 5"),
        (torch.zeros(2, 4), KNOWN, {}, "one image, not of 2 latents and 1 holes"),
        (torch.zeros(1, 4), torch.ones_like(KNOWN), {}, "nothing is missing"),
        (torch.zeros(1, 4), KNOWN, {"tolerance": 0.0}, "above 0, not 0"),
    ],
)
def test_misuse_says_what_was_expected(z, known, options, message):
    with pytest.raises(ValueError, match=message):
        find_edits(Halves(), z, known, **{"count": 1, **options})
    with pytest.raises(ValueError, match="at least 1 step to each side, not 0"):
        find_edits(Halves(), torch.zeros(1, 4), KNOWN, 1).paths(Halves(), 0)
