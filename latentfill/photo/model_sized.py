"""Pictures that already have the model's size: build the input, search, blend."""

from collections.abc import Sequence

import torch

from ..completion.complete import Completion, complete
from ..completion.operators import Operator, to_incomplete
from ..gan.gan import Gan
from ..images.blending import overlay, poisson
from ..images.hole_pictures import interpret_array
from ..images.hole_shapes import Missing
from ..images.holes import to_known
from ..images.incomplete import BLOCK, Incomplete, concatenate
from ..images.pixels import to_images, to_pixels
from ..options import CompleteOptions, choose_search
from ..types import Hole, Images, Pixels
from .monochrome import find_tint


def pose(
    gan: Gan,
    crops: Sequence[Pixels],
    holes: Sequence[Hole | Missing],
    *,
    lowres: bool = False,
    sights: Sequence[Operator] = (),
) -> Incomplete:
    """Pictures uint8 [H, W, 3] and their holes [H, W] as one question to `gan`, on its device.

    Holes are uint8, white (128 and above) where a pixel is to be found, or bool, True there. With `lowres` the means of
    8x8 blocks are given too. With `sights`, one for each picture, no pixel is known, but what is seen so of the picture
    outside of the hole. Raises ValueError unless all have the model's size, HoleError for a hole with values but no
    white.
    """
    size = gan.network.size
    for picture in [*crops, *holes]:
        if picture.shape[:2] != (size, size):
            raise ValueError(f"the model completes {size}x{size} pixels, not {picture.shape[1]}x{picture.shape[0]}")
    if len(crops) != len(holes):
        raise ValueError(f"{len(crops)} pictures and {len(holes)} holes: each picture needs its own")
    images = torch.cat([to_images(crop, gan.network.channels) for crop in crops])
    known = torch.cat([to_known(interpret_array(hole).hole) for hole in holes])
    if sights:
        rows = [slice(i, i + 1) for i in range(len(images))]
        asked = zip(sights, rows, strict=True)
        parts = [
            to_incomplete(operator, operator.linear(images[row]), known[row], images.shape[1])
            for operator, row in asked
        ]
        return concatenate(parts).to(gan.device)
    n, _, h, w = images.shape
    means = torch.ones(n, 1, h // BLOCK, w // BLOCK) if lowres else None
    return Incomplete(images, known, means).to(gan.device)


def blend(incomplete: Incomplete, completion: Completion, how: str) -> Images:
    """Join the known pixels with G(z): `overlay` (or auto) is the post's formula, `poisson` the paper's.

    Crops of one colour stay so. Where something else was observed, G(z) is made to agree with it, and the rest is
    joined to that.
    """
    ways = {"auto": overlay, "overlay": overlay, "poisson": poisson}
    if how not in ways:
        raise ValueError(f"blend is one of {', '.join(ways)}, not {how!r}")
    if incomplete.observations:
        return ways[how](Incomplete(incomplete.impose(completion.images), incomplete.shown[1]), completion.images)
    return _keep_tint(incomplete, ways[how](incomplete, completion.images))


def _keep_tint(incomplete: Incomplete, joined: Images) -> Images:
    """Give the completion of a crop of one colour that colour."""
    for row, pixels in enumerate(to_pixels(joined) if joined.shape[1] == 3 else []):
        hole = incomplete.known[row, 0].cpu().numpy() == 0
        tint = find_tint(pixels, ~hole, hole)
        if tint is not None and tint.covers(pixels[hole]):
            pixels[hole] = tint.apply(pixels[hole])
            joined[row] = to_images(pixels)[0].to(joined)
    return joined


def fill_crops(
    gan: Gan, crops: Sequence[Pixels], holes: Sequence[Hole | Missing], options: CompleteOptions | str | None = None
) -> list[Pixels]:
    """Complete pictures of the model's size; outside the holes they equal the originals to the bit.

    `crops` are uint8 [size, size, 3], `holes` [size, size] as `pose` has them.
    """
    options = choose_search(options)
    incomplete = pose(gan, crops, holes)
    return to_pixels(blend(incomplete, complete(gan, incomplete, options), options.blend))
