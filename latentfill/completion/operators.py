"""Measurement operators A: an image may be known only by a smaller, grey, noisy, quantised or JPEG copy.

The tasks are those of the paper authors' own repository (`moodoki/semantic_image_inpainting`: colorize, superres,
denoising, quantize). The search is the same for all, with another data fidelity (Bora et al. 2017, "Compressed sensing
using generative models"). The measurements are then imposed on the generated image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch.nn import functional as F

from ..errors import LatentfillError
from ..images.incomplete import Given, Incomplete, Observation, Seen
from ..seeds import Stream, philox
from ..types import Images, Known, PerImage
from .noise_models import GaussianNoise, Identity, Jpeg, NoiseModel, Quantization

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
ROUNDS = 30  # of moving blocks smoothly; what is left is below a hundredth of a level, except where pixels are clipped
HALVINGS = 30  # of the range of shifts, down to the last bit of float32
IDENTITY = Identity()


@final
@dataclass(frozen=True)
class LinearOperator:
    """The linear part of A: an image's luma alone, or the means of blocks, or both."""

    grey: bool = False
    factor: int = 1

    def __call__(self, images: Images) -> Seen:
        """[n, c, h, w] -> [n, c or 1, h / factor, w / factor]."""
        if self.grey and images.shape[1] == 3:
            images = (images * torch.tensor(LUMA).to(images)[:, None, None]).sum(1, keepdim=True)
        return F.avg_pool2d(images, self.factor) if self.factor > 1 else images

    def shift(self, images: Images, values: Seen) -> Images:
        """Shift images until they measure `values`. A pixel's colours move as one, keeping their differences.

        Blocks are moved smoothly at first (back-projection: Irani and Peleg 1991), which leaves no edges between them.
        What is left is moved block by block, as far as the range allows, then the others further.
        """
        values = values.clamp(-1, 1)
        for _ in range(ROUNDS if self.factor > 1 else 0):
            rest = F.interpolate(values - self(images), images.shape[-2:], mode="bicubic")
            images = (images + rest).clamp(-1, 1)
        shifted = images + self.enlarge(values - self(images))
        rows = (shifted.abs() > 1).flatten(1).any(1).nonzero()[:, 0]
        start, target = images[rows], values[rows]
        low, high = torch.full_like(target, -2), torch.full_like(target, 2)
        for _ in range(HALVINGS if len(rows) else 0):
            middle = (low + high) / 2
            below = self((start + self.enlarge(middle)).clamp(-1, 1)) < target
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return shifted.index_copy(0, rows, (start + self.enlarge((low + high) / 2)).clamp(-1, 1))

    def enlarge(self, values: Seen) -> Seen:
        """Each number in all of its block."""
        return values.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)


@final
@dataclass(frozen=True)
class Operator:
    """A: first linear, then noise, quantisation or a JPEG file. The `MeasurementOperator` of all combinations."""

    linear: LinearOperator
    noise: NoiseModel = IDENTITY

    @property
    def name(self) -> str:
        """The name, as `parse_operator` reads it."""
        words = ["grey" if self.linear.grey else "", f"lowres:{self.linear.factor}" if self.linear.factor > 1 else ""]
        return "+".join(word for word in [*words, self.noise.name] if word)

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise, 2 being the range of an image."""
        return self.noise.sigma

    def measure(self, images: Images) -> Seen:
        """A(x), without noise."""
        return self.noise.measure(self.linear(images))

    def residual(self, images: Images, seen: Seen) -> Seen:
        """The difference of each number of A(x) from the measurement; 0 where it agrees."""
        return self.noise.residual(self.linear(images), seen)

    def data_fidelity(self, images: Images, seen: Seen, where: Given) -> PerImage:
        """The sum of the penalties of the residuals in `where`."""
        return (where * self.noise.penalty(self.residual(images, seen))).sum((1, 2, 3))

    def impose(self, images: Images, seen: Seen, where: Given) -> Images:
        """The nearest images that agree with the measurement."""
        values = self.linear(images)
        target = torch.where(where == 1, self.noise.restore(values, seen, where), values)
        return torch.where(self.linear.enlarge(where) == 1, self.linear.shift(images, target), images)

    def to_images(self, seen: Seen, where: Given, images: Images) -> Images:
        """Enlarge measurements smoothly to the size of `images`; next to what was not measured, from what was."""
        decoded = self.noise.decode(seen) * where
        if self.linear.factor > 1:
            size = images.shape[-2:]
            around = F.interpolate(where, size, mode="bilinear").clamp_min(1e-6)
            decoded = F.interpolate(decoded, size, mode="bilinear") / around
        return decoded.expand_as(images)

    def where(self, known: Known) -> Given:
        """Locate the measurements, if only these pixels can be seen: 1 where all of a block can.

        Raises LatentfillError for a size that the blocks do not divide.
        """
        h, w = known.shape[-2:]
        side, inner = self.linear.factor * self.noise.side, self.noise.side
        if h % side or w % side:
            raise LatentfillError(
                f"{self.name} needs sides that are multiples of {side}, not {w} x {h} pixels",
                "Crop the picture, or give another observation.",
            )
        return (-F.max_pool2d(-known, side)).repeat_interleave(inner, 2).repeat_interleave(inner, 3)


def parse_operator(text: str | Sequence[str]) -> Operator:
    """Understand one of `KINDS`, or several (joined by + or as a list) that one picture is at the same time.

    However they are written, a picture is first made grey, then smaller, then noisy, quantised or a JPEG: one of the
    three. Raises LatentfillError, which lists the kinds.
    """
    words = [word for part in ([text] if isinstance(text, str) else text) for word in part.split("+")]
    numbers: dict[str, float] = {}
    for word in words:
        head, *arguments = word.strip().split(":")
        kind = ALIASES.get(head, head)
        if kind not in KINDS:
            raise LatentfillError(f"{word!r} is not an observation", f"It is one of: {'; '.join(KINDS.values())}.")
        if kind in numbers:
            raise LatentfillError(f"{kind} is named twice", "Leave one of the two out.")
        numbers[kind] = _parse_number(word, kind, arguments)
    linear = LinearOperator("grey" in numbers, int(numbers.get("lowres", 1)))
    models: list[NoiseModel] = []
    if "noise" in numbers:
        models.append(GaussianNoise(numbers["noise"]))
    if "levels" in numbers:
        models.append(Quantization(int(numbers["levels"])))
    if "jpeg" in numbers:
        models.append(Jpeg(int(numbers["jpeg"])))
    if len(models) > 1:
        kinds = " and ".join(kind for kind in ("noise", "levels", "jpeg") if kind in numbers)
        raise LatentfillError(
            f"{kinds} cannot be observed together", "Give only the last thing that was done to the picture."
        )
    return Operator(linear, *models)


def simulate(operator: Operator, images: Images, seeds: Sequence[int]) -> Seen:
    """Degrade perfect images: linear, with noise by `seeds` (one for each, from 0 to 2^64 - 1), not yet in bins."""
    values = operator.linear(images)
    if not operator.sigma:
        return values
    shape = tuple(values.shape[1:])
    keys = [Stream.MEASUREMENT_NOISE.key(number=seed) for seed in seeds]
    noise = np.stack([philox(key).standard_normal(shape, np.float32) for key in keys])
    return values + operator.sigma * torch.from_numpy(noise).to(values)


def to_incomplete(operator: Operator, values: Seen, known: Known, channels: int) -> Incomplete:
    """Pose pictures [n, c', h', w'], measured where the pixels [n, 1, h, w] are known, as incomplete images.

    None of their pixels is known. For people and encoders their images hold what `Incomplete.shown` shows.
    """
    where = operator.where(known)
    # What the hole hides is not even stored.
    observation = Observation(operator, torch.where(where == 1, operator.noise.measure(values), 0), where)
    blank = known.new_zeros(len(known), channels, *known.shape[2:])
    incomplete = Incomplete(blank, torch.zeros_like(known), observations=(observation,))
    return replace(incomplete, images=incomplete.shown[0])


def _parse_number(word: str, kind: str, arguments: Sequence[str]) -> float:
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
