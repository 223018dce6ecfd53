"""Completions of squares that a photo shows enlarged, redrawn at twice the model's size."""

import torch

from ..completion.completion import Completion
from ..gan.gan import Gan
from ..images.blending import poisson_like
from ..images.holes import to_known
from ..images.pixels import to_images, to_levels
from ..texture.detail import LEAST_SCALE
from .crop import Cut, hidden_pixels
from .paste import Piece


def draw_pieces(question: Cut, completion: Completion, gan: Gan) -> list[Piece]:
    """The completion of each square of a cut, at the model's size, or redrawn at twice that where it is enlarged.

    Only a model with an upsampler redraws, and only what is no observation, with which the result would have to agree.
    """
    upsampler, channels = gan.upsampler, gan.network.channels
    pieces = [Piece(*pair) for pair in zip(question.placements, to_levels(completion.images), strict=True)]
    if upsampler is None or question.observed is not None:
        return pieces
    pixels, hidden = question.original.photo().pixels, hidden_pixels(question.original, question.hole)
    for row, placement in enumerate(question.placements):
        if placement.scale < LEAST_SCALE:
            continue
        large = placement.resize(2 * placement.size)
        images, small = (to_images(crop, channels) for crop in (large.crop(pixels), question.crops[row]))
        known, seen = (to_known(hole) for hole in (large.crop_hole(hidden), question.crop_holes[row]))
        drawn = completion.images[row : row + 1].to(gan.device, torch.float32)
        with torch.no_grad():
            joined = poisson_like(small.to(drawn), seen.to(drawn), drawn)
            redrawn = upsampler(joined, images.to(drawn), known.to(drawn))
        pieces[row] = Piece(large, next(iter(to_levels(redrawn))))
    return pieces
