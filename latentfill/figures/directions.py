"""What a model draws along its style directions, and what the edits of a completion do to its hole."""

from dataclasses import replace

import torch

from ..completion.completion import Completion
from ..completion.conditional import Conditional
from ..crops import blend
from ..gan.fused import fused
from ..gan.gan import Gan
from ..gan.latents.directions import Directions
from ..gan.latents.edits import find_edits
from ..images.grids import grid
from ..images.incomplete import Incomplete
from ..images.pixels import to_pixels
from ..types import Images, Latents, Pixels
from .samples import show

EDIT_STEPS = 4  # pictures on each side of the completion


def rows(gan: Gan, directions: Directions, z: Latents, frames: int, device: torch.device) -> list[list[Pixels]]:
    """For each direction, `frames` images of the latent z [1, d] moved along it from end to end."""
    prior = gan.generator.prior
    return [list(show(gan, directions.path(prior, z, row, frames), device)) for row in range(len(directions))]


@torch.inference_mode()
def mean_change(gan: Gan, directions: Directions, z: Latents, device: torch.device) -> list[float]:
    """How much each direction matters: mean absolute change from end to end, over the latents z [n, d] and pixels."""
    prior = gan.generator.prior
    changes = []
    for row in range(len(directions)):
        ends = torch.stack([directions.path(prior, one, row, 2) for one in torch.split(z, 1)], 1)
        low, high = (gan.generator(end.to(device)) for end in ends)
        changes.append((high - low).abs().mean().item())
    return changes


def edit_sheet(gan: Gan, incomplete: Incomplete, completion: Completion, count: int, how: str) -> Pixels | None:
    """The `count` edits of each completed image, a row for each, from end to end; in the middle it is as it was.

    Known pixels are kept to the bit; `how` the others are joined to them is what `blend` knows. None without a hole:
    that of a large photo may be too small for a pixel of the model's.
    """
    tiles = []
    for i in range(len(incomplete)):
        one, made = incomplete.select([i]), completion.select(slice(i, i + 1))
        if (one.known == 1).all():
            continue
        for images in edited(gan, one, made, count):
            for image in torch.split(images, 1):
                tiles += to_pixels(blend(one, replace(made, images=image), how))
    return grid(tiles, 2 * EDIT_STEPS + 1) if tiles else None


@torch.no_grad()
def edited(
    gan: Gan, incomplete: Incomplete, completion: Completion, count: int, steps: int = EDIT_STEPS
) -> list[Images]:
    """[2 steps + 1, c, h, w] for each edit of one completion, not yet blended.

    What G changes is added to the completion, whose own G may have been tuned to the picture; a completer's, given
    what is known, if it drew the completion.
    """
    gan, z = fused(gan), completion.z.float()
    generator = gan.generator
    if completion.conditional and gan.completer is not None:
        generator = Conditional(gan.completer, gan.completer.encode(incomplete.images, incomplete.known))
    edits = find_edits(generator, z, incomplete.known, count)
    start = generator(z)
    return [completion.images.float() + generator(path) - start for path in edits.paths(generator, steps)]
