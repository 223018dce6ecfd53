"""Ways through the latent space: walks between latents, sweeps of one component, A - B + C, style directions and edits.

Along a style direction all images change alike; directions are found without labels. Along an edit the hole changes,
while the known pixels stay nearly the same. G has about a hundred numbers to move and thousands of known pixels to
keep, so an edit ends where these would change by more than a tolerance. Blending then restores them to the bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..seeds import Stream, philox
from ..types import Images, Latents, PerImage
from .dcgan import START, DcganGenerator
from .gan import Generator, NormalPrior, Prior
from .residual import ResidualGenerator

Latent = Float[Tensor, "1 d"]
Path = Float[Tensor, "frames d"]

NEARBY = 0.25  # range of the uniform noise in the DCGAN paper's arithmetic, on each side


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
    if angle.sin() < 1e-4:  # parallel or opposite latents: all arcs between them are equally short
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
    """The mean absolute change of the image from the lowest to the highest value of each component.

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
    offsets = [torch.from_numpy(philox(seed).uniform(-noise, noise, z.shape[1])) for seed in seeds]
    return prior.project(z + torch.stack(offsets).to(z))


Method = Literal["pca", "sefa"]

SAMPLES = 2048  # latents whose activations are analysed: twenty times as many as the numbers of a latent
BATCH = 64
REACH = 3.0  # deviations of the prior to either side, the usual range of a direction


@final
@dataclass(frozen=True, eq=False)
class Directions:
    """Unit vectors in the latent space [k, d], the strongest first, each with its largest number above 0.

    `strengths` [k] fall: for `pca` the share of the variance of the activations that lies along each principal
    component, for `sefa` the length of what the first layer makes of a unit step.
    """

    vectors: Float[Tensor, "k d"]
    strengths: Float[Tensor, " k"]

    def __len__(self) -> int:
        return len(self.vectors)

    def path(self, prior: Prior, z: Latent, row: int, frames: int, reach: float = REACH) -> Path:
        """[frames, d]: from z [1, d] less `reach` deviations of the prior along direction `row` to z more as many.

        Every latent is projected on the prior, z too, which with an odd number of frames is the middle one.
        """
        if not 0 <= row < len(self):
            raise ValueError(f"the directions are 0 to {len(self) - 1}, not {row}")
        steps = torch.linspace(-reach, reach, frames).to(z)[:, None] * deviation(prior)
        return prior.project(z + steps * self.vectors[row].to(z))


def find_directions(generator: Generator, how: Method = "pca", count: int = 8, seed: int = 0) -> Directions:
    """The `count` strongest style directions of a generator; only `pca` draws latents, by the seed.

    Raises ValueError for more directions than a latent has numbers, and for `sefa` of a generator of another kind than
    those of this package.
    """
    if not 1 <= count <= generator.prior.dim:
        raise ValueError(f"there are 1 to {generator.prior.dim} directions, not {count}")
    return pca(generator, count, seed) if how == "pca" else sefa(generator, count)


@torch.no_grad()
def pca(generator: Generator, count: int, seed: int = 0) -> Directions:
    """Principal components of the first activations, taken back to the latent space by least squares.

    GANSpace, Härkönen et al. 2020, section 2.1, as for BigGAN. Of a generator that is not known from inside, the
    images themselves are analysed.
    """
    z = generator.prior.sample([Stream.DIRECTIONS.key(seed, i) for i in range(SAMPLES)]).to(_device(generator))
    rows = torch.cat([activations(generator, part) for part in torch.split(z, BATCH)])
    rows, z = rows - rows.mean(0), z - z.mean(0)
    # The components themselves are not needed, so the smaller of two matrices with the same eigenvalues is used.
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    values, coordinates = values.flip(0).clamp_min(0), vectors.flip(1)[:, :count]  # of length 1; the scale is arbitrary
    return _to_directions(coordinates.T @ z, values[:count] / values.sum().clamp_min(1e-12))


@torch.no_grad()
def sefa(generator: Generator, count: int) -> Directions:
    """Eigenvectors of W^T W, where W is the first layer (Shen and Zhou 2021, eq. 4), its batch norm included."""
    basis = torch.eye(generator.prior.dim, device=_device(generator))
    layer = first_layer(generator, basis) - first_layer(generator, torch.zeros_like(basis[:1]))  # W^T: a row for each z
    values, vectors = torch.linalg.eigh(layer @ layer.T)
    return _to_directions(vectors.flip(1)[:, :count].T, values.flip(0)[:count].clamp_min(0).sqrt())


def first_layer(generator: Generator, z: Latents) -> Float[Tensor, "n _"]:
    """The output of the first layer, with its batch norm. Raises ValueError for other kinds of generators."""
    if not isinstance(generator, DcganGenerator | ResidualGenerator):
        raise ValueError(f"the first layer of a {type(generator).__name__} is not known: only pca can be used")
    x = F.linear(z, generator.project.get_parameter("weight"), generator.project.get_parameter("bias"))
    if isinstance(generator, ResidualGenerator):
        return x
    normed: Tensor = generator.norms[0](x.view(len(z), -1, START, START))
    return normed.flatten(1)


def activations(generator: Generator, z: Latents) -> Float[Tensor, "n _"]:
    """The generator's first activations that are not linear in z: at 4x4, or of an unknown kind its images."""
    if isinstance(generator, ResidualGenerator):
        return generator.begin(z, 1).flatten(1).float()
    if isinstance(generator, DcganGenerator):
        return F.relu(first_layer(generator, z))
    return generator(z).flatten(1)


def deviation(prior: Prior) -> float:
    """The standard deviation of one number of a latent, measured, so that any prior will do."""
    return float(prior.sample([Stream.DIRECTIONS.key(number=i) for i in range(256)]).std())


def _to_directions(vectors: Float[Tensor, "k d"], strengths: Float[Tensor, " k"]) -> Directions:
    units = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return Directions(units * find_signs(units), strengths)


def find_signs(vectors: Float[Tensor, "k d"]) -> Float[Tensor, "k 1"]:
    """1 or -1 for each row: what makes its largest number positive, since an eigenvector has no sign of its own."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -1.0, 1.0).to(vectors)


def _device(generator: Generator) -> torch.device:
    parameter = next(generator.parameters(), None) if isinstance(generator, torch.nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device


TOLERANCE = 4 * 2 / 255  # root mean square change allowed for known pixels: 4 grey levels
FARTHEST = 3.0  # deviations of the prior: no edit is longer
STEP = 0.05  # deviations of the prior over which slopes are taken
PROBES = 50
CORRECTIONS = 2  # Gauss-Newton steps back after each step forward
SHRINK, TRIES = 0.75, 24  # an edit that goes too far is repeated with this factor of its length

OneImage = Float[Tensor, "1 c h w"]
OneKnown = Float[Tensor, "1 1 h w"]
Some = Float[Tensor, "_ d"]  # a check with its own message requires exactly one of each
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
    basis: Float[Tensor, "d d"] = field(repr=False)  # columns that each cost 1 and are orthogonal in cost

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
        paths = self.z.repeat(len(self), steps, 1)
        rows, reach = torch.arange(len(self), device=self.z.device), self.reach.clone()
        start = generator(self.z)
        for _ in range(TRIES):
            z, farthest = self.z.expand(len(rows), -1), reach.new_zeros(len(rows))
            for step in range(steps):
                forth = side * reach[rows, None] / steps * self.vectors[rows]
                z = generator.prior.project(z + forth)
                for _ in range(corrections):
                    z = self._correct(generator, start, z, rows)
                paths[rows, step] = z
                farthest = torch.maximum(farthest, self._error(generator(z) - start))
            rows = rows[~(farthest <= self.tolerance)]
            if not len(rows):
                return paths
            reach[rows] *= SHRINK
        paths[rows] = self.z  # where G jumps, no edit is possible
        return paths

    def _correct(self, generator: Generator, start: OneImage, z: Latents, rows: Tensor) -> Latents:
        """Nearer to the known pixels of `start`, by the slopes at the path's middle, and none of it along the edit."""
        off = _weight(generator(z) - start, self.known)
        coordinates = (off @ self.slopes.T / self.tolerance**2) @ self.basis
        coordinates = coordinates.scatter(1, rows[:, None], 0.0)  # the edits are the first columns of the basis
        nearer = generator.prior.project(z - coordinates @ self.basis.T)
        better = self._error(generator(nearer) - start) < off.norm(dim=1)
        return torch.where(better[:, None], nearer, z)

    def _error(self, change: Images) -> PerImage:
        error: PerImage = _weight(change, self.known).norm(dim=1)
        return error


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
    sigma = deviation(generator.prior)
    slopes = jacobian(generator, z, STEP * sigma)
    kept, hole = _weight(slopes, known), _weight(slopes, 1 - known)
    # Squares need doubles: a float keeps too little of a direction that hardly changes anything.
    cost = _product(kept) / tolerance**2 + torch.eye(d, device=z.device).double() / (FARTHEST * sigma) ** 2
    gain = _product(hole)
    whitening = torch.linalg.inv(torch.linalg.cholesky(cost))
    _, vectors = torch.linalg.eigh(whitening @ gain @ whitening.T)
    basis = (whitening.T @ vectors).flip(1)
    basis = (basis.T * find_signs(basis.T)).T
    moves = basis[:, :count].T
    reach = moves.norm(dim=1)
    hole_changes, known_changes = ((moves @ part.double()).norm(dim=1).to(z) for part in (hole, kept))
    vectors = (moves / reach[:, None]).to(z)
    return Edits(z, known, vectors, reach.to(z), hole_changes, known_changes, tolerance, kept, basis.to(z))


def jacobian(generator: Generator, z: Latent, step: float) -> Float[Tensor, "d c h w"]:
    """The slopes of the image G(z) in each number of z [1, d]: central differences over `step` to either side.

    Forward passes alone will do for any generator, in a third of the time of exact derivatives; and slopes over a short
    way are what a walk meets, where the ReLUs of G bend.
    """
    moves = step * torch.eye(z.shape[1], device=z.device, dtype=z.dtype)
    parts = [generator(z + move) - generator(z - move) for move in torch.split(moves, PROBES)]
    return torch.cat(parts) / (2 * step)


def _weight(change: Images, where: OneKnown) -> Float[Tensor, "n _"]:
    """Values of an image where `where` is 1, so that the length of a row is their root mean square."""
    values = change[..., where[0, 0] == 1].flatten(1)
    weighted: Tensor = values / max(1, values.shape[1]) ** 0.5
    return weighted


def _product(rows: Float[Tensor, "d _"]) -> Float[Tensor, "d d"]:
    wide = rows.double()
    product: Tensor = wide @ wide.T
    return product
