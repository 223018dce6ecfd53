"""Holes for training, and scores for completing such holes in held-out pictures."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import HoleError
from ..images import hole_shapes as shapes
from ..images import holes
from ..seeds import Stream, philox
from ..types import Images, Known
from .logs import Curve, Summary

HOLE_STREAM, STATISTICS_STREAM, SCORED_HOLE_STREAM = Stream.TRAINING_HOLES, Stream.STATISTICS_HOLES, Stream.JUDGED_HOLES
ALL = "all"
UNFIT = (*holes.PAINTED, "full", "lowres")  # not for training: drawn by people, no hole, or only means
# How often each kind of hole is drawn: mostly the usual benchmark holes, and a wide range of each.
SHARES = {
    "center": 0.20,
    "half": 0.20,
    "random": 0.18,
    "pattern": 0.12,
    "thin": 0.06,
    "medium": 0.06,
    "thick": 0.06,
    "ellipse": 0.06,
    "rectangle": 0.06,
}
Draw = Callable[[int, np.random.Generator], shapes.Missing]  # the missing pixels of an image of this size
SCORED_HOLES = {"psnr_center": "center", "psnr_half": "half", "psnr_random": "random:0.8", "psnr_pattern": "pattern"}
SCORES = {
    name: Curve(name, f"psnr/{hole}") for name, hole in SCORED_HOLES.items()
}  # in dB, in the hole, averaged over pictures
# The finest detail in the hole, as a share of the originals': 1 is right, below 1 is blurred, above 1 is noisy.
DETAILS = {f"detail_{name[5:]}": Curve(f"detail_{name[5:]}", f"detail/{hole}") for name, hole in SCORED_HOLES.items()}

Complete = Callable[[Images, Known], Images]
GROUP = 64  # images in a batch when nothing is learnt; bounds the memory
SHOWN = 8  # pictures of a sheet, one to a column


def draw_known(
    size: int, numbers: Sequence[int], seed: int, hole: str | Draw = ALL, stream: Stream = HOLE_STREAM
) -> Known:
    """[n, 1, size, size]: which pixels are given in images of these numbers; each depends on its number and the seed.

    `hole` is one hole as people write it, what draws one, or "all": any kind, anywhere, from a few pixels to nearly the
    whole image.
    """
    missing = []
    for number in numbers:
        rng = philox(stream.key(seed, number))
        if not isinstance(hole, str):
            missing.append(hole(size, rng))
        elif hole == ALL:
            missing.append(draw_any(size, rng))
        else:
            missing.append(holes.draw(holes.parse(hole), (size, size), seed=int(rng.integers(2**63))).hole > 0)
    stacked = np.stack(missing) if missing else np.empty((0, size, size), bool)
    return torch.from_numpy(~stacked).float()[:, None]


def check_hole(hole: str, size: int) -> None:
    """Raise HoleError unless such holes can be drawn for images of this size, and leave something to learn."""
    if hole != ALL and holes.parse(hole).kind in UNFIT:
        what = f"nothing can be learnt from holes such as {hole!r}"
        raise HoleError(what, f"Give all, or one that a program draws: {', '.join(SHARES)}, grid.")
    draw_known(size, range(1), 0, hole)


def score_completions(completed: Complete, images: Images, *others: Complete) -> Summary:
    """Score completions of images that were never learnt from: PSNR and detail in the hole, and a sheet.

    The sheet has a column for each of the first images: as it is, then for each kind of hole what was known, as grey
    in the hole, and the completion; then those of the `others`, which are only shown.
    """
    size, device = images.shape[-1], images.device
    scores, rows = {}, [row(images)]
    for name, hole in SCORED_HOLES.items():
        known = draw_known(size, range(len(images)), 0, hole, SCORED_HOLE_STREAM).to(device)
        groups = [slice(first, first + GROUP) for first in range(0, len(images), GROUP)]
        with torch.no_grad():
            made = torch.cat([completed(images[group], known[group]).clamp(-1, 1) for group in groups])
        scores[name] = float(psnr(made, images, 1 - known).mean())
        scores[f"detail_{name[5:]}"] = float(detail(made, 1 - known) / detail(images, 1 - known).clamp_min(1e-9))
        rows += [row(images * known), row(torch.where(known > 0, images, made))]
        for other in others:
            with torch.no_grad():
                again = other(images[:SHOWN], known[:SHOWN]).clamp(-1, 1)
            rows.append(row(torch.where(known[:SHOWN] > 0, images[:SHOWN], again)))
    return Summary({"": torch.cat(rows)}, scores=scores)


def psnr(made: Images, images: Images, where: Known) -> Tensor:
    """[n]: peak signal-to-noise ratio in dB over the pixels `where` is 1, for values in [-1, 1]."""
    error = ((made - images).square() * where).sum((1, 2, 3))
    pixels = where.sum((1, 2, 3)).clamp_min(1) * images.shape[1]
    ratio: Tensor = 10 * torch.log10(4 / (error / pixels).clamp_min(1e-10))
    return ratio


def detail(images: Images, where: Known) -> Tensor:
    """The finest detail over the pixels `where` is 1: squared differences from the means of blocks of 2x2, summed."""
    coarse = nn.functional.interpolate(nn.functional.avg_pool2d(images, 2), scale_factor=2)
    return ((images - coarse).square() * where).sum()


def row(images: Images) -> Tensor:
    """The first images of a sheet, black where there are fewer."""
    return nn.functional.pad(images[:SHOWN], (0, 0, 0, 0, 0, 0, 0, max(0, SHOWN - len(images))), value=-1.0)


def draw_any(size: int, rng: np.random.Generator) -> shapes.Missing:
    """One of all kinds that an encoder learns from, as often as SHARES says."""
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    if kind == "center":  # the usual quarter of the image, or between a twentieth and nearly all
        return shapes.center(size, size, 0.25 if rng.random() < 0.6 else rng.uniform(0.1, 0.4))
    if kind == "half":
        return shapes.half(size, size, int(rng.integers(4)))
    if kind == "random":  # the usual 80 %, or any share
        return shapes.random_pixels(size, size, 0.8 if rng.random() < 0.4 else rng.uniform(0.05, 0.95), rng)
    if kind == "pattern":
        return shapes.pattern(size, size, rng)
    if kind == "ellipse":
        return _ellipse(size, rng)
    if kind == "rectangle":
        return draw_rectangle(size, rng)
    return shapes.strokes(size, size, shapes.BRUSHES[kind], rng)


def _ellipse(size: int, rng: np.random.Generator) -> shapes.Missing:
    """Anywhere, turned by any angle, its radii a tenth to nearly half of a side."""
    y, x = np.mgrid[:size, :size] + 0.5
    (left, top), (a, b), turn = rng.uniform(0.1, 0.9, 2) * size, rng.uniform(0.1, 0.45, 2) * size, rng.uniform(0, np.pi)
    along, across = (
        (x - left) * np.cos(turn) + (y - top) * np.sin(turn),
        (y - top) * np.cos(turn) - (x - left) * np.sin(turn),
    )
    inside: shapes.Missing = (along / a) ** 2 + (across / b) ** 2 <= 1
    return inside


def draw_rectangle(size: int, rng: np.random.Generator) -> shapes.Missing:
    """Anywhere inside, its sides an eighth to three quarters of the image's."""
    missing = np.zeros((size, size), bool)
    h, w = rng.integers(size // 8, size * 3 // 4 + 1, 2)
    top, left = rng.integers(0, size + 1 - h), rng.integers(0, size + 1 - w)
    missing[top : top + h, left : left + w] = True
    return missing
