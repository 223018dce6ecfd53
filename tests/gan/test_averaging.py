"""The averaged generator's batch-norm statistics, on a toy whose moments are known."""

from typing import Any

import torch
from torch import nn

from latentfill.training.optimiser import blend_parameters, estimate_statistics


def toy(scale: float, shift: float) -> Any:
    """z -> scale * z + shift, then batch norm. For z ~ N(0, 1): mean `shift`, variance `scale` squared."""
    network: Any = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    with torch.no_grad():
        network[1].weight.fill_(scale)
        network[1].bias.fill_(shift)
    return network


def latents(batches: int) -> list[tuple[torch.Tensor]]:
    rng = torch.Generator().manual_seed(0)
    return [(torch.randn(256, 64, generator=rng),) for _ in range(batches)]


def test_parameters_blend_and_buffers_do_not() -> None:
    average, now = toy(1.0, 0.0), toy(3.0, 4.0)
    now[2].running_mean.fill_(9.0)
    blend_parameters(average, now, 0.75)
    assert average[1].weight.item() == 1.5 and average[1].bias.item() == 1.0
    assert average[2].running_mean.item() == 0.0
    blend_parameters(average, now, 0.0)
    assert average[1].weight.item() == 3.0


def test_statistics_estimated_afresh_are_the_true_moments_and_copied_ones_are_not() -> None:
    # Two generators that differ in sign: each has outputs of variance 4, their average none.
    average, now = toy(2.0, 1.0), toy(-2.0, 1.0)
    estimate_statistics(now, latents(4))
    blend_parameters(average, now, 0.25)
    copied = now[2].state_dict()
    estimate_statistics(average, [(z + 5,) for (z,) in latents(2)])  # an earlier estimate leaves no trace
    estimate_statistics(average, latents(4))
    true_mean, true_variance = 1.0, (0.25 * 2.0 - 0.75 * 2.0) ** 2
    assert abs(average[2].running_mean.item() - true_mean) < 0.02
    assert abs(average[2].running_var.item() - true_variance) < 0.02
    assert abs(copied["running_var"].item() - true_variance) > 2


def test_estimating_leaves_everything_else_as_it_was() -> None:
    network = toy(2.0, 1.0).eval()
    network[2].momentum = 0.3
    estimate_statistics(network, latents(1))
    assert not network.training and not network[2].training and network[2].momentum == 0.3
    network.train()
    estimate_statistics(network, latents(1))
    assert network.training
    assert network[1].weight.grad is None
