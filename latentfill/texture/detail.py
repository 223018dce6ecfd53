"""Detail for enlarged pixels: copied from known pixels that look alike when blurred as much.

A model's image is smaller than a large face in a photo, so a completion lacks fine detail. The known pixels provide
it: each pixel of the hole takes the detail of a known pixel whose blurred surroundings look similar. This is
example-based super-resolution (Freeman, Jones, Pasztor 2002), from the image itself (Glasner, Bagon, Irani 2009).
"""

from math import log2

import numpy as np
import scipy
from PIL import Image

from .outside import resize
from .shift_map import NEAR, Level, ShiftMap, Values, Where

SOFTER = 1.5  # times the model's pixels: a completion is a little softer than a photo shrunk to the model's size
TONES = 0.2  # weight of slow changes of tone when pixels are compared
SLOW = 2.5  # their standard deviation, in soft pixels
APART = 2  # soft pixels: nearer to the hole or the picture's edge, detail is mixed with the other side's
LEAST_SCALE = 1.25  # least enlargement for which detail is added
MOST_GAIN = 2.0  # most gain that restores the contrast lost by mixing copies
SEARCHED = 20_000  # most pixels of a hole at a size that is searched, which takes seconds


def copy_detail(values: Values, known: Where, hole: Where, scale: float) -> Values | None:
    """Detail [h, w, 3] for the hole of a picture, to be added to its values [h, w, 3], 0..255; 0 elsewhere.

    In the hole [h, w] stands what was enlarged `scale` times; detail comes from where the picture is `known` [h, w].
    Equal inputs give equal results. None where too little is known, or nothing is lacking.
    """
    height, width = hole.shape
    scale *= SOFTER
    small = round(height / scale), round(width / scale)
    if scale < SOFTER * LEAST_SCALE or min(small) < 2 * APART + 1:
        return None
    shrunk = resize(values, small)
    soft = resize(shrunk, hole.shape)
    tones = resize(scipy.ndimage.gaussian_filter(shrunk, (SLOW, SLOW, 0)), hole.shape)
    sure = _shrink_known(known & ~hole, small)
    sure = known & ~hole & np.asarray(Image.fromarray(sure).resize((width, height), Image.Resampling.NEAREST))
    looks = np.where(hole[..., None], values, soft) - np.float32(1 - TONES) * tones
    levels = [Level(looks, hole, sure)]
    for _ in range(int(log2(scale))):
        levels.append(levels[-1].halve())
    if not levels[-1].sources().any() or not levels[-1].missing.any():
        return None
    shifts = ShiftMap.of(levels[-1].values, levels[-1].missing, levels[-1].sources(), seed=0)
    for level in levels[-2::-1]:
        shifts = shifts.enlarge(level.values, level.missing, level.sources())
        if len(shifts.inside) <= SEARCHED:
            shifts.search(NEAR)
    mixed, plain = (shifts.copy_from(values - soft, mix=mix).values() for mix in (True, False))
    # a mean of copies has no seams but is softer than they are
    strength = [scipy.ndimage.gaussian_filter((part**2).mean(2), scale) for part in (plain, mixed)]
    gain = np.sqrt(strength[0] / np.maximum(strength[1], 1e-3)).clip(1, MOST_GAIN)
    return np.where(hole[..., None], mixed * gain[..., None], np.float32(0))


def _shrink_known(known: Where, shape: tuple[int, int]) -> Where:
    """True where a pixel of the shrunk picture and its neighbours come from known pixels alone."""
    share = resize(known[..., None].astype(np.float32), shape, Image.Resampling.BOX)[..., 0]
    return scipy.ndimage.minimum_filter(share > 0.999, 2 * APART + 1, mode="nearest")
