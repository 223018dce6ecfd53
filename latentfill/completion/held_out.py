"""Known pixels that are hidden from a search, to estimate its error."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import scipy
import torch
from jaxtyping import Bool

from ..images.incomplete import Incomplete
from ..images.pixels import GREY_LEVEL
from ..options import CompleteOptions
from ..seeds import Stream, philox
from ..types import Images, Known, PerImage

LARGEST = 8  # pixels: the side of a block at size 64; a block like a large hole would hide all known pixels around it
Mask = Bool[np.ndarray, "h w"]
T = TypeVar("T")


def choose_hidden(known: Known, share: float, seed: int, *, anywhere: bool = False) -> Known:
    """Choose pixels to hide: 1 at about `share` of each image's known ones, in blocks like its hole and beside it.

    A block's side is twice the mean distance of a missing pixel to a known one, less one: single pixels for a scattered
    hole, up to 8 of 64 for one of a piece. With `anywhere` they need not lie beside the hole. The choice depends on the
    seed (0 to 2^128 - 1) and on what is known, not on what is seen there, so nothing of the image is in it. Of an image
    that is known wholly or not at all nothing is hidden.
    """
    blocks = for_each_mask(known, lambda given: _blocks(given, share, seed, anywhere))
    return torch.stack([torch.from_numpy(hidden).to(known)[None] for hidden in blocks])


def for_each_mask(known: Known, compute: Callable[[Mask], T]) -> list[T]:
    """Compute something of the known pixels of each image, bool [h, w]; once for images that have the same."""
    results: dict[bytes, T] = {}
    rows = []
    for given in (known[:, 0] == 1).cpu().numpy():
        key = given.tobytes()
        if key not in results:
            results[key] = compute(given)
        rows.append(results[key])
    return rows


def hold_out(incomplete: Incomplete, options: CompleteOptions) -> Known | None:
    """Choose the known pixels that no search with these options may see; None where it sees all."""
    if not options.held_out:
        return None
    return choose_hidden(incomplete.known, options.held_out, Stream.HELD_OUT.key(options.seed))


def hide_pixels(incomplete: Incomplete, hidden: Known) -> Incomplete:
    """Make the hidden pixels part of the hole; their values are gone.

    Other observations stay, since they tell as much of a hidden pixel as of one in the hole.
    """
    visible = incomplete.known * (1 - hidden)
    return replace(incomplete, images=torch.where(hidden == 1, 0, incomplete.images), known=visible)


def rmse(images: Images, incomplete: Incomplete, where: Known) -> PerImage:
    """Root mean square difference in grey levels, 0 to 255, over the pixels where `where` is 1; NaN for none."""
    squares = (where * (images.clamp(-1, 1) - incomplete.images).square()).sum((1, 2, 3))
    return (squares / (where.sum((1, 2, 3)) * images.shape[1])).sqrt() / GREY_LEVEL


def _blocks(given: Mask, share: float, seed: int, anywhere: bool) -> Mask:
    hidden = np.zeros_like(given)
    if not share or given.all() or not given.any():
        return hidden
    depth = scipy.ndimage.distance_transform_edt(~given)[~given].mean()
    largest = max(1, LARGEST * min(given.shape) // 64)
    side = int(np.clip(round(2 * depth - 1), 1, largest))
    centres = given if anywhere else given & (scipy.ndimage.distance_transform_edt(given) <= side + 1)
    target, count = share * given.sum(), 0
    for centre in philox(seed).permutation(np.flatnonzero(centres)):
        if count >= target:
            break
        top, left = (max(0, int(c) - side // 2) for c in np.unravel_index(centre, given.shape))
        block = np.s_[top : top + side, left : left + side]
        count += int((given[block] & ~hidden[block]).sum())
        hidden[block] |= given[block]
    return hidden
