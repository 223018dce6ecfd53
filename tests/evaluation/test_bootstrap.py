import numpy as np
import pytest

from latentfill.evaluation.distances import any_number, kernel, kernel_terms, mean, mean_of_pairs, ratio, unit_of


def normal(n, seed, deviation=2.0):
    return np.random.default_rng(seed).normal(10, deviation, n)


def test_the_interval_of_a_mean_is_that_of_the_central_limit():
    scores = normal(1000, 0)
    found = mean(scores, 0)
    reach = 1.96 * scores.std() / np.sqrt(1000)
    assert found.value == pytest.approx(scores.mean()) and found.n == 1000
    assert found.interval == pytest.approx((scores.mean() - reach, scores.mean() + reach), abs=0.08 * reach)


def test_the_interval_holds_the_truth_19_times_in_20():
    hits = [low <= 10 <= high for low, high in (mean(normal(50, seed), seed).interval for seed in range(250))]
    assert 0.91 <= np.mean(hits) <= 0.98


def test_the_difference_of_two_methods_is_paired():
    hard, noise = normal(200, 0, 5.0), normal(200, 1, 0.1)
    one, other = mean(hard, 3), mean(hard + noise, 3)
    difference = one - other
    low, high = difference.interval
    assert difference.value == pytest.approx(-noise.mean())
    assert high - low < 0.05 < 1 < one.interval[1] - one.interval[0]


def test_a_ratio_is_that_of_the_sums_and_varies_as_by_the_delta_method():
    wholes, noise = normal(500, 0), normal(500, 1)
    parts = 0.4 * wholes + noise - 10
    found = ratio(parts, wholes, 0)
    reach = 1.96 * (parts - found.value * wholes).std() / wholes.mean() / np.sqrt(500)
    assert found.value == pytest.approx(parts.sum() / wholes.sum()) and found.n == 500
    assert found.interval == pytest.approx((found.value - reach, found.value + reach), abs=0.1 * reach)
    rare = ratio(np.array([2.0, 0.0]), np.array([4.0, 0.0]), 0)
    assert rare.interval == (0.5, 0.5), "a drawing of plain pictures alone has no ratio of its own"


def test_of_one_picture_the_interval_has_no_width():
    assert mean(np.array([3.0]), 0).interval == (3.0, 3.0)


def test_a_number_of_the_pictures_varies_as_the_mean_does():
    scores = normal(300, 0)
    slow = any_number(lambda rows: float(scores[rows].mean()), 300, 0)
    reach = 1.96 * scores.std() / np.sqrt(300)
    assert slow.value == scores.mean()
    low, high = slow.interval
    assert high - slow.value == pytest.approx(slow.value - low) == pytest.approx(reach, rel=0.3)


def test_pairs_vary_as_the_collections_they_are_drawn_from():
    """By how much the kernel distance of 60 pictures varies between collections is what one collection tells."""
    rng = np.random.default_rng(0)
    estimates = []
    for seed in range(60):
        real = rng.normal(size=(60, 4))
        made = real * 0.5 + rng.normal(1.0, 0.5, size=(60, 4))
        estimates.append(mean_of_pairs(kernel_terms(made, real, 1.0), seed))
    assert mean_of_pairs(kernel_terms(made, real, unit_of(real)), 0).value == pytest.approx(kernel(made, real))
    told = np.mean([e.interval[1] - e.value for e in estimates]) / 1.96
    assert told == pytest.approx(np.std([e.value for e in estimates]), rel=0.3)


def test_draws_depend_on_the_seed_alone():
    scores = normal(20, 0)
    assert mean(scores, 1).interval == mean(scores, 1).interval != mean(scores, 2).interval
