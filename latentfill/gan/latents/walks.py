"""Ways through the latent space: walks between latents, sweeps of one component, A - B + C."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ...types import Images, Latents
from ..prior import NormalPrior, Prior, random

Latent = Float[Tensor, "1 d"]
Path = Float[Tensor, "frames d"]

NEARBY = 0.25  # uniform noise of the DCGAN paper's arithmetic, on each side


def walk(prior: Prior, start: Latent, end: Latent, frames: int) -> Path:
    """[frames, d] from start [1, d] to end [1, d], both included.

    A straight line for the uniform prior. For the normal prior the shortest way round the sphere, since the middle of
    a straight line would be too short a latent, one that G has never met (White 2016); the length changes evenly.
    """
    if frames < 2:
        raise ValueError(f"a walk takes at least 2 frames, not {frames}")
    share = torch.arange(frames, dtype=start.dtype, device=start.device)[:, None] / (frames - 1)
    if not isinstance(prior, NormalPrior):
        return torch.lerp(start, end, share)
    lengths = start.norm(), end.norm()
    units = [z / length.clamp_min(1e-12) for z, length in zip((start, end), lengths, strict=True)]
    angle = torch.acos((units[0] * units[1]).sum().clamp(-1, 1))
    if angle.sin() < 1e-4:  # along one line: every way round is as short
        return torch.lerp(start, end, share)
    direction = torch.sin((1 - share) * angle) * units[0] + torch.sin(share * angle) * units[1]
    path: Path = direction / angle.sin() * torch.lerp(*lengths, share)
    return path


def tour(prior: Prior, stops: Latents, frames: int, way: Literal["loop", "back"] = "loop") -> Path:
    """A closed walk through every stop [n, d], `frames` frames from each to the next, for an endless animation.

    `loop` goes on from the last stop to the first: [n * frames, d]. `back` turns round there: [2 (n - 1) frames, d].
    Stop number i is frame number i * frames. Raises ValueError for fewer than two stops.
    """
    if len(stops) < 2:
        raise ValueError(f"a walk needs at least 2 latents to go between, not {len(stops)}")
    order = [*range(len(stops)), *(range(len(stops) - 2, -1, -1) if way == "back" else [0])]
    legs = [walk(prior, stops[a : a + 1], stops[b : b + 1], frames + 1)[:-1] for a, b in pairwise(order)]
    return torch.cat(legs)


def sweep(z: Latent, component: int, values: Float[Tensor, " m"]) -> Float[Tensor, "m d"]:
    """[m, d]: the latent z [1, d] with one component set to each of the values in turn."""
    if not 0 <= component < z.shape[1]:
        raise ValueError(f"the components of this latent are 0 to {z.shape[1] - 1}, not {component}")
    swept = z.repeat(len(values), 1)
    swept[:, component] = values
    return swept


def sweep_values(prior: Prior, count: int) -> Float[Tensor, " m"]:
    """From end to end of one component: -1 to 1 for the uniform prior, -2 to 2 standard deviations for the normal."""
    end = 2.0 if isinstance(prior, NormalPrior) else 1.0
    return torch.linspace(-end, end, count)


def influence(generator: Callable[[Latents], Images], z: Latents, values: Float[Tensor, " m"]) -> Float[Tensor, " d"]:
    """How much each component matters: mean absolute change of the image from the lowest to the highest value.

    The mean is over the latents z [n, d], the pixels and the channels; the unit is that of images.
    """
    ends = values[[0, -1]]
    changes = []
    for component in range(z.shape[1]):
        low, high = z.clone(), z.clone()
        low[:, component], high[:, component] = ends
        changes.append((generator(high) - generator(low)).abs().mean())
    return torch.stack(changes)


def arithmetic(prior: Prior, a: Float[Tensor, "a d"], b: Float[Tensor, "b d"], c: Float[Tensor, "c d"]) -> Latent:
    """A - B + C, [1, d]: each term the mean of a group of latents, the result projected on the prior.

    Radford et al. 2015, section 6.3.2: single latents are unsteady, the mean of three is not.
    """
    means = [group.mean(dim=0, keepdim=True) for group in (a, b, c)]
    return prior.project(means[0] - means[1] + means[2])


def nearby(prior: Prior, z: Latent, seeds: Sequence[int], noise: float = NEARBY) -> Latents:
    """[len(seeds), d]: the latent z [1, d] with uniform noise on [-noise, noise] added, projected on the prior."""
    offsets = [torch.from_numpy(random(seed).uniform(-noise, noise, z.shape[1])) for seed in seeds]
    return prior.project(z + torch.stack(offsets).to(z))
