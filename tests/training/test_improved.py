"""The terms of Salimans et al. (2016) by hand."""

import pytest
import torch
from torch.nn import functional as F

from latentfill.training.losses import HistoricalAverage, feature_distance, label_smoothing


def test_smoothing_is_cross_entropy_against_a_lower_target() -> None:
    logits = torch.tensor([-2.0, 0.0, 3.0])
    target = torch.full((3,), 0.9)
    expected = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    torch.testing.assert_close(F.softplus(-logits) + label_smoothing(logits, 0.1), expected)


def test_features_are_compared_by_their_means() -> None:
    real = torch.tensor([[1.0, 0.0], [3.0, 4.0]], requires_grad=True)  # means 2 and 2
    fake = torch.tensor([[0.0, 1.0], [0.0, 3.0]], requires_grad=True)  # means 0 and 2
    distance = feature_distance(real, fake)
    assert distance.item() == pytest.approx((2**2 + 0) / 2)
    distance.backward()  # type: ignore[no-untyped-call]
    assert real.grad is None and fake.grad is not None and (fake.grad[:, 0] < 0).all()


def test_history_pulls_towards_the_mean_of_all_that_was() -> None:
    theta = torch.tensor([1.0, 2.0], requires_grad=True)
    history = HistoricalAverage([theta])
    for value in ([3.0, 0.0], [2.0, 7.0]):
        theta = torch.tensor(value, requires_grad=True)
        history.remember([theta])
    torch.testing.assert_close(history.means[0], torch.tensor([2.0, 3.0]))
    now = torch.tensor([5.0, 3.5], requires_grad=True)
    (expected,) = torch.autograd.grad(0.1 * (now - history.means[0]).square().sum(), now)
    gradient = torch.ones(2)
    history.pull([now], [gradient], 0.1)
    torch.testing.assert_close(gradient, 1 + expected)


def test_history_goes_on_where_it_was() -> None:
    first, second = HistoricalAverage([torch.zeros(2)]), HistoricalAverage([torch.ones(2)])
    first.remember([torch.ones(2)])
    second.load_state_dict(first.state_dict())
    for history in (first, second):
        history.remember([torch.full((2,), 4.0)])
    assert torch.equal(first.means[0], second.means[0]) and first.count == second.count == 3
    with pytest.raises(ValueError, match="other parameters"):
        HistoricalAverage([torch.zeros(3)]).load_state_dict(first.state_dict())
