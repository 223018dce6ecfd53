"""Signs of a training gone wrong: each compares one measured number with what no healthy training reaches."""

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ...types import Images, PerImage

Others = Float[Tensor, "_ c h w"]
Usual = Float[Tensor, " _"]  # as PerImage, of other images
Trouble = Literal["numbers", "collapse", "astray", "saturation", "copies"]
SIDE = 16  # pixels that images are compared at: what they show, not their noise
ENOUGH = 16  # real images, from which on a collection's energy distance from others of its kind is near 0 (below 0.12)
VARIED = 0.02  # spread of real images, of a range of 2, below which there is no variety to lose


@final
@dataclass(frozen=True)
class Limits:
    """Where health ends. Each is far from what trainings of the seed's networks show; see docs/training.md."""

    youth: int = 20_000
    """images seen before which all samples look alike, and nothing is concluded from them"""
    strikes: int = 3
    """looks in a row that must show the same trouble"""
    spread: float = 0.2
    """of samples against real images: below, they are all one picture"""
    twins: float = 0.15
    """distance of a sample to the most similar other one, against that of real images: below, they are a few"""
    astray: float = 0.2
    """energy distance of samples to real images, against the distance of two real ones: above, they show something
    else; the mean of the real ones, drawn always, is 0.4 away"""
    gap: float = 20.0
    """difference of D's mean logits: above, with next to no error, G's gradient comes from the last bits"""
    errors: float = 1e-4
    """share of pairs of a real and a generated image that D orders wrongly"""
    blind: float = 1e-3
    """difference and standard deviation of D's logits: below, it says the same of all images"""
    copies: float = 0.4
    """distance of a sample to its nearest training picture, against that of pictures never seen: below, it is a copy"""
    share: float = 0.25
    """of the samples that are copies, from which on it is told"""


@final
@dataclass(frozen=True)
class Sign:
    """What was seen, in plain words, with the number and its limit."""

    trouble: Trouble
    saw: str
    measured: float
    limit: float


def small(images: Images) -> Tensor:
    """[n, features]: images as they are compared."""
    side = min(SIDE, images.shape[-1])
    return F.adaptive_avg_pool2d(images.float(), side).flatten(1)


def spread(images: Images) -> float:
    """The mean distance of two of the images: a root mean square over pixels, of a range of 2."""
    return float(_distances(images).mean()) if len(images) > 1 else 0.0


def twins(images: Images) -> float:
    """The distance of each image to the most similar other one, as a median."""
    return float(_distances(images).amin(1).median()) if len(images) > 1 else 0.0


def energy(images: Images, others: Others) -> float:
    """The energy distance of two collections (Szekely and Rizzo 2013), unbiased: 0 if both show the same things.

    Twice the mean distance from one to the other, less the mean distances inside each.
    """
    x, y = small(images), small(others)
    between = float(torch.cdist(x, y).mean()) / x.shape[1] ** 0.5
    return float(2 * between - spread(images) - spread(others))


def numbers() -> Sign:
    """Losses, weights or samples that are infinite or no numbers."""
    return Sign("numbers", "its losses or weights are no longer finite numbers", 1.0, 0.0)


def collapse(samples: Images, real: Others, limits: Limits) -> Sign | None:
    """Samples that are all one picture, or a few, where real ones differ."""
    for measure, limit, what in (
        (spread, limits.spread, "all samples of G look alike: on average they differ by"),
        (twins, limits.twins, "G draws the same few pictures again and again: each sample differs from its twin by"),
    ):
        usual = measure(real)
        if usual < VARIED:
            continue
        share = measure(samples) / usual
        if share < limit:
            return Sign("collapse", f"{what} {share:.1%} of what training pictures do", share, limit)
    return None


def astray(samples: Images, real: Others, limits: Limits) -> Sign | None:
    """Samples that may differ as much as real ones do, but show something else: a game lost, or broken down."""
    usual = spread(real)
    if usual < VARIED or len(real) < ENOUGH:
        return None
    share = energy(samples, real) / usual
    if share <= limits.astray:
        return None
    saw = f"samples of G look like no training picture: their distance from them is {share:.2f}, a grey smear's 0.4"
    return Sign("astray", saw, share, limits.astray)


def judged(real: PerImage, fake: Usual) -> Tensor:
    """[4]: pairs of D's logits in the wrong order, as a share; the gap; the mean; and the mean square of all.

    Pairs, since not every loss puts the border between real and generated at 0.
    """
    real, fake = real.detach().float(), fake.detach().float()
    pairs = real[:, None] - fake[None]
    wrong = (pairs < 0).float().mean() + (pairs == 0).float().mean() / 2
    both = torch.cat([real, fake])
    return torch.stack([wrong, real.mean() - fake.mean(), both.mean(), both.square().mean()])


def saturation(seen: Tensor, critic: bool, limits: Limits) -> Sign | None:
    """What `judged` found on average: D never errs by far, so that G learns nothing; or D sees no difference at all.

    `critic` says that the logits of this loss have no scale of their own.
    """
    wrong, gap, mean, square = seen.tolist()
    if not critic and gap > limits.gap and wrong <= limits.errors:
        saw = f"D is right about every image and never in doubt: its logits are {gap:.1f} apart, and G learns nothing"
        return Sign("saturation", saw, gap, limits.gap)
    deviation = max(0.0, square - mean**2) ** 0.5
    if max(abs(gap), deviation) < limits.blind:
        saw = f"D says the same of every image: its logits differ by {deviation:.1g}, and G learns nothing"
        return Sign("saturation", saw, deviation, limits.blind)
    return None


def copies(distances: PerImage, usual: Usual, limits: Limits) -> Sign | None:
    """Samples much nearer to a training picture than pictures are that the model has never seen."""
    middle = float(usual.median()) if len(usual) else 0.0
    if middle < VARIED:
        return None
    share = float((distances < limits.copies * middle).float().mean())
    if share < limits.share:
        return None
    saw = f"{share:.0%} of the samples are copies of training pictures, much nearer to one than unseen pictures are"
    return Sign("copies", saw, share, limits.share)


def _distances(images: Images) -> Tensor:
    """[n, n - 1]: root mean square differences of each image to the others."""
    x = small(images)
    apart = torch.cdist(x, x) / x.shape[1] ** 0.5
    others = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    distances: Tensor = apart[others].view(len(x), len(x) - 1)
    return distances
