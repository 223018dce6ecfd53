"""Pictures of a model: samples, walks, sweeps, style directions, edits, and A - B + C as in the DCGAN paper."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from itertools import islice
from typing import final

import numpy as np
import torch

from ..completion.complete import Completion
from ..completion.one_pass import ConditionalGenerator
from ..gan.directions import Directions, arithmetic, find_edits, nearby, sweep, sweep_values
from ..gan.fused import fuse
from ..gan.gan import Gan
from ..images.incomplete import Incomplete
from ..images.pixels import grid, to_pixels
from ..photo.model_sized import blend
from ..types import Images, Latents, PerImage, Pixels

BATCH = 16  # latents shown to G at a time, never fewer: smaller products may round differently
ANIMATED_PIXELS = 256  # least side of a single animated image
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


def ping_pong_frames(rows: Sequence[Sequence[Pixels]]) -> Iterator[Pixels]:
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
            _draw_tile(sheet, tile, top, sign + column * side)
        _draw_tile(sheet, row[-1], top, mean)
        _draw_tile(sheet, _sign(side, " -+"[number]), top + side // 4, (sign - side // 2) // 2)
    middle = (len(sheet) - side // 2) // 2
    _draw_tile(sheet, _sign(side, "="), middle, mean + side + (sign - side // 2) // 2)
    _draw_tile(sheet, block, (len(sheet) - len(block)) // 2, right)
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


def _draw_tile(sheet: Pixels, tile: Pixels, top: int, left: int) -> None:
    sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile


def _full(batch: Sequence[int]) -> list[int]:
    """The batch, its last number repeated until it has the one size that all batches have."""
    return [*batch, *[batch[-1]] * (BATCH - len(batch))]


@torch.inference_mode()
def _draw(gan: Gan, z: Latents, device: torch.device) -> tuple[list[Pixels], PerImage]:
    images = gan.generator(z.to(device))
    return to_pixels(images), gan.discriminator(images)


EDIT_STEPS = 4  # pictures on each side of the completion


def direction_rows(
    gan: Gan, directions: Directions, z: Latents, frames: int, device: torch.device
) -> list[list[Pixels]]:
    """For each direction, `frames` images of the latent z [1, d] moved along it from end to end."""
    prior = gan.generator.prior
    return [list(show(gan, directions.path(prior, z, row, frames), device)) for row in range(len(directions))]


@torch.inference_mode()
def mean_change(gan: Gan, directions: Directions, z: Latents, device: torch.device) -> list[float]:
    """Mean absolute change from end to end of each direction, over the latents z [n, d] and pixels."""
    prior = gan.generator.prior
    changes = []
    for row in range(len(directions)):
        ends = torch.stack([directions.path(prior, one, row, 2) for one in torch.split(z, 1)], 1)
        low, high = (gan.generator(end.to(device)) for end in ends)
        changes.append((high - low).abs().mean().item())
    return changes


def edit_sheet(gan: Gan, incomplete: Incomplete, completion: Completion, count: int, how: str) -> Pixels | None:
    """The `count` edits of each completed image, a row for each, from end to end; in the middle it is as it was.

    Known pixels are kept to the bit; `how` is the `blend` of the others. Without a hole it is None: that of a large
    photo may be too small for a pixel of the model's.
    """
    tiles = []
    for i in range(len(incomplete)):
        one, made = incomplete.select([i]), completion.select(slice(i, i + 1))
        if (one.known == 1).all():
            continue
        for images in edit_images(gan, one, made, count):
            for image in torch.split(images, 1):
                tiles += to_pixels(blend(one, replace(made, images=image), how))
    return grid(tiles, 2 * EDIT_STEPS + 1) if tiles else None


@torch.no_grad()
def edit_images(
    gan: Gan, incomplete: Incomplete, completion: Completion, count: int, steps: int = EDIT_STEPS
) -> list[Images]:
    """[2 steps + 1, c, h, w] for each edit of one completion, not yet blended.

    The change of G's images is added to the completion, whose own G may have been tuned to the picture. If a completer
    drew the completion, it is the completer's images that change.
    """
    gan, z = fuse(gan), completion.z.float()
    generator = gan.generator
    if completion.conditional and gan.completer is not None:
        generator = ConditionalGenerator(gan.completer, gan.completer.encode(incomplete.images, incomplete.known))
    edits = find_edits(generator, z, incomplete.known, count)
    start = generator(z)
    return [completion.images.float() + generator(path) - start for path in edits.paths(generator, steps)]
