"""What a model draws: single samples, walks, sweeps, and A - B + C laid out as in the DCGAN paper."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice
from typing import final

import numpy as np
import torch

from ..gan.gan import Gan
from ..gan.latents.walks import arithmetic, nearby, sweep, sweep_values
from ..images.grids import grid
from ..images.pixels import to_pixels
from ..types import Latents, PerImage, Pixels

BATCH = 16  # latents shown to G at a time, never fewer: a smaller product may be rounded another way
ANIMATED_PIXELS = 256  # side that a lonely animated image has at least
WHITE = 255
INK = 60


@final
@dataclass(frozen=True)
class Sample:
    """One image, the seed it can be drawn from again, and how real D finds it (a logit)."""

    seed: int
    pixels: Pixels
    logit: float


def draw(gan: Gan, seeds: Iterable[int], device: torch.device) -> Iterator[Sample]:
    """One sample per seed, the same whatever the other seeds are; in batches, so that memory is flat."""
    remaining = iter(seeds)
    while batch := list(islice(remaining, BATCH)):
        pixels, logits = _draw(gan, gan.generator.prior.sample(_full(batch)), device)
        yield from (Sample(*parts) for parts in zip(batch, pixels, logits.tolist(), strict=False))


def best(samples: Iterable[Sample], count: int) -> list[int]:
    """The seeds of the `count` samples that D finds most real, the most real first."""
    return [-seed for _, seed in nlargest(count, ((sample.logit, -sample.seed) for sample in samples))]


def show(gan: Gan, z: Latents, device: torch.device) -> Iterator[Pixels]:
    """G(z), an image per latent."""
    for start in range(0, len(z), BATCH):
        rows = _full(range(start, min(start + BATCH, len(z))))
        pixels, _ = _draw(gan, z[rows], device)
        yield from pixels[: len(z) - start]


def enlarge(pixels: Pixels, least: int = ANIMATED_PIXELS) -> Pixels:
    """Every pixel a square, so that the picture is at least `least` pixels high."""
    times = -(-least // len(pixels))
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def sweeps(gan: Gan, z: Latents, components: Sequence[int], count: int, device: torch.device) -> list[list[Pixels]]:
    """For each component, `count` images of the latent z [1, d] with that component from end to end of the prior."""
    values = sweep_values(gan.generator.prior, count)
    return [list(show(gan, sweep(z, component, values), device)) for component in components]


def forth_and_back(rows: Sequence[Sequence[Pixels]]) -> Iterator[Pixels]:
    """The frames of an endless animation in which every row plays its images to the end and back, side by side."""
    columns = -(-len(rows) // max(1, int(len(rows) ** 0.5)))
    last = len(rows[0]) - 1
    for at in [*range(last), *range(last, 0, -1)]:
        yield enlarge(grid([row[at] for row in rows], columns))


def arithmetic_sheet(gan: Gan, groups: Sequence[Sequence[int]], device: torch.device) -> Pixels:
    """A - B + C: a row for each group of seeds, its samples and then their mean; on the right the result.

    The result is the middle one of nine; around it the same with a little noise (Radford et al. 2015, figure 7).
    """
    prior = gan.generator.prior
    terms = [prior.sample(list(group)) for group in groups]
    rows = [list(show(gan, torch.cat([term, term.mean(dim=0, keepdim=True)]), device)) for term in terms]
    result = arithmetic(prior, *terms)
    around = nearby(prior, result, range(8))
    block = grid(list(show(gan, torch.cat([around[:4], result, around[4:]]), device)), columns=3)
    return _lay_out(rows, block)


def _lay_out(rows: Sequence[Sequence[Pixels]], block: Pixels) -> Pixels:
    side = rows[0][0].shape[0]
    gap, sign = side // 4, side * 3 // 4
    samples = max(map(len, rows)) - 1
    mean = sign + samples * side + gap
    right = mean + side + sign
    sheet = np.full((3 * side + 4 * gap, right + block.shape[1] + gap, 3), WHITE, np.uint8)
    for number, row in enumerate(rows):
        top = gap + number * (side + gap)
        for column, tile in enumerate(row[:-1]):
            _put(sheet, tile, top, sign + column * side)
        _put(sheet, row[-1], top, mean)
        _put(sheet, _sign(side, " -+"[number]), top + side // 4, (sign - side // 2) // 2)
    middle = (len(sheet) - side // 2) // 2
    _put(sheet, _sign(side, "="), middle, mean + side + (sign - side // 2) // 2)
    _put(sheet, block, (len(sheet) - len(block)) // 2, right)
    return sheet


def _sign(side: int, sign: str) -> Pixels:
    """A minus, a plus or an equals sign on white, half a tile large."""
    half = side // 2
    square = np.full((half, half, 3), WHITE, np.uint8)
    bar, edge = max(1, half // 10), half // 5
    centres = {"-": [half // 2], "+": [half // 2], "=": [half * 3 // 8, half * 5 // 8]}.get(sign, [])
    for centre in centres:
        square[centre - bar // 2 : centre - bar // 2 + bar, edge : half - edge] = INK
    if sign == "+":
        square[edge : half - edge, half // 2 - bar // 2 : half // 2 - bar // 2 + bar] = INK
    return square


def _put(sheet: Pixels, tile: Pixels, top: int, left: int) -> None:
    sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile


def _full(batch: Sequence[int]) -> list[int]:
    """The batch, its last number repeated until it has the one size that all batches have."""
    return [*batch, *[batch[-1]] * (BATCH - len(batch))]


@torch.inference_mode()
def _draw(gan: Gan, z: Latents, device: torch.device) -> tuple[list[Pixels], PerImage]:
    images = gan.generator(z.to(device))
    return to_pixels(images), gan.discriminator(images)
