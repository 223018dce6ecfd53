"""Style directions: ways through the latent space along which all images change alike, found without any label."""

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ...types import Latents
from ..dcgan import START, DcganGenerator
from ..gan import Generator
from ..prior import Prior, key
from ..residual.networks import ResidualGenerator
from .walks import Latent, Path

Method = Literal["pca", "sefa"]

STREAM = 23  # seeds of different draws must never meet: those of training and completion are below
SAMPLES = 2048  # latents whose activations are analysed; twenty times as many as a latent has numbers
BATCH = 64
REACH = 3.0  # deviations of the prior to either side: as far as a direction is usually walked along


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
    z = generator.prior.sample([key(seed, STREAM, i) for i in range(SAMPLES)]).to(_device(generator))
    found = torch.cat([activations(generator, part) for part in torch.split(z, BATCH)])
    found, z = found - found.mean(0), z - z.mean(0)
    # The components themselves are not wanted, so the smaller of two matrices with the same eigenvalues will do.
    values, vectors = torch.linalg.eigh(found @ found.T)
    values, coordinates = values.flip(0).clamp_min(0), vectors.flip(1)[:, :count]  # of length 1: any scale will do
    return _directions(coordinates.T @ z, values[:count] / values.sum().clamp_min(1e-12))


@torch.no_grad()
def sefa(generator: Generator, count: int) -> Directions:
    """Eigenvectors of W^T W, where W is the first layer (Shen and Zhou 2021, eq. 4), its batch norm included."""
    basis = torch.eye(generator.prior.dim, device=_device(generator))
    layer = first_layer(generator, basis) - first_layer(generator, torch.zeros_like(basis[:1]))  # W^T: a row for each z
    values, vectors = torch.linalg.eigh(layer @ layer.T)
    return _directions(vectors.flip(1)[:, :count].T, values.flip(0)[:count].clamp_min(0).sqrt())


def first_layer(generator: Generator, z: Latents) -> Float[Tensor, "n _"]:
    """What the generator's first layer gives, before anything that is not linear. Raises ValueError without one."""
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
        return generator.begin(z, None, 1).flatten(1).float()
    if isinstance(generator, DcganGenerator):
        return F.relu(first_layer(generator, z))
    return generator(z).flatten(1)


def deviation(prior: Prior) -> float:
    """The standard deviation of one number of a latent, measured, so that any prior will do."""
    return float(prior.sample([(STREAM << 64) + i for i in range(256)]).std())


def _directions(vectors: Float[Tensor, "k d"], strengths: Float[Tensor, " k"]) -> Directions:
    units = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return Directions(units * signs(units), strengths)


def signs(vectors: Float[Tensor, "k d"]) -> Float[Tensor, "k 1"]:
    """1 or -1 for each row: what makes its largest number positive, since an eigenvector has no sign of its own."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -1.0, 1.0).to(vectors)


def _device(generator: Generator) -> torch.device:
    parameter = next(generator.parameters(), None) if isinstance(generator, torch.nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device
