"""Make images of any size agree with what was seen of them; and a photo's numbers as images and back."""

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F

from ..completion.observations import Sight
from ..completion.reading.frequencies import LEVEL
from ..images.incomplete import Given
from ..images.originals import Original, Values
from ..types import Images

Seen = Float[torch.Tensor, "_ _ _ _"]
TILE, OVERLAP = 512, 128  # pixels of a large photo that are made to agree at a time: 16 filters of them fit the memory


def agree(sight: Sight, guess: Images, told: Seen, where: Given) -> Images:
    """The images nearest to the guess [n, 3, h, w] that agree with what was told where that counts.

    Large ones are made part by part. The parts overlap; since all that agree form a convex set, so do their means.
    """
    factor, (height, width) = sight.view.factor, guess.shape[2:]
    if max(height, width) <= TILE:
        return sight.impose(guess, told, where)
    total, weights = torch.zeros_like(guess), guess.new_zeros(height, width)
    unit = factor * sight.reading.side
    overlap = -(-OVERLAP // unit) * unit
    step = max(unit, (TILE - overlap) // unit * unit)
    ramp = 1 + torch.arange(step + overlap).minimum(torch.arange(step + overlap).flip(0)).clamp(max=overlap)
    for top in range(0, max(1, height - overlap), step):
        for left in range(0, max(1, width - overlap), step):
            part = np.s_[:, :, top : top + step + overlap, left : left + step + overlap]
            small = np.s_[:, :, *(slice(s.start // factor, s.stop // factor) for s in part[2:])]
            agreeing = sight.impose(guess[part], told[small], where[small])
            h, w = agreeing.shape[2:]
            weight = ramp[:h, None] * ramp[None, :w]
            total[part] += weight * agreeing
            weights[part[2:]] += weight
    return total / weights


def images_of(original: Original) -> Images:
    """The numbers of a photo as float32 [1, c, h, w] in [-1, 1], 16-bit ones as exactly as these can be."""
    return image_of(np.asarray(original.values, np.float32) / np.float32(257 if original.bits == 16 else 1))


def image_of(levels: Float[np.ndarray, "_ _ _"]) -> Images:
    """[h, w, c] in 0..255 -> [1, c, h, w] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1), np.float32))[None] * LEVEL - 1


def levels_of(images: Images) -> Float[np.ndarray, "_ _ _"]:
    """The inverse of `image_of`."""
    return np.ascontiguousarray(((images[0].permute(1, 2, 0) + 1) / LEVEL).numpy())


def values_of(images: Images, like: Original) -> Values:
    """The inverse of `images_of`, rounded, for one image; as deep as another photo."""
    unit = 257 if like.bits == 16 else 1
    levels = (images.clamp(-1, 1)[0].permute(1, 2, 0) + 1) / LEVEL * unit
    return (levels + 0.5).floor().numpy().astype(like.values.dtype)


def padded(values: torch.Tensor, side: int) -> torch.Tensor:
    """With the last row and column repeated up to whole blocks, as encoders of JPEG do."""
    h, w = values.shape[2:]
    return F.pad(values, (0, -w % side, 0, -h % side), mode="replicate")


def enlarged(where: Given, sight: Sight) -> Given:
    """For every pixel whether the block is known that it lies in."""
    return where.repeat_interleave(sight.view.factor, 2).repeat_interleave(sight.view.factor, 3)
