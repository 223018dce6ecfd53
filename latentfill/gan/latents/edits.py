"""Edits: ways through the latent space along which the hole changes, while the known pixels stay nearly as they are.

G has about a hundred numbers to move and thousands of known pixels to keep, so nothing but the latent itself keeps all
of them exactly: an edit goes as far as they change by less than a tolerance. Blending then keeps them to the bit.
"""

from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ...types import Images, Latents, PerImage
from ..gan import Generator
from .directions import deviation, signs
from .walks import Latent

TOLERANCE = 4 * 2 / 255  # by which known pixels may change, root mean square: 4 grey levels
FARTHEST = 3.0  # deviations of the prior: no edit is longer
STEP = 0.05  # deviations of the prior over which slopes are taken
BATCH = 50
CORRECTIONS = 2  # Gauss-Newton steps back after each step forth
SHRINK, TRIES = 0.75, 24  # an edit that goes too far is walked again, so much shorter

OneImage = Float[Tensor, "1 c h w"]
OneKnown = Float[Tensor, "1 1 h w"]
Some = Float[Tensor, "_ d"]  # that there is one of each is checked, with a message
Given = Float[Tensor, "_ 1 _ _"]
Paths = Float[Tensor, "k frames d"]


@final
@dataclass(frozen=True, eq=False)
class Edits:
    """Directions [k, d] at one latent z [1, d]: unit vectors, the one that changes the hole most first.

    `hole` and `kept` [k] are the root mean square changes in the hole and in the known pixels that the linear model
    expects `reach` [k] along each; images are in [-1, 1], so a grey level is 2 / 255.
    """

    z: Latent
    known: OneKnown
    vectors: Float[Tensor, "k d"]
    reach: Float[Tensor, " k"]
    hole: Float[Tensor, " k"]
    kept: Float[Tensor, " k"]
    tolerance: float
    slopes: Float[Tensor, "d _"] = field(repr=False)  # of the known values, weighted so that squares add up to a mean
    basis: Float[Tensor, "d d"] = field(repr=False)  # columns of which each costs 1 and none costs with another

    def __len__(self) -> int:
        return len(self.vectors)

    def paths(self, generator: Generator, steps: int = 4, corrections: int = CORRECTIONS) -> Paths:
        """[k, 2 steps + 1, d]: each edit from its - to its + end, evenly, z in the middle.

        Along all of a path the known pixels of G change by no more than `tolerance`, root mean square, and its latents
        are the prior's: after each step Gauss-Newton steps go back towards the known pixels in every direction but the
        edit's. Where even so they change too much, the end is nearer. Raises ValueError for no step.
        """
        if steps < 1:
            raise ValueError(f"an edit takes at least 1 step to each side, not {steps}")
        there, back = (self._walk(generator, side, steps, corrections) for side in (1.0, -1.0))
        middle = self.z.expand(len(self), 1, -1)
        return torch.cat([back.flip(1), middle, there], 1)

    @torch.no_grad()
    def _walk(self, generator: Generator, side: float, steps: int, corrections: int) -> Paths:
        found = self.z.repeat(len(self), steps, 1)
        rows, reach = torch.arange(len(self), device=self.z.device), self.reach.clone()
        start = generator(self.z)
        for _ in range(TRIES):
            z, farthest = self.z.expand(len(rows), -1), reach.new_zeros(len(rows))
            for step in range(steps):
                forth = side * reach[rows, None] / steps * self.vectors[rows]
                z = generator.prior.project(z + forth)
                for _ in range(corrections):
                    z = self._corrected(generator, start, z, rows)
                found[rows, step] = z
                farthest = torch.maximum(farthest, self._missed(generator(z) - start))
            rows = rows[~(farthest <= self.tolerance)]
            if not len(rows):
                return found
            reach[rows] *= SHRINK
        found[rows] = self.z  # where G jumps there is no way at all
        return found

    def _corrected(self, generator: Generator, start: OneImage, z: Latents, rows: Tensor) -> Latents:
        """Nearer to the known pixels of `start`, by the slopes at the path's middle, and none of it along the edit."""
        off = self._weighted(generator(z) - start)
        coordinates = (off @ self.slopes.T / self.tolerance**2) @ self.basis
        coordinates = coordinates.scatter(1, rows[:, None], 0.0)  # the edits are the basis' first columns
        nearer = generator.prior.project(z - coordinates @ self.basis.T)
        better = self._missed(generator(nearer) - start) < off.norm(dim=1)
        return torch.where(better[:, None], nearer, z)

    def _weighted(self, change: Images) -> Float[Tensor, "n _"]:
        return _weighted(change, self.known)

    def _missed(self, change: Images) -> PerImage:
        missed: PerImage = self._weighted(change).norm(dim=1)
        return missed


@torch.no_grad()
def find_edits(generator: Generator, z: Some, known: Given, count: int = 4, tolerance: float = TOLERANCE) -> Edits:
    """The `count` edits that change the hole of one image most: G(z), z [1, d], known [1, 1, h, w].

    Of all moves v that change the known pixels by no more than `tolerance` and are no longer than three deviations of
    the prior, the one with the largest change of the hole, then the next at right angles in that sense: generalised
    eigenvectors of J_hole^T J_hole against J_known^T J_known / tolerance^2 + 1 / length^2, the soft null space of the
    known pixels. Raises ValueError if nothing is missing, and for more edits than z has numbers.
    """
    d = z.shape[1]
    if not 1 <= count <= d:
        raise ValueError(f"a latent of {d} numbers has 1 to {d} edits, not {count}")
    if z.shape[0] != 1 or known.shape[0] != 1:
        raise ValueError(f"edits are of one image, not of {z.shape[0]} latents and {known.shape[0]} holes")
    if not (known == 0).any():
        raise ValueError("nothing is missing, so there is nothing to edit")
    if not tolerance > 0:
        raise ValueError(f"the tolerance is above 0, not {tolerance}")
    spread = deviation(generator.prior)
    slopes = jacobian(generator, z, STEP * spread)
    kept, hole = _weighted(slopes, known), _weighted(slopes, 1 - known)
    # Of squares, so in doubles: a float keeps too little of a direction that hardly changes anything.
    cost = _product(kept) / tolerance**2 + torch.eye(d, device=z.device).double() / (FARTHEST * spread) ** 2
    gain = _product(hole)
    whitening = torch.linalg.inv(torch.linalg.cholesky(cost))
    _, vectors = torch.linalg.eigh(whitening @ gain @ whitening.T)
    basis = (whitening.T @ vectors).flip(1)
    basis = (basis.T * signs(basis.T)).T
    moves = basis[:, :count].T
    reach = moves.norm(dim=1)
    hole_changes, known_changes = ((moves @ part.double()).norm(dim=1).to(z) for part in (hole, kept))
    vectors = (moves / reach[:, None]).to(z)
    return Edits(z, known, vectors, reach.to(z), hole_changes, known_changes, tolerance, kept, basis.to(z))


def jacobian(generator: Generator, z: Latent, step: float) -> Float[Tensor, "d c h w"]:
    """How the image G(z) changes with each number of z [1, d]: central differences over `step` to either side.

    Forward passes alone will do for any generator, in a third of the time of exact derivatives; and slopes over a short
    way are what a walk meets, where the ReLUs of G bend.
    """
    moves = step * torch.eye(z.shape[1], device=z.device, dtype=z.dtype)
    parts = [generator(z + move) - generator(z - move) for move in torch.split(moves, BATCH)]
    return torch.cat(parts) / (2 * step)


def _weighted(change: Images, where: OneKnown) -> Float[Tensor, "n _"]:
    """Values of an image where `where` is 1, so that the length of a row is their root mean square."""
    values = change[..., where[0, 0] == 1].flatten(1)
    weighted: Tensor = values / max(1, values.shape[1]) ** 0.5
    return weighted


def _product(rows: Float[Tensor, "d _"]) -> Float[Tensor, "d d"]:
    wide = rows.double()
    product: Tensor = wide @ wide.T
    return product
