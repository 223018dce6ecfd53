"""Penalties on D's slope, against differences of D itself."""

from typing import Any

import pytest
import torch
from torch import nn

from latentfill.gan.model_file import build_networks
from latentfill.options import NetworkOptions, TrainOptions
from latentfill.training.losses import off_unit_slope, penalty, squared_slope

CASES = [
    NetworkOptions(size=8, networks="residual"),
    NetworkOptions(size=8, base=2, norm="none"),
]


def judge(options: NetworkOptions) -> Any:
    discriminator: Any = build_networks(options, 1)[1].double()
    for p in discriminator.parameters():  # nothing is zero, as after some training
        nn.init.normal_(p, std=0.3, generator=torch.Generator().manual_seed(len(p.flatten())))
    discriminator.precision = torch.float64
    return discriminator


@pytest.fixture(autouse=True)
def _in_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks give single numbers, whose differences would be mostly rounding."""
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor)


def images(seed: int, n: int = 2) -> torch.Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("options", CASES, ids=["residual", "dcgan without batch norm"])
def test_the_squared_slope_is_that_of_finite_differences(options: NetworkOptions) -> None:
    discriminator, x = judge(options), images(0)
    steps = torch.eye(x[0].numel(), dtype=torch.float64).view(-1, *x.shape[1:]) * 1e-6
    with torch.no_grad():
        expected = [
            ((discriminator(one + steps) - discriminator(one - steps)) / 2e-6).square().sum().item() for one in x
        ]
    assert squared_slope(discriminator, x).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("options", CASES, ids=["residual", "dcgan without batch norm"])
@pytest.mark.parametrize("name", ["r1", "r2", "gradient_penalty"])
def test_their_gradients_by_the_weights_are_those_of_finite_differences(options: NetworkOptions, name: str) -> None:
    discriminator, real, fake = judge(options), images(0), images(1)
    share = torch.tensor([0.3, 0.8], dtype=torch.float64)
    asked = TrainOptions(**{name: 2.0})  # type: ignore[arg-type]

    def cost() -> torch.Tensor:
        term = penalty(discriminator, real, fake, share, asked)[0]
        assert term is not None
        return term

    weights = [p for p in discriminator.parameters() if p.dim() > 1]
    grads = torch.autograd.grad(cost(), weights)
    for weight, grad in zip(weights, grads, strict=True):
        direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        there, back = (_moved(weight, direction * step, cost) for step in (1e-6, -1e-6))
        expected = (there - back) / 2e-6
        assert float((grad * direction).sum()) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def _moved(weight: torch.Tensor, by: torch.Tensor, cost: Any) -> float:
    with torch.no_grad():
        weight += by
    value = float(cost().detach())
    with torch.no_grad():
        weight -= by
    return value


class Linear(nn.Module):
    """D(x) = 3 x_0: its slope is 3 everywhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 3 * x.flatten(1)[:, 0]


def test_hand_computed_cases() -> None:
    real, fake, share = images(0), images(1), torch.tensor([0.5, 0.5], dtype=torch.float64)
    assert squared_slope(Linear(), real).tolist() == pytest.approx([9, 9])
    assert off_unit_slope(Linear(), real, fake, share).tolist() == pytest.approx([4, 4])  # (3 - 1)^2
    term, slopes = penalty(Linear(), real, fake, share, TrainOptions(r1=2.0, r2=4.0, gradient_penalty=10.0))
    assert term is not None and float(term) == pytest.approx(2 / 2 * 9 + 4 / 2 * 9 + 10 * 4)
    assert slopes["slope_real"].tolist() == pytest.approx([9, 9])
    assert penalty(Linear(), real, fake, share, TrainOptions())[0] is None


def test_the_slope_between_is_taken_between() -> None:
    seen = []

    class Watching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.detach())
            return x.sum((1, 2, 3))

    real, fake = images(0), images(1)
    off_unit_slope(Watching(), real, fake, torch.tensor([0.25, 1.0], dtype=torch.float64))
    torch.testing.assert_close(seen[0][0], 0.75 * fake[0] + 0.25 * real[0])
    torch.testing.assert_close(seen[0][1], real[1])
