"""The running average of a network, and the batch-norm statistics that belong to it."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from itertools import islice

import torch
from torch import Tensor, nn

from .building import AnyGenerator
from .layers.virtual import is_virtual


def blend_parameters(average: nn.Module, now: nn.Module, keep: float) -> None:
    """average <- keep * average + (1 - keep) * now, parameter by parameter."""
    with torch.no_grad():
        pairs = list(zip(average.parameters(), now.parameters(), strict=True))
        torch._foreach_lerp_([a for a, _ in pairs], [n for _, n in pairs], 1 - keep)


def estimate_statistics(network: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Measure the batch-norm means and variances afresh, on batches of what the network takes.

    Averaged weights have statistics of their own: with those copied from the last generator images turn grey.
    Every batch counts the same, so the batches should be of one size, and large. Virtual batch norm has its statistics
    from its reference batch, whatever comes with it.
    """
    if is_virtual(network):
        batches = islice(batches, 1)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    training, momenta = network.training, [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    network.train()
    with torch.no_grad():
        for batch in batches:
            network(*batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(training)


def settled(generator: AnyGenerator, seeds: Sequence[int], batch: int = 256) -> AnyGenerator:
    """A frozen copy, ready to use, with statistics measured on the latents of these seeds, if it keeps any."""
    copy = deepcopy(generator).requires_grad_(False)
    if is_virtual(copy) or any(isinstance(module, nn.BatchNorm2d) for module in copy.modules()):
        device, size = next(copy.parameters()).device, min(batch, len(seeds))
        parts = (seeds[first : first + size] for first in range(0, len(seeds), size))
        estimate_statistics(copy, ((copy.prior.sample(part).to(device),) for part in parts))
    return copy.eval()
