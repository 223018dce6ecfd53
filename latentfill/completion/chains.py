"""What chains of samples tell: means, spreads, bands, and whether they have come to agree."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..types import Images, PerImage
from .search import Step

KEPT = 64  # samples of each image that are handed on: enough to draw candidates from
Draws = Float[np.ndarray, "chains draws d"]


@final
@dataclass(frozen=True, eq=False)
class Posterior:
    """What is likely of each image: the mean and the deviation of G(z), and samples of z [n, at most 64, d].

    `accepted` is the share of proposals; `rhat` the largest split R-hat of a number of z (1 where the chains agree, and
    above 1.01 to 1.1 they do not yet), `effective` the smallest effective number of samples of one.
    """

    mean: Images
    deviation: Images
    samples: Float[Tensor, "n _ d"]
    accepted: PerImage
    rhat: PerImage
    effective: PerImage

    def band(self, share: float = 0.9, noise: PerImage | None = None) -> tuple[Images, Images]:
        """Where each number lies with that probability: from, to. `noise` is how far pictures are off G(z) besides."""
        noise = torch.zeros_like(self.accepted) if noise is None else noise
        spread = (self.deviation.square() + noise.view(-1, 1, 1, 1).square()).sqrt()
        width = NormalDist().inv_cdf((1 + share) / 2) * spread
        return self.mean - width, self.mean + width


def gather(steps: Iterable[Step], *, chains: int, warm_up: int) -> Posterior:
    """Run a sampler to its end; the states up to number `warm_up` are forgotten. Raises ValueError if none is left."""
    latents: list[Tensor] = []
    accepted: list[Tensor] = []
    first = shifted = squares = torch.empty(0)
    for step in steps:
        if step.number <= warm_up:
            continue
        images = step.images.float()
        if not latents:
            first = _by_image(images, chains).mean(1)
            shifted, squares = torch.zeros_like(first), torch.zeros_like(first)
        off = _by_image(images, chains) - first[:, None]  # small numbers, so that their squares keep digits
        shifted, squares = shifted + off.mean(1), squares + off.square().mean(1)
        latents.append(_by_image(step.z, chains))
        accepted.append(_by_image(step.notes["accepted"], chains).mean(1))
    if not latents:
        raise ValueError(f"nothing was drawn after the warm-up of {warm_up}")
    count = len(latents)
    z = torch.stack(latents, 2)  # [n, chains, draws, d]
    told = [diagnose(one.double().cpu().numpy()) for one in z]
    rhat, effective = (first.new_tensor([extreme[k] for extreme in told]) for k in range(2))
    variance = (squares / count - (shifted / count).square()).clamp_min(0)
    every = z.transpose(1, 2).flatten(1, 2)
    chosen = torch.linspace(0, every.shape[1] - 1, min(KEPT, every.shape[1])).round().long()
    return Posterior(
        first + shifted / count, variance.sqrt(), every[:, chosen], torch.stack(accepted).mean(0), rhat, effective
    )


def diagnose(draws: Draws) -> tuple[float, float]:
    """The largest split R-hat of several numbers, and the smallest effective number of samples."""
    return float(split_rhat(draws).max()), float(effective_samples(draws).min())


def split_rhat(draws: Draws) -> Float[np.ndarray, " d"]:
    """How much wider all draws together are than each half of each chain (Gelman et al. 2013, section 11.4)."""
    halves = _halves(draws)
    count = halves.shape[1]
    within, between = halves.var(1, ddof=1).mean(0), halves.mean(1).var(0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt((count - 1) / count + between / within)
    return np.where(within > 0, ratio, np.where(between > 0, np.inf, 1.0))  # chains that never moved


def effective_samples(draws: Draws) -> Float[np.ndarray, " d"]:
    """So many independent draws would tell the mean as well (Gelman et al. 2013, section 11.5; Geyer 1992's sum)."""
    halves = _halves(draws)
    m, n, _ = halves.shape
    centred = halves - halves.mean(1, keepdims=True)
    spectrum = np.fft.rfft(centred, 2 * n, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :n].mean(0) / n  # [lag, d]
    within = covariance[0] * n / (n - 1)
    total = within * (n - 1) / n + (halves.mean(1).var(0, ddof=1) if m > 1 else 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = 1 - (within - covariance) / total
    correlation[0] = 1
    pairs = (
        correlation[: n // 2 * 2].reshape(n // 2, 2, -1).sum(1)
    )  # of neighbours: positive and falling, but for noise
    pairs = np.minimum.accumulate(np.where(np.minimum.accumulate(pairs > 0, axis=0), pairs, 0), axis=0)
    time = np.maximum(2 * pairs.sum(0) - 1, 1 / np.log10(m * n))
    return np.where(total > 0, m * n / np.where(total > 0, time, 1), 1.0)


def _by_image(rows: Tensor, chains: int) -> Tensor:
    """[n * chains, ...] -> [n, chains, ...]"""
    return rows.reshape(-1, chains, *rows.shape[1:])


def _halves(draws: Draws) -> Float[np.ndarray, "_ _ d"]:
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half :]])
