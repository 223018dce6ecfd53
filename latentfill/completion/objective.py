"""The objective of a search: the loss of Yeh et al. (2017) and its terms, per image; the smaller, the better."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..gan.gan import Discriminator
from ..images.incomplete import BLOCK, Incomplete
from ..options import CompleteOptions
from ..types import Images, Known, Latents, PerImage

Terms = dict[str, PerImage]


@runtime_checkable
class Objective(Protocol):
    """A function that a search minimises."""

    def __call__(self, z: Latents, images: Images) -> Terms:
        """Named losses of each image; their sum is what counts. No image may influence another's."""


def total(terms: Terms) -> PerImage:
    """The loss of each image: the sum of its terms."""
    return torch.stack(list(terms.values())).sum(0)


def contextual(incomplete: Incomplete, images: Images, weights: Known | None = None) -> PerImage:
    """||M * G(z) - M * y||_1, or with `weights` ||W * (G(z) - y)||_1 (Yeh et al. 2017, eq. 4)."""
    factor = incomplete.known if weights is None else weights
    return (factor * (images - incomplete.images)).abs().sum((1, 2, 3))


def contextual_weights(known: Known, window: int = 7) -> Known:
    """W, the weight of each known pixel: the share of missing pixels around it (Yeh et al. 2017, eq. 3).

    `window` is the odd side of the neighbourhood in pixels; beyond its border the image is mirrored. 0 at missing
    pixels, and everywhere if none is missing. Raises ValueError for an even window.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"the window of the weights has an odd side, such as 7, not {window}")
    h, w = known.shape[-2:]
    rows, columns = (_mirrored(side, window // 2, known.device) for side in (h, w))
    missing = (1 - known)[:, :, rows][:, :, :, columns]  # count the missing pixels; counting M would invert the weights
    return known * F.avg_pool2d(missing, window, stride=1)


def lowres(incomplete: Incomplete, images: Images) -> PerImage:
    """Sum of |mean8(G(z)) - mean8(y)| over the blocks whose mean is given; 0 if none is."""
    if incomplete.lowres is None:
        return images.new_zeros(len(images))
    return (incomplete.lowres * block_means(images - incomplete.images)).abs().sum((1, 2, 3))


def block_means(images: Images) -> Float[Tensor, "n c _ _"]:
    """[n, c, h, w] -> [n, c, h/8, w/8], the means of the blocks of 8x8 pixels."""
    return F.avg_pool2d(images, BLOCK)


def non_saturating(logits: PerImage) -> PerImage:
    """-log D(G(z)), with D = sigmoid(logit): what the repository computes."""
    return F.softplus(-logits)


def saturating(logits: PerImage) -> PerImage:
    """log(1 - D(G(z))), with D = sigmoid(logit): what the post and the paper write."""
    return -F.softplus(logits)


PERCEPTUAL: dict[str, Callable[[PerImage], PerImage]] = {
    "non-saturating": non_saturating,
    "saturating": saturating,
}


@final
@dataclass(frozen=True)
class CompletionLoss:
    """The loss of Amos (2016) after Yeh et al. (2016): contextual + lam * perceptual.

    With `balance` "sum" the contextual terms and those of the observations are sums over values, as in the post, so lam
    means something else for every size and hole. With "mean" they are averages over the values that are given. A value
    observed counts as much as one of a known pixel.
    """

    incomplete: Incomplete
    discriminator: Discriminator
    lam: float = 0.1
    context: Literal["l1", "weighted"] = "l1"
    window: int = 7
    perceptual: Literal["non-saturating", "saturating"] = "non-saturating"
    balance: Literal["sum", "mean"] = "sum"
    counted: Known = field(init=False, repr=False)  # the weight of each pixel in the contextual term

    def __post_init__(self) -> None:
        known = self.incomplete.known
        if self.context == "weighted":
            weighted = contextual_weights(known, self.window)
            # If nothing is missing, no pixel is near the hole, and the image itself would get no weight.
            nothing_missing = (known == 1).flatten(1).all(1)[:, None, None, None]
            known = torch.where(nothing_missing, known, weighted)
        object.__setattr__(self, "counted", known)

    def __call__(self, z: Latents, images: Images) -> Terms:
        """`contextual`, a term for each observation, and `perceptual`, weighted: their sum is the loss."""
        terms = self._context(images)
        if self.balance == "mean":
            counts = self._counts(images.shape[1])
            # the mean of nothing is 0
            terms = {name: term / torch.where(counts[name] > 0, counts[name], 1) for name, term in terms.items()}
        if self.lam:
            perceptual = PERCEPTUAL[self.perceptual](self.discriminator(images)) * self.lam
        else:  # with a weight of 0, D would be computed in vain
            perceptual = images.new_zeros(len(images))
        return terms | {"perceptual": perceptual}

    def _context(self, images: Images) -> Terms:
        if images.shape != self.incomplete.images.shape:
            ours, theirs = tuple(images.shape), tuple(self.incomplete.images.shape)
            raise ValueError(f"the images to complete are {theirs} but the generator draws {ours}")
        terms = {"contextual": contextual(self.incomplete, images, self.counted)}
        if self.incomplete.lowres is not None:
            terms["lowres"] = lowres(self.incomplete, images)
        return terms | {one.operator.name: one.data_fidelity(images) for one in self.incomplete.observations}

    def _counts(self, channels: int) -> Terms:
        """The number of values that each term compares; a weighted pixel counts in part."""
        counts = {"contextual": self.counted.sum((1, 2, 3)) * channels}
        if self.incomplete.lowres is not None:
            counts["lowres"] = self.incomplete.lowres.sum((1, 2, 3)) * channels
        return counts | {one.operator.name: one.count for one in self.incomplete.observations}


def completion_loss(incomplete: Incomplete, discriminator: Discriminator, options: CompleteOptions) -> CompletionLoss:
    """The loss that these options choose."""
    o = options
    return CompletionLoss(incomplete, discriminator, o.lam, o.context, o.window, o.perceptual, o.balance)


def _mirrored(side: int, margin: int, device: torch.device) -> Tensor:
    """The indices of a row of pixels with `margin` more on both sides, mirrored with the edge repeated."""
    index = torch.arange(-margin, side + margin, device=device) % (2 * side)
    return torch.where(index < side, index, 2 * side - 1 - index)
