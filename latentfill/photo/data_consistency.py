"""A whole photo as a measurement: its operator, the operators of its squares, and images that agree with it.

An image of any size is made to agree with the measurement, as a completion agrees with its known pixels.
"""

from dataclasses import dataclass, replace
from math import log2
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F

from ..completion.noise_models import GaussianNoise, Identity, Jpeg, NoiseModel, Quantization
from ..completion.operators import LinearOperator, Operator, simulate
from ..errors import HoleError, ImageError
from ..faces.placement import Placement
from ..images.hole_pictures import is_transparent, to_hole
from ..images.holes import to_known
from ..images.incomplete import Given
from ..images.metadata import profile_fits
from ..images.photos import Original, Values
from ..images.pixels import GREY_LEVEL
from ..texture.outside import diffuse
from ..types import Hole, Images, Known

Seen = Float[torch.Tensor, "_ _ _ _"]
TILE, OVERLAP = 512, 128  # pixels of a large photo that are processed at a time: 16 filters of them fit into memory


def impose(operator: Operator, guess: Images, told: Seen, where: Given) -> Images:
    """The images nearest to the guess [n, 3, h, w] that agree with the measurement where it counts.

    Large ones are made part by part. The parts overlap; since all that agree form a convex set, so do their means.
    """
    factor, (height, width) = operator.linear.factor, guess.shape[2:]
    if max(height, width) <= TILE:
        return operator.impose(guess, told, where)
    total, weights = torch.zeros_like(guess), guess.new_zeros(height, width)
    unit = factor * operator.noise.side
    overlap = -(-OVERLAP // unit) * unit
    step = max(unit, (TILE - overlap) // unit * unit)
    ramp = 1 + torch.arange(step + overlap).minimum(torch.arange(step + overlap).flip(0)).clamp(max=overlap)
    for top in range(0, max(1, height - overlap), step):
        for left in range(0, max(1, width - overlap), step):
            part = np.s_[:, :, top : top + step + overlap, left : left + step + overlap]
            small = np.s_[:, :, *(slice(s.start // factor, s.stop // factor) for s in part[2:])]
            agreeing = operator.impose(guess[part], told[small], where[small])
            h, w = agreeing.shape[2:]
            weight = ramp[:h, None] * ramp[None, :w]
            total[part] += weight * agreeing
            weights[part[2:]] += weight
    return total / weights


def original_to_image(original: Original) -> Images:
    """The numbers of a photo as float32 [1, c, h, w] in [-1, 1], 16-bit ones as exactly as these can be."""
    return levels_to_image(np.asarray(original.values, np.float32) / np.float32(257 if original.bits == 16 else 1))


def levels_to_image(levels: Float[np.ndarray, "_ _ _"]) -> Images:
    """[h, w, c] in 0..255 -> [1, c, h, w] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1), np.float32))[None] * GREY_LEVEL - 1


def image_to_levels(images: Images) -> Float[np.ndarray, "_ _ _"]:
    """The inverse of `image_of`."""
    return np.ascontiguousarray(((images[0].permute(1, 2, 0) + 1) / GREY_LEVEL).numpy())


def image_to_values(images: Images, like: Original) -> Values:
    """The inverse of `images_of`, rounded, for one image; as deep as another photo."""
    unit = 257 if like.bits == 16 else 1
    levels = (images.clamp(-1, 1)[0].permute(1, 2, 0) + 1) / GREY_LEVEL * unit
    return (levels + 0.5).floor().numpy().astype(like.values.dtype)


def pad_to_blocks(values: torch.Tensor, side: int) -> torch.Tensor:
    """Repeat the last row and column up to whole blocks, as JPEG encoders do."""
    h, w = values.shape[2:]
    return F.pad(values, (0, -w % side, 0, -h % side), mode="replicate")


def enlarge_blocks(where: Given, operator: Operator) -> Given:
    """For every pixel whether the block is known that it lies in."""
    return where.repeat_interleave(operator.linear.factor, 2).repeat_interleave(operator.linear.factor, 3)


MOST_FACTOR = 16  # largest factor by which a measured square may be smaller; at 16 a face of 64 pixels has 4
JPEG_SHARE = 0.05  # deviation of a JPEG's pixels over the mean divisor; in most bins it is less than uniform


@final
@dataclass(frozen=True, eq=False)
class Measurement:
    """The measurement of a photo: its numbers [1, c', h', w'] in [-1, 1], and the operator.

    `shown` is the same in the size and the colours that are wanted of it, enlarged smoothly: what is looked at.
    """

    operator: Operator
    seen: Images
    shown: Original

    def hole(self, hole: Hole, name: str = "the photo") -> Hole:
        """A hole painted on the small picture or on one of the size that is wanted, in that size.

        Raises HoleError for one of another size, and if it leaves nothing that was seen.
        """
        wanted = self.shown.values.shape[:2]
        factor = wanted[0] // self.seen.shape[2]
        if hole.shape == tuple(self.seen.shape[2:]) and hole.shape != wanted:
            hole = hole.repeat(factor, 0).repeat(factor, 1)
        if hole.shape != wanted:
            sizes = f"{wanted[1]} x {wanted[0]} pixels are wanted, but its hole is {hole.shape[1]} x {hole.shape[0]}"
            raise HoleError(f"{name}: {sizes}", "Give both the same size.")
        if hole.any() and not self.where(hole).any():
            raise HoleError(f"{name}: the hole covers all of it", "Make the hole smaller.")
        return hole

    def where(self, hole: Hole) -> Known:
        """1 where a number is known, of a photo with as many more rows and columns as whole blocks need."""
        side = self.operator.linear.factor * self.operator.noise.side
        return self.operator.where(pad_to_blocks(to_known(hole), side))


def fill_hidden(original: Original, hidden: Hole) -> Original:
    """The photo with its hidden pixels [H, W] continued from their surroundings: averages of neighbours use them."""
    if not hidden.any() or hidden.all():
        return original
    around = diffuse(original.photo().pixels, hidden)[..., : original.values.shape[2]]
    unit = np.iinfo(original.values.dtype).max // 255
    filled = np.where(hidden[..., None] > 0, around.astype(original.values.dtype) * unit, original.values)
    return replace(original, values=filled)


def read_measurement(
    original: Original, operator: Operator, size: int, name: str = "the photo", most: int | None = None
) -> Measurement:
    """A photo as the observation that it is, by a model of `size` pixels.

    A small picture is one of the size wanted, divided by the factor; one of the model's size has its blocks averaged
    already. Raises ImageError for one that would get more than `most` pixels.
    """
    factor = operator.linear.factor
    seen = original_to_image(original)
    if operator.linear.grey:
        seen = LinearOperator(grey=True)(seen)
    if factor > 1 and original.values.shape[:2] == (size, size):
        seen = F.avg_pool2d(seen, factor)
    height, width = (factor * side for side in seen.shape[2:])
    if most is not None and height * width > most:
        what = f"{name}: enlarged {factor} times, it would have {height * width / 1e6:.0f} million pixels"
        raise ImageError(what, "Give a part of it, or a smaller factor.")
    shown = original
    if factor > 1:
        decoded = _decode(operator.noise, seen)
        flat = decoded.mean((2, 3), keepdim=True).expand(-1, -1, height, width)
        large = impose(Operator(LinearOperator(factor=factor)), flat, decoded, torch.ones_like(decoded[:, :1]))
        alpha = original.alpha
        if alpha is not None:
            times = height // alpha.shape[0]
            alpha = alpha.repeat(times, 0).repeat(times, 1)
        shown = replace(original, values=image_to_values(large, original), alpha=alpha)
    elif operator.linear.grey:
        shown = replace(original, values=image_to_values(seen, original))
    if operator.linear.grey:
        icc = original.icc if original.icc is None or profile_fits(original.icc, 3) else None
        shown = replace(shown, values=np.repeat(shown.values[..., :1], 3, 2), icc=icc)
    return Measurement(operator, seen, shown)


def degrade(original: Original, operator: Operator, seed: int, name: str = "the photo") -> Original:
    """Measure a whole photo, as a photo: to try things out. Its sides are cut to whole blocks.

    `seed`, 0 to 2^64 - 1, is that of the noise. Raises ImageError for a photo smaller than a block.
    """
    factor = operator.linear.factor
    height, width = (side // factor for side in original.values.shape[:2])
    if not height or not width:
        raise ImageError(f"{name}: it is too small to be made {factor} times smaller", "Give a larger photo.")
    alpha = original.photo().alpha
    clear = original if alpha is None else fill_hidden(original, to_hole(is_transparent(alpha)))
    images = original_to_image(clear)[:, :, : height * factor, : width * factor]
    seen = _decode(operator.noise, simulate(operator, images, [seed]))
    alpha = None if original.alpha is None else original.alpha[factor // 2 :: factor, factor // 2 :: factor]
    alpha = None if alpha is None else np.ascontiguousarray(alpha[:height, :width])
    values = image_to_values(seen, original)
    icc = original.icc if original.icc is None or profile_fits(original.icc, values.shape[2]) else None
    return replace(original, values=values, alpha=alpha, icc=icc)


def crop_operator(operator: Operator, placement: Placement) -> Operator:
    """The measurement operator of a square that was cut from the photo.

    The same if its pixels are the photo's; else noise becomes less where they are means of several, what is small is
    less so in a larger photo, and what bins hide counts as noise. Factors and noises are rounded, so that squares
    searched together have few.
    """
    unit, corner = operator.linear.factor * operator.noise.side, placement.to_photo(np.zeros((1, 2)))
    if placement.exact and not (corner % unit).any():
        return operator
    factor, smaller = 1, operator.linear.factor / placement.scale
    while 2 * factor <= min(1.5 * smaller, MOST_FACTOR):
        factor *= 2
    view = LinearOperator(operator.linear.grey, factor)
    sigma = _deviation(operator.noise) / max(1.0, factor / smaller)
    return Operator(view, GaussianNoise(2 ** (round(2 * log2(max(1.0, sigma))) / 2))) if sigma else Operator(view)


def _decode(reading: NoiseModel, seen: Images) -> Images:
    h, w = seen.shape[2:]
    return reading.decode(reading.measure(pad_to_blocks(seen, reading.side)))[:, :, :h, :w]


def _deviation(reading: NoiseModel) -> float:
    """The deviation of single pixels, in grey levels."""
    if isinstance(reading, GaussianNoise):
        return reading.grey_levels
    if isinstance(reading, Quantization):
        return float(256 / reading.count / 12**0.5)
    if isinstance(reading, Jpeg):
        return JPEG_SHARE * reading.mean_divisor
    if isinstance(reading, Identity):
        return 0.0
    raise ValueError(f"{reading.name} is not known to have any noise")
