"""Join the known pixels of an image with generated ones."""

from collections import OrderedDict
from threading import Lock
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import SuperLU, splu
from torch import Tensor
from torch.nn import functional as F

from ..types import Images, Known
from .incomplete import Incomplete

Inside = Bool[np.ndarray, "h w"]  # True in the hole
SWEEPS, LEAST_WEIGHT = 8, 1e-6  # of `poisson_like`


def overlay(incomplete: Incomplete, generated: Images) -> Images:
    """M * y + (1 - M) * G(z), as a choice: known pixels are kept to the bit, whatever G holds there."""
    _check(incomplete, generated)
    return torch.where(incomplete.known == 1, incomplete.images, generated.to(incomplete.images.dtype))


def poisson(incomplete: Incomplete, generated: Images) -> Images:
    """The image with the gradients of G that agrees with y where y is known (Perez et al. 2003; Yeh et al. 2017).

    It minimises the squared difference of the gradients, over all pairs of neighbours of which one is in the hole; a
    hole may touch the border, where nothing holds it. Without a known pixel it is G. Clipped to [-1, 1] in the hole;
    known pixels are kept to the bit, and pixels of y in the hole are not looked at.
    """
    _check(incomplete, generated)
    generated = generated.to(incomplete.images.dtype)
    known = (incomplete.known == 1).cpu().numpy()[:, 0]
    # with x = G + e, e is harmonic in the hole and equals y - G around it
    error = torch.where(incomplete.known == 1, incomplete.images - generated, 0).cpu().double().numpy()
    rows_of: dict[bytes, list[int]] = {}
    for row in range(len(known)):
        rows_of.setdefault(known[row].tobytes(), []).append(row)
    for rows in rows_of.values():
        inside = ~known[rows[0]]
        if inside.any() and not inside.all():
            error[rows] = _solve_laplace(inside, error[rows])
    blended = (generated + torch.from_numpy(error).to(generated)).clamp(-1, 1)
    return overlay(incomplete, blended)


def poisson_like(images: Images, known: Known, generated: Images) -> Images:
    """An approximation of `poisson` for networks that learn and for searches: it has a gradient, and is quick.

    The error at the hole's border is propagated into the hole by means of ever larger blocks (Burt 1988), which a few
    sweeps of relaxation make smooth: at the border it is exact, deep in a large hole it is coarse. Without a known
    pixel it is G. Not clipped; known pixels are kept to the bit, and pixels of `images` in the hole are not looked at.
    """
    hole = 1 - known
    border = known * F.max_pool2d(hole, 3, 1, 1)
    error = torch.where(border > 0, images - generated, 0.0)
    values, weights = [error], [border]
    while min(values[-1].shape[-2:]) > 1:
        values.append(F.avg_pool2d(values[-1], 2))
        weights.append(F.avg_pool2d(weights[-1], 2))
    filled = torch.zeros_like(values[-1])
    for value, weight in zip(reversed(values), reversed(weights), strict=True):
        if filled.shape != value.shape:
            filled = F.interpolate(filled, scale_factor=2, mode="bilinear", align_corners=False)
        filled = torch.where(weight > 0, value / weight.clamp_min(LEAST_WEIGHT), filled)
    share = hole / _sum_neighbours(hole + border).clamp_min(1)
    for _ in range(SWEEPS):
        filled = share * _sum_neighbours(hole * filled + error)
    return torch.where(known == 1, images, generated + hole * filled)


def _sum_neighbours(x: Tensor) -> Tensor:
    """The sum of the four neighbours; there are none beyond the border."""
    x = F.pad(x, (1, 1, 1, 1))
    total: Tensor = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return total


def _check(incomplete: Incomplete, generated: Images) -> None:
    if generated.shape != incomplete.images.shape:
        raise ValueError(f"images are {tuple(incomplete.images.shape)} but generated is {tuple(generated.shape)}")


def _solve_laplace(inside: Inside, values: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n c h w"]:
    """The values, in the hole replaced by what solves Laplace's equation there; they must be 0 in it."""
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)))
    around = padded[..., 2:, 1:-1] + padded[..., :-2, 1:-1] + padded[..., 1:-1, 2:] + padded[..., 1:-1, :-2]
    solved = FACTORS.factor(inside).solve(np.ascontiguousarray(around[..., inside].reshape(-1, inside.sum()).T))
    result = values.copy()
    result[..., inside] = solved.T.reshape(*values.shape[:2], -1)
    return result


def _laplacian(inside: Inside) -> csc_array:
    """The graph Laplacian of the pixels, 5 points, restricted to the hole. Beyond the border there is no neighbour."""
    number = np.full(inside.shape, -1)
    number[inside] = np.arange(inside.sum())
    neighbours = np.zeros(inside.shape)
    rows, columns = [], []
    for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        neighbours[a] += 1
        neighbours[b] += 1
        both = inside[a] & inside[b]
        rows += [number[a][both], number[b][both]]
        columns += [number[b][both], number[a][both]]
    diagonal = np.arange(inside.sum())
    entries = np.concatenate([neighbours[inside], -np.ones(sum(map(len, rows)))])
    where = (np.concatenate([diagonal, *rows]), np.concatenate([diagonal, *columns]))
    return coo_array((entries, where), shape=(len(diagonal), len(diagonal))).tocsc()


@final
class Factors:
    """Factored Laplacians, one per hole; the longest unused are dropped once all together exceed `budget` pixels."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.kept: OrderedDict[tuple[tuple[int, ...], bytes], tuple[int, SuperLU]] = OrderedDict()
        self.lock = Lock()

    def factor(self, inside: Inside) -> SuperLU:
        key = (inside.shape, np.packbits(inside).tobytes())
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
                return self.kept[key][1]
        # symmetric and diagonally dominant: no pivoting is needed
        factors: SuperLU = splu(
            _laplacian(inside), "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        with self.lock:
            self.kept[key] = int(inside.sum()), factors
            while len(self.kept) > 1 and sum(pixels for pixels, _ in self.kept.values()) > self.budget:
                self.kept.popitem(last=False)
        return factors


FACTORS = Factors(budget=2**19)  # two holes of 512 x 512, or 128 of 64 x 64
