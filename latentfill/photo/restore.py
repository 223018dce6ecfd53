"""A photo of which little was seen, from what a model drew for its squares, and in agreement with what was seen."""

from collections.abc import Sequence

import numpy as np
import torch

from ..faces.placement import Box
from ..images.photos import Values
from ..types import Hole
from .colour import propagate_colour
from .observed import (
    Measurement,
    crop_operator,
    enlarge_blocks,
    image_to_levels,
    image_to_values,
    impose,
    levels_to_image,
    original_to_image,
    pad_to_blocks,
)
from .paste import Piece

FADE = 0.15  # of a square's side: over so much of it, what the model drew goes over into what is around


def restore(observed: Measurement, hole: Hole, pieces: Sequence[Piece]) -> Values:
    """The photo [H, W, 3] in colour and at the size wanted, as deep as it was, in agreement with what was seen of it.

    In the squares of the pieces it is what agrees and is nearest to these; beyond, what agrees and is smoothest, with
    their colours if it is like them and near. All that agree form a convex set, so where one goes over into the other
    it agrees as well. In the hole it means nothing.
    """
    sight, shown = observed.sight, observed.shown
    height, width = hole.shape
    factor = sight.linear.factor
    unit = factor * sight.noise.side
    where = observed.where(hole)
    seen = pad_to_blocks(observed.seen, sight.noise.side)
    told = sight.noise.measure(
        seen if sight.linear.grey else seen.expand(-1, 3, -1, -1)
    )  # a grey file may show colours
    colours = pad_to_blocks(original_to_image(shown).expand(-1, 3, -1, -1), unit)
    flat = (colours * enlarge_blocks(where, sight)).sum((2, 3), keepdim=True) / enlarge_blocks(
        where, sight
    ).sum().clamp_min(1)
    whole = (
        len(pieces) == 1 and crop_operator(sight, pieces[0].placement) is sight and pieces[0].placement.size == height
    )
    made = colours if whole and height == width else impose(sight, flat.expand_as(colours), told, where)
    made = torch.where(enlarge_blocks(where, sight) == 1, made, colours)
    sure = torch.zeros(made.shape[2:])
    for piece in pieces:
        box = _align_to_blocks(piece.placement.box(height, width), unit)
        rows, columns = box.slices
        part = np.s_[..., rows, columns]
        drawn = levels_to_image(piece.placement.back(piece.values, box))
        depth = torch.from_numpy(piece.placement.depth(box))
        share = torch.ones_like(depth) if whole else (depth / (FADE * piece.placement.size)).clamp(0, 1)
        share = share * share * (3 - 2 * share)  # without a kink at either end
        down, across = (slice(s.start // factor, s.stop // factor) for s in box.slices)
        small = np.s_[..., down, across]
        guess = torch.where(depth >= 0, drawn, made[part])
        agreeing = impose(sight, guess, told[small], where[small])
        made[part] = torch.lerp(made[part], agreeing, share)
        sure[part] += share * (1 - sure[part])
    if sight.linear.grey and not whole:
        squares = [piece.placement for piece in pieces]
        boxes, sides = [at.box(height, width) for at in squares], [at.scale * at.size for at in squares]
        made = levels_to_image(propagate_colour(image_to_levels(made), sure.numpy(), boxes, sides))
    return image_to_values(made[:, :, :height, :width], shown)


def _align_to_blocks(box: Box, unit: int) -> Box:
    """Grown to whole blocks."""
    low, high = (box.top, box.left), (box.bottom, box.right)
    return Box(*(at // unit * unit for at in low), *(-(-at // unit) * unit for at in high))
