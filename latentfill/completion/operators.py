"""What may be known of an image besides single pixels: that it is small, grey, noisy, quantised, or a JPEG.

The tasks are those of the paper authors' own repository (`moodoki/semantic_image_inpainting`: colorize, superres,
denoising, quantize); the search is the same for all, with another likelihood (Bora et al. 2017, "Compressed sensing
using generative models"). What was observed is then imposed on what the generator drew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch.nn import functional as F

from ..errors import ImageError, LatentfillError
from ..gan.gan import Gan
from ..images.holes import to_known
from ..images.incomplete import Given, Incomplete, Observation, Seen
from ..images.pixels import to_images
from ..seeds import Stream, philox
from ..types import Hole, Images, Known, PerImage, Pixels
from .noise import GaussianNoise, Identity, Jpeg, NoiseModel, Quantization

KINDS = {
    "lowres": "lowres:FACTOR, so many times smaller, 2 to 16",
    "grey": "grey, without colour",
    "noise": "noise:SIGMA, with Gaussian noise of so many grey levels, above 0 to 255",
    "levels": "levels:COUNT, quantised to so many levels per channel, 2 to 255",
    "jpeg": "jpeg:QUALITY, a JPEG of that quality, 1 to 100",
}
ALIASES = {"gray": "grey"}
RANGES = {"lowres": (2, 16), "noise": (1e-3, 255), "levels": (2, 255), "jpeg": (1, 100)}
LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as images.pixels has it
ROUNDS = 30  # of moving blocks smoothly; what is left is below a hundredth of a level, but where pixels are clipped
HALVINGS = 30  # of the range of shifts: to the last bit of float32
IDENTITY = Identity()


@final
@dataclass(frozen=True)
class LinearOperator:
    """What is shown of an image: its luma alone, or the means of blocks, or both."""

    grey: bool = False
    factor: int = 1

    def __call__(self, images: Images) -> Seen:
        if self.grey and images.shape[1] == 3:
            images = (images * torch.tensor(LUMA).to(images)[:, None, None]).sum(1, keepdim=True)
        return F.avg_pool2d(images, self.factor) if self.factor > 1 else images

    def shift(self, images: Images, values: Seen) -> Images:
        """The image like `images` whose view is `values`. A pixel's colours move as one, keeping their differences.

        Blocks are moved smoothly at first (back-projection: Irani and Peleg 1991), which leaves no edges between them.
        What is left is moved block by block, as far as the range allows, then the others further.
        """
        values = values.clamp(-1, 1)
        for _ in range(ROUNDS if self.factor > 1 else 0):
            rest = F.interpolate(values - self(images), images.shape[-2:], mode="bicubic")
            images = (images + rest).clamp(-1, 1)
        moved = images + self._enlarged(values - self(images))
        rows = (moved.abs() > 1).flatten(1).any(1).nonzero()[:, 0]
        start, wanted = images[rows], values[rows]
        low, high = torch.full_like(wanted, -2), torch.full_like(wanted, 2)
        for _ in range(HALVINGS if len(rows) else 0):
            middle = (low + high) / 2
            below = self((start + self._enlarged(middle)).clamp(-1, 1)) < wanted
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return moved.index_copy(0, rows, (start + self._enlarged((low + high) / 2)).clamp(-1, 1))

    def _enlarged(self, values: Seen) -> Seen:
        """Each number in all of its block."""
        return values.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)


@final
@dataclass(frozen=True)
class Operator:
    """First a view of the image, then how its numbers are told. The `Observer` of all kinds and combinations."""

    linear: LinearOperator
    noise: NoiseModel = IDENTITY

    @property
    def name(self) -> str:
        words = ["grey" if self.linear.grey else "", f"lowres:{self.linear.factor}" if self.linear.factor > 1 else ""]
        return "+".join(word for word in [*words, self.noise.name] if word)

    @property
    def sigma(self) -> float:
        return self.noise.sigma

    def observe(self, images: Images) -> Seen:
        return self.noise.read(self.linear(images))

    def residual(self, images: Images, seen: Seen) -> Seen:
        return self.noise.residual(self.linear(images), seen)

    def loss(self, images: Images, seen: Seen, where: Given) -> PerImage:
        return (where * self.noise.penalty(self.residual(images, seen))).sum((1, 2, 3))

    def impose(self, images: Images, seen: Seen, where: Given) -> Images:
        values = self.linear(images)
        wanted = torch.where(where == 1, self.noise.agree(values, seen, where), values)
        everywhere = where.repeat_interleave(self.linear.factor, 2).repeat_interleave(self.linear.factor, 3)
        return torch.where(everywhere == 1, self.linear.shift(images, wanted), images)

    def picture(self, seen: Seen, where: Given, images: Images) -> Images:
        """Enlarged smoothly; next to what was not observed, from what was."""
        shown = self.noise.decode(seen) * where
        if self.linear.factor > 1:
            size = images.shape[-2:]
            around = F.interpolate(where, size, mode="bilinear").clamp_min(1e-6)
            shown = F.interpolate(shown, size, mode="bilinear") / around
        return shown.expand_as(images)

    def where(self, known: Known) -> Given:
        """Where numbers are known, if only these pixels can be seen: 1 if all of their block can.

        Raises LatentfillError for a size that the blocks do not divide.
        """
        h, w = known.shape[-2:]
        side, inner = self.linear.factor * self.noise.side, self.noise.side
        if h % side or w % side:
            raise LatentfillError(f"{self.name} needs sides that {side} divides, not {w} x {h}", "Take another one.")
        return (-F.max_pool2d(-known, side)).repeat_interleave(inner, 2).repeat_interleave(inner, 3)


def parse_operator(text: str | Sequence[str]) -> Operator:
    """Understand one of `KINDS`, or several (joined by + or as a list) that one picture is at the same time.

    However they are written, a picture is first made grey, then smaller, then noisy, quantised or a JPEG: one of the
    three. Raises LatentfillError, which lists the kinds.
    """
    words = [word for part in ([text] if isinstance(text, str) else text) for word in part.split("+")]
    found: dict[str, float] = {}
    for word in words:
        head, *arguments = word.strip().split(":")
        kind = ALIASES.get(head, head)
        if kind not in KINDS:
            raise LatentfillError(f"{word!r} is nothing to observe", f"It is one of: {'; '.join(KINDS.values())}.")
        if kind in found:
            raise LatentfillError(f"{kind} is named twice", "Leave one of the two out.")
        found[kind] = _number(word, kind, arguments)
    readings = [kind for kind in ("noise", "levels", "jpeg") if kind in found]
    if len(readings) > 1:
        raise LatentfillError(f"a picture has {' and '.join(readings)}", "Name the one that was there last.")
    view, number = (
        LinearOperator("grey" in found, int(found.get("lowres", 1))),
        found.get(readings[0]) if readings else None,
    )
    if number is None:
        return Operator(view)
    return Operator(
        view, GaussianNoise(number) if "noise" in found else (Quantization if "levels" in found else Jpeg)(int(number))
    )


def posed(
    gan: Gan,
    pictures: Sequence[Pixels],
    holes: Sequence[Hole],
    sight: Operator,
    *,
    degrade: bool = False,
    seeds: Sequence[int] = (),
) -> Incomplete:
    """Observed pictures uint8 [H, W, 3] and the holes [size, size] of the wanted ones, as one question to `gan`.

    A picture is taken as what was observed, so of lowres:4 it has a quarter of the model's size. With `degrade` it is
    a perfect one of the model's size, of which that is computed: an experiment; each then needs one of `seeds`, from
    0 to 2^64 - 1, for its noise. In a hole nothing was observed. Raises ImageError for pictures of another size.
    """
    size, channels = gan.network.size, gan.network.channels
    if not len(pictures) == len(holes) == (len(seeds) if degrade else len(holes)):
        raise ValueError(
            f"{len(pictures)} pictures, {len(holes)} holes, {len(seeds)} seeds: each picture needs its own"
        )
    known = torch.cat([to_known(hole) for hole in holes])
    sight.where(known)  # whether the size will do
    wanted = size if degrade else size // sight.linear.factor
    for picture in pictures:
        if picture.shape[:2] != (wanted, wanted):
            what = f"for {sight.name} a picture has {wanted} x {wanted} pixels, not"
            raise ImageError(f"{what} {picture.shape[1]} x {picture.shape[0]}", "Resize it, or have it degraded.")
    told = channels if degrade or not sight.linear.grey else 1
    values = torch.cat([to_images(picture, told) for picture in pictures])
    if degrade:
        values = simulate(sight, values, seeds)
    return to_incomplete(sight, values, known, channels).to(gan.device)


def simulate(sight: Operator, images: Images, seeds: Sequence[int]) -> Seen:
    """What a perfect image looks like to `sight`, before it is told in bins: with noise, not rounded, not clipped."""
    values = sight.linear(images)
    if not sight.sigma:
        return values
    shape = tuple(values.shape[1:])
    noise = np.stack(
        [philox(Stream.MEASUREMENT_NOISE.key(number=seed)).standard_normal(shape, np.float32) for seed in seeds]
    )
    return values + sight.sigma * torch.from_numpy(noise).to(values)


def to_incomplete(sight: Operator, values: Seen, known: Known, channels: int) -> Incomplete:
    """What to ask of pictures [n, c', h', w'] that were observed where the pixels [n, 1, h, w] are known.

    No pixel of the question is known. For people and encoders its images hold what `Incomplete.shown` shows.
    """
    where = sight.where(known)
    # What the hole hides is not even kept.
    observation = Observation(sight, torch.where(where == 1, sight.noise.read(values), 0), where)
    blank = known.new_zeros(len(known), channels, *known.shape[2:])
    asked = Incomplete(blank, torch.zeros_like(known), observations=(observation,))
    return replace(asked, images=asked.shown[0])


def _number(word: str, kind: str, arguments: Sequence[str]) -> float:
    wrong = LatentfillError(f"{word!r} is not understood", f"Write {KINDS[kind]}.")
    if kind not in RANGES:
        if arguments:
            raise wrong
        return 1.0
    least, most = RANGES[kind]
    try:
        number = float(":".join(arguments))
    except ValueError:
        raise wrong from None
    if not least <= number <= most or (kind != "noise" and number != int(number)):
        raise wrong
    return number
