"""A small network that learns to tell completed pictures from their originals, separately for each method and hole.

It learns from one half of the pictures and judges the other, and the other way round; a completed picture and its
original are in the same half. A method that fools it draws holes that look real, whether or not they match the
original. Unlike PSNR it does not reward blur (P-IDS and U-IDS of Zhao et al. 2021, with a network instead of an SVM).
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from ..seeds import Stream, philox
from ..types import PixelBatch
from .distances import Estimate, ratio_of_pairs
from .metrics import Scores, Where

Inputs = Float[Tensor, "n 4 _ _"]
Logits = Float[np.ndarray, " n"]  # above 0: real

LEAST = 64  # pictures: from fewer it learns too little for a verdict
FOLDS, NETWORKS = 2, 2  # halves, and networks for each, whose logits are averaged
STEPS, PAIRS, RATE = 150, 16, 1e-2  # updates of Adam, pictures with their originals in each, and the rate
WIDTH = 16
MARGIN = 24  # pixels seen around the holes
# Grey levels that the network sees as 0 and as 1. With a high-pass before it, it tells JPEG grain from its absence,
# whatever is drawn: both for soft and for sharp mouths its AUC at 128 pixels was 0.99 to 1.
MIDDLE, CONTRAST = 128.0, 64.0


@final
@dataclass(frozen=True, eq=False)
class Verdict:
    """Logits of each original and its completion, and the half each picture was in."""

    real: Logits
    made: Logits
    fold: Int64[np.ndarray, " n"]

    @property
    def accuracy(self) -> Scores:
        """For each pair the share that was recognised: 0, 0.5 or 1."""
        return ((self.real > 0).astype(float) + (self.made <= 0)) / 2

    @property
    def p_ids(self) -> Scores:
        """1 if the completed picture looks more real than its own original; 0.5 if they look alike."""
        return _beats(self.made, self.real)

    @property
    def u_ids(self) -> Scores:
        """1 if the completed picture passes for real."""
        return (self.made > 0).astype(float)

    def auc(self, seed: int) -> Estimate:
        """The share of pairs in which an original looks more real than a completion of the same half: 0.5 is chance."""
        together = (self.fold[:, None] == self.fold).astype(float)
        return ratio_of_pairs(together * _beats(self.real[:, None], self.made), together, seed)


def classify(original: PixelBatch, made: PixelBatch, holes: Where, seed: int = 0) -> Verdict:
    """Train networks on uint8 [n, h, w, c] and their originals, each with its hole [n, h, w]; n is `LEAST` or more."""
    n = len(original)
    fold = philox(Stream.JUDGE_FOLDS.key(number=seed)).permutation(n) % FOLDS
    real, fake = _inputs(original, holes), _inputs(made, holes)
    logits = np.zeros((2, n))
    for half in range(FOLDS):
        train, test = (torch.from_numpy(np.flatnonzero(rows)) for rows in (fold != half, fold == half))
        for number in range(NETWORKS):
            network = _Network(torch.Generator().manual_seed(FOLDS * NETWORKS * seed + FOLDS * number + half))
            network.learn(real[train], fake[train])
            for row, pictures in enumerate((real, fake)):
                logits[row, test] += network.logits(pictures[test]).numpy() / NETWORKS
    return Verdict(logits[0], logits[1], fold)


@final
class _Network:
    """Three convolutions, their maps averaged over the hole and its border, and a weight for each."""

    def __init__(self, rng: torch.Generator) -> None:
        shapes = [(WIDTH, 4, 5, 5), (2 * WIDTH, WIDTH, 3, 3), (2 * WIDTH, 2 * WIDTH, 3, 3)]
        self._kernels = [torch.randn(shape, generator=rng) * (2 / np.prod(shape[1:])) ** 0.5 for shape in shapes]
        self._biases = [torch.zeros(shape[0]) for shape in shapes]
        self._last = [torch.zeros(2 * WIDTH), torch.zeros(())]
        self._rng = rng

    def learn(self, real: Inputs, made: Inputs) -> None:
        """Adam on the cross-entropy of pairs, mirrored by chance; the rate falls to zero."""
        parameters = [p.requires_grad_() for p in (*self._kernels, *self._biases, *self._last)]
        adam = torch.optim.Adam(parameters, RATE)
        for step in range(STEPS):
            rows = torch.randint(len(real), (PAIRS,), generator=self._rng)
            pair = torch.cat([real[rows], made[rows]])
            logits = self._forward(pair.flip(3) if step % 2 else pair)
            signs = torch.ones(2 * PAIRS)
            signs[PAIRS:] = -1
            adam.zero_grad()
            F.softplus(-signs * logits).mean().backward()  # type: ignore[no-untyped-call]
            for group in adam.param_groups:
                group["lr"] = RATE * (1 - step / STEPS)
            adam.step()

    @torch.no_grad()
    def logits(self, pictures: Inputs) -> Float[Tensor, " n"]:
        return torch.cat([self._forward(group) for group in torch.split(pictures, 2 * PAIRS)])

    def _forward(self, x: Inputs) -> Float[Tensor, " n"]:
        near = F.max_pool2d(F.avg_pool2d(x[:, 3:], 4, ceil_mode=True), 3, 1, 1)
        for kernel, bias, stride in zip(self._kernels, self._biases, (2, 2, 1), strict=True):
            x = F.leaky_relu(F.conv2d(x, kernel, bias, stride, kernel.shape[-1] // 2), 0.2)
        return (x * near).sum((2, 3)) / near.sum((2, 3)).clamp_min(1e-6) @ self._last[0] + self._last[1]


def _inputs(pictures: PixelBatch, holes: Where) -> Inputs:
    """Pictures in units of `CONTRAST`, and the holes; cut to what is near any of the holes."""
    rows, columns = (np.flatnonzero((holes > 0).any((0, axis))) for axis in (2, 1))
    box = (slice(max(0, side[0] - MARGIN), side[-1] + 1 + MARGIN) for side in (rows, columns))
    x = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - MIDDLE) / CONTRAST
    return torch.cat([x, torch.from_numpy(holes > 0).float()[:, None]], 1)[:, :, *box]


def _beats(one: np.ndarray, other: np.ndarray) -> Float[np.ndarray, "..."]:
    return np.asarray((one > other) + 0.5 * (one == other))
