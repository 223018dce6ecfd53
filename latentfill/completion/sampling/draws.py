"""Which of the draws from a posterior to show: one that is typical, and others far from it and from each other."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...gan.gan import Generator
from ...images.incomplete import Incomplete
from ...types import Known, PerImage
from ..objective import residuals
from .chains import Posterior

SHOWN = 16  # samples by which it is told how far known pixels are off
Places = Int[Tensor, "n _"]


def typical_first(generator: Generator, found: Posterior, where: Known, count: int) -> Places:
    """[n, count]: the places of samples of each image: first the one nearest to the mean, then ever the farthest.

    Distances are between what they draw where `where` is 1. As long as there are chains of which there is no sample
    yet, the next one is of such.
    """
    rows = []
    for samples, mean, counts in zip(found.samples, found.mean, where, strict=True):
        with torch.no_grad():
            images = generator(samples).float()
        chosen = [int(((images - mean) * counts).square().sum((1, 2, 3)).argmin())]
        nearest = torch.full_like(images[:, 0, 0, 0], torch.inf)
        while len(chosen) < count:
            last = ((images - images[chosen[-1]]) * counts).square().sum((1, 2, 3))
            nearest = torch.minimum(nearest, last)
            taken = found.chain[chosen]
            new = (found.chain[:, None] != taken).all(1).to(nearest)
            # of those of new chains the farthest, if there are any
            chosen.append(int((new * (1 + nearest.max()) + nearest).argmax()))
        rows.append(torch.tensor(chosen))
    return torch.stack(rows)


def unexplained(generator: Generator, incomplete: Incomplete, samples: Float[Tensor, "n _ d"]) -> PerImage:
    """Root mean square of what is known that the samples miss: what the generator cannot draw, and a hidden pixel
    misses as well.
    """
    chosen = samples[:, :: max(1, samples.shape[1] // SHOWN)]
    times, asked = chosen.shape[1], incomplete.repeat(chosen.shape[1])
    with torch.no_grad():
        missed = residuals(asked, generator(chosen.flatten(0, 1)).float())
    squares = torch.stack([r.square().sum((1, 2, 3)) for r in missed.values()]).sum(0)
    count = asked.known.sum((1, 2, 3)) * incomplete.images.shape[1]
    count = count + sum((one.count for one in asked.observations), torch.zeros_like(count))
    return (squares / count.clamp_min(1)).view(-1, times).mean(1).sqrt()
