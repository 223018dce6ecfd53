"""What chains of samples tell: means, spreads, bands, and whether they have come to agree."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from ...types import Images, Known, PerImage
from ..search import Step

PARTS = 8  # of a picture along a side, whose mean colours are compared: a feature of a face
KEPT = 64  # samples of each image that are handed on: enough to draw candidates from
Draws = Float[np.ndarray, "chains draws d"]


@final
@dataclass(frozen=True, eq=False)
class Posterior:
    """What is likely of each image: the mean and the deviation of G(z), and samples of z [n, at most 64, d].

    `chain` [samples] says which chain each sample is of. `accepted` is the share of proposals. `rhat` is the largest
    split R-hat of a number of z (1 where the chains agree, and above 1.01 to 1.1 they do not yet), `effective` the
    smallest effective number of samples of one; `picture_rhat` and `picture_effective` are those of the pictures' mean
    colours in 8 x 8 parts: chains that still differ in z may agree in what they show.
    """

    mean: Images
    deviation: Images
    samples: Float[Tensor, "n k d"]
    chain: Int[Tensor, " k"]
    accepted: PerImage
    rhat: PerImage
    effective: PerImage
    picture_rhat: PerImage
    picture_effective: PerImage

    def band(self, share: float = 0.9, noise: PerImage | None = None) -> tuple[Images, Images]:
        """Where each number lies with that probability: from, to. `noise` is how far pictures are off G(z) besides."""
        noise = torch.zeros_like(self.accepted) if noise is None else noise
        spread = (self.deviation.square() + noise.view(-1, 1, 1, 1).square()).sqrt()
        width = NormalDist().inv_cdf((1 + share) / 2) * spread
        return self.mean - width, self.mean + width


@final
class Gathering:
    """Takes the steps of a sampler one by one, and tells what they say together.

    `where` [n, 1, h, w] is 1 in the part of the pictures that the diagnosis is of; by default all of them.
    """

    def __init__(self, chains: int, where: Known | None = None) -> None:
        self.chains, self.where = chains, where
        self._latents: list[Tensor] = []
        self._accepted: list[Tensor] = []
        self._parts: list[Tensor] = []
        self._first = self._shifted = self._squares = torch.empty(0)

    def add(self, step: Step) -> None:
        """One more draw of every chain."""
        images = _by_image(step.images.float(), self.chains)
        if not self._latents:
            self._first = images.mean(1)
            self._shifted, self._squares = torch.zeros_like(self._first), torch.zeros_like(self._first)
        off = images - self._first[:, None]  # small numbers, so that their squares keep digits
        self._shifted, self._squares = self._shifted + off.mean(1), self._squares + off.square().mean(1)
        self._latents.append(_by_image(step.z, self.chains))
        self._accepted.append(_by_image(step.notes["accepted"], self.chains).mean(1))
        self._parts.append(self._coarse(images))

    def told(self) -> Posterior:
        """What the draws so far tell; there must be some."""
        count, first = len(self._latents), self._first
        z, parts = torch.stack(self._latents, 2), torch.stack(self._parts, 2)  # [n, chains, draws, d]
        latents = [diagnose(one.double().cpu().numpy()) for one in z]
        pictures = [diagnose(one[..., one[0, 0].isfinite()].double().cpu().numpy()) for one in parts]
        rhat, effective, seen, worth = (
            first.new_tensor(c) for c in (*zip(*latents, strict=True), *zip(*pictures, strict=True))
        )
        variance = (self._squares / count - (self._shifted / count).square()).clamp_min(0)
        every = z.transpose(1, 2).flatten(1, 2)
        chosen = torch.linspace(0, every.shape[1] - 1, min(KEPT, every.shape[1])).round().long()
        mean, accepted = first + self._shifted / count, torch.stack(self._accepted).mean(0)
        samples, chain = every[:, chosen], chosen % self.chains
        return Posterior(mean, variance.sqrt(), samples, chain, accepted, rhat, effective, seen, worth)

    def _coarse(self, images: Float[Tensor, "n chains c h w"]) -> Float[Tensor, "n chains _"]:
        """The mean colours of the parts; NaN where nothing of one counts."""
        n, chains, c, h, w = images.shape
        where = images.new_ones(n, 1, h, w) if self.where is None else self.where
        side = (min(PARTS, h), min(PARTS, w))
        share = F.adaptive_avg_pool2d(where, side)
        means = F.adaptive_avg_pool2d((images * where[:, None]).flatten(0, 1), side).view(n, chains, c, *side)
        return (means / torch.where(share > 0, share, torch.nan)[:, None]).flatten(2)


def gather(steps: Iterable[Step], *, chains: int, warm_up: int, where: Known | None = None) -> Posterior:
    """Run a sampler to its end; the states up to number `warm_up` are forgotten. Raises ValueError if none is left."""
    gathering, last = Gathering(chains, where), 0
    for step in steps:
        last = step.number
        if last > warm_up:
            gathering.add(step)
    if last <= warm_up:
        raise ValueError(f"nothing was drawn after the warm-up of {warm_up}")
    return gathering.told()


def diagnose(draws: Draws) -> tuple[float, float]:
    """The largest split R-hat of several numbers, and the smallest effective number of samples."""
    if not draws.shape[2]:
        return 1.0, float(draws.shape[0] * draws.shape[1])
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
