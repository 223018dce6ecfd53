"""Signs of trouble, on images whose distances can be told by hand."""

import numpy as np
import pytest
import torch

from latentfill.runs import watchdog as signs
from latentfill.runs.watchdog import Limits

LIMITS = Limits()


def images(values: list[float]) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)


def test_spread_is_the_mean_distance_of_two_and_twins_the_median_to_the_nearest() -> None:
    some = images([0.0, 0.1, 0.4, 1.0])
    assert signs.mean_distance(some) == pytest.approx((0.1 + 0.4 + 1.0 + 0.3 + 0.9 + 0.6) / 6, rel=1e-5)
    assert signs.nearest_distance(some) == pytest.approx(0.1, rel=1e-5)  # of 0.1, 0.1, 0.3, 0.6 the lower middle


@pytest.mark.parametrize("colours", [2, 5, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_collections_of_few_colours_and_grey_ones_are_no_collapse(colours: int, channels: int) -> None:
    rng = np.random.Generator(np.random.Philox(key=3))
    drawn = rng.integers(0, colours, (128, channels, 8, 8)) / (colours - 1) * 2 - 1
    pictures = torch.from_numpy(drawn).float()
    assert signs.check_collapse(pictures[:64], pictures[64:], LIMITS) is None
    flat = pictures[:, :1, :1, :1].expand(-1, channels, 8, 8)  # as many pictures as colours: many are equal
    assert signs.check_collapse(flat[:64], flat[64:], LIMITS) is None


def test_one_picture_and_a_few_pictures_are_a_collapse() -> None:
    pictures = torch.randn(128, 3, 8, 8, generator=torch.Generator().manual_seed(0)) / 2
    real, made = pictures[:64], pictures[64:]
    one = signs.check_collapse(made[:1] + made * 0.05, real, LIMITS)
    assert one and one.trouble == "collapse" and "all samples of G look alike" in one.saw
    few = signs.check_collapse(made[torch.arange(64) % 4] + made * 0.01, real, LIMITS)
    assert few and "the same few pictures again and again" in few.saw and few.measured < few.limit
    assert signs.check_collapse(made, real[:1].expand(64, -1, -1, -1), LIMITS) is None  # nothing to lose


def test_the_energy_distance_is_twice_that_between_less_those_within() -> None:
    one, other = images([0.0, 0.4]), images([0.1, 0.2, 0.6])
    between = (0.1 + 0.2 + 0.6 + 0.3 + 0.2 + 0.2) / 6
    assert signs.energy_distance(one, other) == pytest.approx(2 * between - 0.4 - (0.1 + 0.5 + 0.4) / 3, rel=1e-5)
    assert signs.energy_distance(one, other) == pytest.approx(signs.energy_distance(other, one), rel=1e-5)


def test_samples_that_differ_but_show_something_else_are_astray() -> None:
    """As when the game broke down: blotches of one colour that vary more than the pictures do."""
    pictures = torch.randn(128, 3, 8, 8, generator=torch.Generator().manual_seed(0)) / 4
    real, made = pictures[:64], pictures[64:]
    yellow = torch.tensor([0.5, 0.4, -0.6]).view(1, 3, 1, 1)
    sign = signs.check_distribution(made * 1.5 + yellow, real, LIMITS)
    assert sign and sign.trouble == "astray" and "look like no training picture" in sign.saw
    assert signs.check_collapse(made * 1.5 + yellow, real, LIMITS) is None
    assert (
        signs.check_distribution(made, real, LIMITS) is None
        and signs.check_distribution(made * 0.7, real, LIMITS) is None
    )  # young: pale
    smear = signs.check_distribution(real.mean(0, keepdim=True).expand(64, -1, -1, -1), real, LIMITS)
    assert smear and smear.measured == pytest.approx(2**0.5 - 1, abs=0.02)
    assert signs.check_distribution(made + yellow, real[: signs.ENOUGH - 1], LIMITS) is None  # too few to say
    assert signs.check_distribution(made + yellow, real[:1].expand(64, -1, -1, -1), LIMITS) is None


def test_logits_are_judged_in_pairs() -> None:
    seen = signs.logit_statistics(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 0.0]))
    assert seen.tolist() == pytest.approx([0.25, 1.0, 1.5, 3.5])


@pytest.mark.parametrize(("seen", "critic", "trouble"), [
    ([0.0, 25.0, 0.0, 160.0], False, True),
    ([0.0, 25.0, 0.0, 160.0], True, False),  # a critic's logits have no scale
    ([0.001, 25.0, 0.0, 160.0], False, False),
    ([0.0, 12.0, 0.0, 40.0], False, False),
    ([0.5, 1e-5, 0.3, 0.09], True, True),  # the same logit for everything
    ([0.45, 0.05, 0.0, 0.01], False, False),  # as the seed's D in ordinary trainings
])  # fmt: skip
def test_a_discriminator_that_never_errs_or_never_sees_is_saturated(
    seen: list[float], critic: bool, trouble: bool
) -> None:
    assert (signs.check_saturation(torch.tensor(seen), critic, LIMITS) is not None) == trouble


def test_copies_are_samples_far_nearer_than_unseen_pictures_are() -> None:
    usual = torch.full((20,), 0.25)
    some = torch.tensor([0.05] * 4 + [0.22] * 12)
    sign = signs.check_copies(some, usual, LIMITS)
    assert sign and sign.measured == 0.25 and "25% of the samples are copies" in sign.saw
    assert signs.check_copies(some[1:], usual, LIMITS) is None
    assert signs.check_copies(some, usual * 0, LIMITS) is None and signs.check_copies(some, usual[:0], LIMITS) is None
