"""The running average of a generator, and the batch-norm statistics that belong to it."""

from collections.abc import Iterable

import torch
from torch import nn

from ..types import Latents


def blend_parameters(average: nn.Module, now: nn.Module, keep: float) -> None:
    """average <- keep * average + (1 - keep) * now, parameter by parameter."""
    with torch.no_grad():
        pairs = list(zip(average.parameters(), now.parameters(), strict=True))
        torch._foreach_lerp_([a for a, _ in pairs], [n for _, n in pairs], 1 - keep)


def estimate_statistics(generator: nn.Module, latents: Iterable[Latents]) -> None:
    """Measure the batch-norm means and variances afresh, on the generator's own samples.

    Averaged weights have statistics of their own: with those copied from the last generator images turn grey.
    Every batch counts the same, so the batches should be of one size, and large.
    """
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    training, momenta = generator.training, [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    generator.train()
    with torch.no_grad():
        for z in latents:
            generator(z)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    generator.train(training)
